"""The payloads of intents by name, for type checkers.

`typed(intent)` is the intent as one of a union: once `intent.partial is True` and `intent.name == "…"` have been
compared, mypy and pyright know the keys of `intent.value`. Intents of the config's own are not in it; compare their
names on the plain `Intent`, whose value may be anything.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict, cast

from auwgent.intents import Intent


class TextPayload(TypedDict):
    """What an agent said."""

    text: str


class SchemaPayload(TypedDict):
    """A structured answer: the name of its type, and the answer as plain data."""

    type: str
    response: Any


class CallPayload(TypedDict):
    """A call that is about to be made, or that was skipped. `type` is the name of what is called."""

    type: str
    args: dict[str, Any]
    id: str


class ResultPayload(TypedDict):
    """What a call gave. `overridden` is there and true where a hook gave it."""

    name: str
    args: dict[str, Any]
    result: Any
    id: str
    overridden: NotRequired[bool]


class ToolErrorPayload(TypedDict):
    """A call that failed or could not be made. The model reads the message."""

    tool: str
    message: str
    id: str


class UsagePayload(TypedDict):
    """The fields of `Usage`. `usd` is None where no price is known."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    written_tokens: int
    reasoning_tokens: int
    usd: float | None
    estimated: bool


class ModelCallPayload(TypedDict):
    """A model call that has ended. `seconds` counts from the request to the last piece."""

    model: str
    usage: UsagePayload
    finish_reason: str | None
    seconds: float


class OpenCall(TypedDict):
    """A call that waits for an answer. `expires` is a time in ISO format, or None."""

    id: str
    type: str
    args: dict[str, Any]
    agent: str
    kind: Literal["approval", "tool"]
    expires: str | None


class PausedPayload(TypedDict):
    """The run waits for answers to these calls."""

    calls: list[OpenCall]


class RetryPayload(TypedDict):
    """A model that `failed` before it said anything; `model` is asked next, after `wait` seconds."""

    failed: str
    model: str
    reason: str
    wait: float


class ErrorPayload(TypedDict):
    """Why the run ended. `kind` is the name of the error's class."""

    message: str
    kind: str


class PartialPayload(TypedDict):
    """A streamed piece: `delta` is new, `raw` and `snapshot` are all so far, as text and as data. A call has `id`."""

    partial: Literal[True]
    complete: Literal[False]
    mode: Literal["text", "structured"]
    segment: int
    snapshot: Any
    raw: str
    delta: str
    id: NotRequired[str]


Whole = Literal[False]
PartialIntent = Intent[str, PartialPayload, Literal[True]]

AnyIntent = (
    PartialIntent
    | Intent[Literal["response_text"], TextPayload, Whole]
    | Intent[Literal["response_schema"], SchemaPayload, Whole]
    | Intent[Literal["tool_call", "workflow_call", "helper_call"], CallPayload, Whole]
    | Intent[Literal["tool_skipped", "workflow_skipped", "helper_skipped"], CallPayload, Whole]
    | Intent[Literal["tool_result", "workflow_result", "helper_result"], ResultPayload, Whole]
    | Intent[Literal["tool_error"], ToolErrorPayload, Whole]
    | Intent[Literal["model_call"], ModelCallPayload, Whole]
    | Intent[Literal["model_retry"], RetryPayload, Whole]
    | Intent[Literal["paused"], PausedPayload, Whole]
    | Intent[Literal["error"], ErrorPayload, Whole]
)


def typed(intent: Intent) -> AnyIntent:
    """Return the same intent, for type checkers as one of the union."""
    return cast("AnyIntent", intent)
