"""The messages of a chat as what a run is given: the history, the newest input, or answers to open calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from auwgent.config import ServeConfig
from auwgent.errors import ArgumentError
from auwgent.inputs import content_of
from auwgent.outputs import partial_json
from auwgent.serve.faults import bad_request
from auwgent.serve.instructions import context_of
from auwgent.serve.parts import Content, content
from auwgent.session import Session, ToolCall, Turn, misfits

_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class ChatInput:
    """What a request asks: `input`, or `answers` by the ids of calls as their caller knows them."""

    input: Content | None = None
    history: Session | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


def asked_of(
    messages: Sequence[Mapping[str, Any]],
    config: ServeConfig,
    agent: str,
    *,
    has_session: bool,
    answers: Mapping[str, Any] | None = None,
    param: str = "messages",
) -> ChatInput:
    """Return what the messages ask. With a session of ours those before the last assistant message are not read.

    `answers` are those that do not stand in the messages; `param` is where the request has them all.
    """
    for number, message in enumerate(messages):
        role = message.get("role")
        if role not in (*_SYSTEM, "user", "assistant", "tool"):
            place = f"messages[{number}].role"
            raise bad_request(
                f"`{place}` should be system, developer, user, assistant or tool, not {role!r}", place
            )
    system = [
        _words(content(message.get("content"), f"messages[{number}].content"))
        for number, message in enumerate(messages)
        if message["role"] in _SYSTEM
    ]
    context = context_of(config, system, param)
    spoken = [(n, one) for n, one in enumerate(messages) if one["role"] not in _SYSTEM]
    newest = _newest(spoken)
    given = {_id_of(one, n): _answer(one, n) for n, one in newest if one["role"] == "tool"}
    given.update(answers or {})
    if given and any(one["role"] == "user" for _, one in newest):
        raise bad_request("answers to calls and a new message of the user cannot be sent at once", param)
    if given:
        return ChatInput(answers=given, context=context)
    if not newest:
        raise bad_request("the last message should be of the user, or the result of a tool", param)
    if has_session:
        return ChatInput(_joined([_content(one, n) for n, one in newest]), context=context)
    history = [_turn(one, n, agent) for n, one in spoken[:-1]]
    session = Session(stack=[agent], turns=_paired(history)) if history else None
    return ChatInput(_content(newest[-1][1], newest[-1][0]), session, context=context)


Numbered = tuple[int, Mapping[str, Any]]


def _newest(spoken: Sequence[Numbered]) -> list[Numbered]:
    """Return the messages after the last one of the assistant."""
    last = max((place for place, (_, one) in enumerate(spoken) if one["role"] == "assistant"), default=-1)
    return list(spoken[last + 1 :])


def _content(message: Mapping[str, Any], number: int) -> Content:
    return content(message.get("content"), f"messages[{number}].content")


def _words(given: Content) -> str:
    return given if isinstance(given, str) else "\n".join(part.get("text", "") for part in given)


def _joined(contents: Sequence[Content]) -> Content:
    if all(isinstance(one, str) for one in contents):
        return "\n\n".join(map(str, contents))
    parts: list[dict[str, Any]] = []
    for one in contents:
        parts += [{"type": "text", "text": one}] if isinstance(one, str) else one
    return parts


def _id_of(message: Mapping[str, Any], number: int) -> str:
    found = message.get("tool_call_id")
    if not isinstance(found, str) or not found:
        place = f"messages[{number}].tool_call_id"
        raise bad_request(f"`{place}` should name the call that this is the result of", place)
    return found


def _answer(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {"result": _words(_content(message, number))}


def _turn(message: Mapping[str, Any], number: int, agent: str) -> Turn:
    given: dict[str, Any] = {"role": message["role"], "agent": agent}
    try:
        given["content"] = content_of(_content(message, number))
        if message["role"] == "tool":
            given |= {"tool_call_id": _id_of(message, number), "outcome": "ok", "name": message.get("name")}
        elif message["role"] == "assistant" and message.get("tool_calls"):
            given["tool_calls"] = [_call(one) for one in message["tool_calls"]]
        return Turn.model_validate(given)
    except ValidationError as error:
        place = f"messages[{number}]"
        raise bad_request(misfits(error, place), place) from None
    except ArgumentError as error:
        raise bad_request(str(error), f"messages[{number}].content") from None
    except (KeyError, TypeError, AttributeError):
        place = f"messages[{number}].tool_calls"
        raise bad_request(f"`{place}` are not calls as OpenAI's API has them", place) from None


def _call(given: Mapping[str, Any]) -> ToolCall:
    function = given["function"]
    args = partial_json(function.get("arguments") or "{}")
    if not isinstance(args, dict):
        return ToolCall(id=given["id"], name=function["name"], raw_args=function["arguments"])
    return ToolCall(id=given["id"], name=function["name"], args=args)


def _paired(turns: Sequence[Turn]) -> list[Turn]:
    """Name the tools of results, which callers leave out."""
    names = {call.id: call.name for turn in turns for call in turn.tool_calls or ()}
    return [
        turn.model_copy(update={"name": turn.name or names.get(turn.tool_call_id or "")})
        if turn.role == "tool"
        else turn
        for turn in turns
    ]
