"""Who is asked in a model's place: itself again, its fallbacks, or nobody, where the answer is there already."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from auwgent.errors import PASSING, ProviderError
from auwgent.models.base import CallPiece, ModelRequest, ModelSpec, Piece, Reply, Retry, Route, TextPiece
from auwgent.models.spending import asked

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between tries; doubled each time, then shortened at random
LONGEST_OBEYED = 60.0  # seconds; a provider that asks for more is given up


class Cooldowns:
    """Which models failed a short while ago. They are told apart by name and address."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str | None], float] = {}

    def start(self, model: Route) -> None:
        """Pass this model over for a while."""
        spec = model.spec
        self._until[spec.name, spec.base_url] = time.monotonic() + spec.cooldown

    def is_over(self, model: Route) -> bool:
        """Return whether this model may be asked."""
        return time.monotonic() >= self._until.get((model.spec.name, model.spec.base_url), 0.0)


class ResilientModel:
    """A model and those that stand in for it, in order, each with its own key, address and retries.

    Nothing is repeated once a piece has gone out: what was shown cannot be taken back. Each further try is
    told by a `Retry` before it.
    """

    pays_itself = True  # for each try

    def __init__(self, models: Sequence[Route], cooldowns: Cooldowns) -> None:
        self.spec = models[0].spec
        self._models = tuple(models)
        self._cooldowns = cooldowns

    def __repr__(self) -> str:
        return f"<ResilientModel {' → '.join(model.spec.name for model in self._models)}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        chain = [model for model in self._models if self._cooldowns.is_over(model)] or list(self._models)
        for model, stand_in in zip(chain, [*chain[1:], None], strict=True):
            tries = 0
            while True:
                begun = False
                failure: ProviderError | None = None
                try:
                    async with aclosing(asked(model, request)) as pieces:
                        async for piece in pieces:
                            begun = True
                            yield piece
                    return
                except ProviderError as error:
                    if begun or error.fault not in PASSING:
                        raise
                    failure = error
                wait = _wait(failure, tries)
                if tries >= model.spec.retries or wait is None or not failure.retryable:
                    break
                tries += 1
                yield Retry(failed=model.spec.name, model=model.spec.name, reason=str(failure), wait=wait)
                await asyncio.sleep(wait)
            if stand_in is None:
                raise failure
            self._cooldowns.start(model)
            yield Retry(failed=model.spec.name, model=stand_in.spec.name, reason=str(failure), wait=0.0)

    async def aclose(self) -> None:
        """Nothing to do: the catalog closes the models, which others may use."""


def ask(model: Route, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
    """Ask a model in the way of its kind: what was given costs nothing, and a chain pays for each of its tries."""
    return model.ask(request) if getattr(model, "pays_itself", False) else asked(model, request)


def _wait(error: ProviderError, tries: int) -> float | None:
    """Seconds until the next try; None where the provider asks for more patience than there is."""
    own: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0**tries) * random.uniform(0.5, 1.0)
    if error.retry_after is None:
        return own
    return max(own, error.retry_after) if error.retry_after <= LONGEST_OBEYED else None


@dataclass(slots=True)
class GivenModel:
    """Answers with a reply that is there already, in one piece for the text and one for each call."""

    spec: ModelSpec
    reply: Reply
    pays_itself: ClassVar[bool] = True  # it costs nothing

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        if self.reply.text:
            yield TextPiece(self.reply.text)
        for index, call in enumerate(self.reply.calls):
            yield CallPiece(index, call.id or None, call.name, call.arguments)
        yield self.reply

    async def aclose(self) -> None:
        """Nothing is held."""
