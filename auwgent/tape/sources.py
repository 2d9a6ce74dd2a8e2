"""Brings a tape between a run and its models: those that record what they are asked, and those that play it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from auwgent.errors import ProviderError
from auwgent.hooks.metering import ASKING
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply, Retry, Route
from auwgent.models.embedding import Embedder
from auwgent.models.quotes import Purse
from auwgent.models.resilience import ask as ask_model
from auwgent.session import Usage
from auwgent.tape import form
from auwgent.tape.player import Player
from auwgent.tape.recorder import Recorder
from auwgent.tape.voices import names_tape


class Models(Protocol):
    """The models of an agent, as the engine asks for them."""

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route: ...

    def spec(self, name: str, /, **settings: Any) -> ModelSpec: ...

    def window(self, name: str, /, **settings: Any) -> int | None: ...

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool: ...


def _asker(request: ModelRequest) -> str:
    """Return who asks beside the conversation; empty for an agent."""
    return "" if request.agent else ASKING.get() or "tool"


# --- recording -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordedModels:
    """Models whose answers are written to a tape."""

    models: Models
    recorder: Recorder

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route:
        route = self.models.get(model, **settings)
        if isinstance(model, str):
            kept = [self.models.keeps_schema(model, has_tools, **settings) for has_tools in (False, True)]
            facts = {"window": self.models.window(model, **settings), "keeps_schema": kept}
            self.recorder.model(route.spec, facts)
        return RecordedRoute(route, self.recorder)

    def spec(self, name: str, /, **settings: Any) -> ModelSpec:
        return self.models.spec(name, **settings)

    def window(self, name: str, /, **settings: Any) -> int | None:
        return self.models.window(name, **settings)

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        return self.models.keeps_schema(name, has_tools, **settings)


class RecordedRoute:
    """A way to a model that writes down each whole answer before it takes effect."""

    pays_itself = True  # the way behind it does

    def __init__(self, route: Route, recorder: Recorder) -> None:
        self.spec, self._route, self._recorder = route.spec, route, recorder

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        asked = form.request_form(self.spec, request, _asker(request))
        pieces: list[Piece] = []
        try:
            async with aclosing(ask_model(self._route, request)) as items:
                async for item in items:
                    if isinstance(item, Reply):
                        self._recorder.answered(asked, pieces, item, request)
                    else:
                        pieces.append(item)
                    yield item
        except ProviderError as error:
            self._recorder.failed(asked, pieces, error)
            raise

    async def aclose(self) -> None:
        await self._route.aclose()


class RecordedEmbedder(Embedder):
    """Makes vectors, and writes them to a tape."""

    __slots__ = ("_recorder",)

    def __init__(self, embed: Embedder, recorder: Recorder) -> None:
        super().__init__(embed.spec)
        object.__setattr__(self, "_recorder", recorder)

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        return (await self.paid(texts, None))[0]

    async def paid(self, texts: Sequence[str], purse: Purse | None) -> tuple[list[list[float]], Usage]:
        vectors, usage = await super().paid(texts, purse)
        recorder: Recorder = self._recorder  # type: ignore[attr-defined]
        recorder.embedded(self.model, texts, vectors, usage)
        return vectors, usage


# --- playing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayedModels:
    """Models that answer from a tape. `root` is the agent that speaks with the tape's own voice."""

    models: Models
    player: Player
    root: str

    def spec(self, name: str, /, **settings: Any) -> ModelSpec:
        """Return the model as it was recorded: a tape's own name stands for the one that answered the root agent."""
        base = self.models.spec(name)
        if not names_tape(base.name):
            return self.models.spec(name, **settings)
        model = self.player.model_of(self.root) or base.name
        params = self.player.models.get(model, {}).get("params", {})
        spec = base.changed(name=model, params=params, own=None, api_key=None)
        return _changed(spec, settings)

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route:
        spec = self.spec(model, **settings) if isinstance(model, str) else model
        return PlayedRoute(spec, self.player)

    def window(self, name: str, /, **settings: Any) -> int | None:
        known = self.player.models.get(self.spec(name, **settings).name)
        window: int | None = known["window"] if known else self.models.window(name, **settings)
        return window

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        known = self.player.models.get(self.spec(name, **settings).name)
        return bool(known["keeps_schema"][has_tools]) if known else self.models.keeps_schema(name, has_tools)


def _changed(spec: ModelSpec, settings: dict[str, Any]) -> ModelSpec:
    """The spec with what hooks put on ctx, as far as it stands on a tape."""
    name, provider = settings.get("model") or spec.model, settings.get("provider")
    if provider is not None and not name.startswith(f"{provider}/"):
        name = f"{provider}/{name}"
    if "/" not in name:
        name = f"{spec.provider}/{name}"
    if settings.get("model") or provider:
        spec = spec.changed(name=name)
    return spec.changed(params=dict(settings["config"] or {})) if "config" in settings else spec


@dataclass(slots=True)
class PlayedRoute:
    """A way to a tape in place of a model."""

    spec: ModelSpec
    player: Player
    pays_itself: ClassVar[bool] = True  # it costs nothing

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        answer = self.player.ask(self.spec, request, _asker(request))
        for piece in form.pieces_of(answer, request):
            if request.stream or isinstance(piece, Retry):
                yield piece
        if failure := form.failure_of(answer):
            raise failure
        yield form.reply_of(answer, request)

    async def aclose(self) -> None:
        """Nothing is held."""


class PlayedEmbedder(Embedder):
    """Gives the vectors of a tape."""

    __slots__ = ("_player",)

    def __init__(self, embed: Embedder, player: Player) -> None:
        super().__init__(embed.spec)
        object.__setattr__(self, "_player", player)

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        return (await self.paid(texts, None))[0]

    async def paid(self, texts: Sequence[str], purse: Purse | None) -> tuple[list[list[float]], Usage]:
        if not texts:
            return [], Usage(usd=0.0)
        player: Player = self._player  # type: ignore[attr-defined]
        return player.embed(self.model, texts)
