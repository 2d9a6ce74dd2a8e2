"""How the tests of models ask one: a spec, a conversation, a tool, and everything that came back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from auwgent.models.base import ModelRequest, ModelSpec, OutputSpec, Piece, Reply, Route, ToolSpec
from auwgent.models.direct import DirectModel
from auwgent.models.litellm import LiteLLMModel
from auwgent.session import ToolCall, Turn, new_id

WEATHER = ToolSpec(
    "get_weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
REPORT = OutputSpec(
    "report",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
        "required": ["city", "degrees"],
    },
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model said: its pieces in order, and its reply."""

    pieces: list[Piece]
    reply: Reply

    def of(self, kind: type[Any]) -> list[Any]:
        return [piece for piece in self.pieces if isinstance(piece, kind)]


def model_of(spec: ModelSpec) -> Route:
    """The model class of the way that `spec.via` names."""
    return DirectModel(spec) if spec.via == "direct" else LiteLLMModel(spec)


def user(text: str) -> Turn:
    return Turn(role="user", content=text)


def asked(*turns: Turn, tools: Sequence[ToolSpec] = (), **settings: Any) -> ModelRequest:
    return ModelRequest(system="Be brief.", turns=turns, tools=tools, **settings)


async def hear(model: Route, request: ModelRequest) -> Heard:
    """Ask, and listen to the end."""
    pieces: list[Piece] = []
    async with aclosing(model.ask(request)) as stream:
        async for piece in stream:
            if isinstance(piece, Reply):
                return Heard(pieces, piece)
            pieces.append(piece)
    raise AssertionError("the model ended without a reply")


def answered(reply: Reply, *results: str) -> list[Turn]:
    """The turns that an engine makes of a reply, one result for each of its calls."""
    calls = [
        ToolCall(id=call.id or new_id(), name=call.name, args=json.loads(call.arguments))
        for call in reply.calls
    ]
    said = Turn(
        role="assistant",
        content=reply.text,
        tool_calls=calls or None,
        model=reply.model,
        provider_data=reply.provider_data,
    )
    told = [
        Turn(role="tool", tool_call_id=call.id, name=call.name, content=result, outcome="ok")
        for call, result in zip(calls, results, strict=True)
    ]
    return [said, *told]
