"""Makes a tape of a conversation that was not recorded: the agent runs again, and says what it has said then."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from auwgent.errors import TapeMiss
from auwgent.models.base import ModelRequest, ModelSpec, Piece, RawCall, Reply, Route, TextPiece
from auwgent.session import Turn, Usage
from auwgent.tape.base import Answer, Asking, Found, Inner
from auwgent.tape.recorder import Recorder
from auwgent.tape.sources import Models
from auwgent.tape.stored import StoredCalls


class Said:
    """What each agent has said in a conversation, in order."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._left: dict[str, list[Turn]] = {}
        for turn in turns:
            if turn.role == "assistant":
                self._left.setdefault(turn.agent or "", []).append(turn)

    def next(self, agent: str) -> Turn:
        """Return what the agent said next. `TapeMiss` where it said no more."""
        left = self._left.get(agent)
        if not left:
            raise TapeMiss(f"the stored conversation holds no further answer of {agent or 'a middleware'!r}")
        return left.pop(0)


@dataclass(frozen=True, slots=True)
class SaidModels:
    """Models that say what was said then."""

    models: Models
    said: Said

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route:
        return SaidRoute(self.spec(model, **settings) if isinstance(model, str) else model, self.said)

    def spec(self, name: str, /, **settings: Any) -> ModelSpec:
        return self.models.spec(name, **settings)

    def window(self, name: str, /, **settings: Any) -> int | None:
        return self.models.window(name, **settings)

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        return self.models.keeps_schema(name, has_tools, **settings)


class SaidRoute:
    """Answers with the next turn of the agent that asks."""

    pays_itself = True  # it costs nothing

    def __init__(self, spec: ModelSpec, said: Said) -> None:
        self.spec, self._said = spec, said

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        turn = self._said.next(request.agent)
        if turn.text:
            yield TextPiece(turn.text)
        yield Reply(
            text=turn.text,
            calls=tuple(
                RawCall(call.id, call.name, call.raw_args or json.dumps(call.args, ensure_ascii=False))
                for call in turn.tool_calls or ()
            ),
            usage=turn.usage or Usage(usd=0.0),
            model=turn.model or self.spec.name,
            finish_reason=turn.finish_reason or ("tool_calls" if turn.tool_calls else "stop"),
            provider_data=turn.provider_data,
        )

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class RecordedPast:
    """Writes down the results that the past holds."""

    recorder: Recorder
    past: StoredCalls

    async def call(self, asking: Asking, work: Callable[[], Awaitable[Any]], inner: Inner | None) -> Any:
        return await self.recorder.call(asking, partial(self.past.call, asking, work, inner), None)

    async def tools(self, agent: str, find: Callable[[], Awaitable[Found]]) -> Found:
        return await self.recorder.tools(agent, find)

    async def answer(self, asking: Asking, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        return await self.recorder.answer(asking, partial(self.past.answer, asking, ask))
