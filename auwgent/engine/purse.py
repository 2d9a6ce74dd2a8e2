"""Enforces `limits.usd`, `limits.tokens` and the meters of middleware: every request is paid for here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import Context
from auwgent.hooks.pipeline import Chain
from auwgent.limits import Limits
from auwgent.models.quotes import Quote, Reserved
from auwgent.session import Session, Usage
from auwgent.words import describe

log = logging.getLogger("auwgent.engine")

ROUNDING = 1e-9  # a sum of cents may be that much less than it is


@dataclass(slots=True)
class RunPurse:
    """The spent and reserved amounts of one run, over all its agents."""

    limits: Limits
    chain: Chain
    note: Callable[[Context], Awaitable[None]]  # has a store write down what is set aside
    tokens: float = 0
    usd: float = 0.0
    waiting: dict[int, Quote] = field(default_factory=dict)  # under way, by the id of who holds it
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def counts(self) -> bool:
        """Whether any limit or meter counts what a request uses."""
        return self.is_bounded or self.chain.has_meters

    @property
    def is_bounded(self) -> bool:
        return self.limits.tokens is not None or self.limits.usd is not None

    @property
    def committed(self) -> tuple[float, float]:
        """Tokens and US dollars that are used or set aside."""
        held = self.waiting.values()
        return self.tokens + sum(one.tokens for one in held), self.usd + sum(one.usd for one in held)

    def count_earlier(self, session: Session, run_id: str) -> None:
        """Count what the run used before it was interrupted or paused."""
        for turn in session.turns:
            if turn.run_id == run_id and turn.usage is not None:
                self.tokens += turn.usage.input_tokens + turn.usage.output_tokens
                self.usd += turn.usage.usd or 0.0

    async def set_aside(self, quote: Quote, holder: object) -> Quote:
        """Set aside as much of the request as is left; wait for those under way, which may give some back."""
        if self.limits.usd is not None and quote.rates is None:
            raise LimitExceeded(
                f"`limits.usd` = {self.limits.usd:g} cannot be kept: {quote.model} has no known price; give it one "
                "with `price` under [models]",
                key="limits.usd",
            )
        while True:
            tokens = _left(self.limits.tokens, self.tokens, [one.tokens for one in self.waiting.values()])
            usd = _left(self.limits.usd, self.usd, [one.usd for one in self.waiting.values()])
            within = quote.within(tokens, usd) if min(tokens, usd) > 0 else None
            if within is quote or (within is not None and not self.waiting):
                self.waiting[id(holder)] = within
                return within
            if not self.waiting:
                raise self._refusal(quote, tokens, usd)
            self.changed.clear()
            await self.changed.wait()

    def close(self, holder: object, tokens: float, usd: float) -> None:
        """Record what a finished request has used."""
        if self.waiting.pop(id(holder), None) is not None:
            self.tokens, self.usd = self.tokens + tokens, self.usd + usd
            self.changed.set()

    def _refusal(self, quote: Quote, tokens: float, usd: float) -> LimitExceeded:
        least = quote.at_least
        limit: float | None
        if tokens < least.tokens or tokens <= 0:
            key, limit, left, needs, unit = (
                "tokens",
                self.limits.tokens,
                tokens,
                float(least.tokens),
                "tokens",
            )
        else:
            key, limit, left, needs, unit = "usd", self.limits.usd, usd, least.usd, "US dollars"
        return LimitExceeded(
            f"the run reached `limits.{key}` = {limit:g} {unit}: {max(0, left):.6g} are left, and the next request "
            f"to {quote.model} needs up to {needs:.6g}",
            key=f"limits.{key}",
        )


@dataclass(slots=True, eq=False)
class CallPurse:
    """Reserves and settles what one call uses, its retries included."""

    run: RunPurse
    ctx: Context
    is_call: bool = True  # False: an embedding, or a try of it counts as the call
    is_retry: bool = False  # there was a try before

    async def reserve(self, quote: Quote) -> Reserved:
        """Set aside what a request may use, in the run and with each meter."""
        held = Held(self.run, quote, self if self.is_call else None)
        is_call, self.is_call = self.is_call, False
        is_retry, self.is_retry = self.is_retry, True
        if self.run.is_bounded:
            held.quote = await self.run.set_aside(quote, held)
            held.output_tokens = held.quote.output_tokens
        try:
            async with aclosing(
                self.run.chain.reserve(held.quote, self.ctx, call=is_call, retry=is_retry)
            ) as meters:
                async for reserved in meters:
                    held.others.append(reserved)
                    if reserved.output_tokens is not None:
                        held.output_tokens = min(reserved.output_tokens, held.quote.output_tokens)
                        held.quote = replace(held.quote, output_tokens=held.output_tokens)
            if self.run.is_bounded:
                await self.run.note(self.ctx)
        except BaseException:
            await held.release()
            raise
        return held


@dataclass(slots=True, eq=False)
class Held:
    """The amount reserved for one request."""

    run: RunPurse
    quote: Quote
    call: CallPurse | None = None  # whose call it counts as
    output_tokens: int | None = None
    others: list[Reserved] = field(default_factory=list)

    async def settle(self, usage: Usage) -> None:
        self.run.close(self, usage.input_tokens + usage.output_tokens, usage.usd or 0.0)
        for one in self.others:
            try:
                await one.settle(usage)
            except Exception as error:  # it stays set aside, so that no budget is crossed
                log.warning("what a request has used could not be noted: %s", describe(error))

    async def release(self) -> None:
        self.run.close(self, 0, 0.0)
        if self.call is not None:
            self.call.is_call = True  # what was refused is none; the next try is
        for one in self.others:
            try:
                await one.release()
            except Exception as error:
                log.warning("what was set aside for a request could not be given back: %s", describe(error))

    def keep(self) -> None:
        """Count all that was set aside as used, since the request broke off."""
        self.run.close(self, self.quote.tokens, self.quote.usd)
        for one in self.others:
            one.keep()


def _left(limit: float | None, spent: float, held: Sequence[float]) -> float:
    return float("inf") if limit is None else limit - spent - sum(held) + ROUNDING
