"""The form of what stands on a tape: without ids and times, and without secrets.

Calls are told apart by their numbers in the conversation. Media are known by a hash of their bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from auwgent.errors import ProviderError
from auwgent.models.base import (
    CallPiece,
    ModelRequest,
    ModelSpec,
    Piece,
    RawCall,
    ReasoningPiece,
    Reply,
    Retry,
    TextPiece,
    ToolSpec,
)
from auwgent.secrecy import scrubbed, without_secrets
from auwgent.session import PARTS, Media, Part, Turn, Usage
from auwgent.tools.function import media_in, result_text

Form = dict[str, Any]

READER = "read_result"  # the tool whose argument is the id of an earlier call


def clean(value: Any) -> Any:
    """Return plain data without secrets."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, Mapping):
        return {str(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def key_of(form: Any) -> str:
    """Return what equal forms share."""
    return hashlib.sha256(json.dumps(form, sort_keys=True, default=str).encode()).hexdigest()


class Numbers:
    """The calls of a conversation by their numbers, counted from 1."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._of: dict[str, int] = {}
        for turn in turns:
            for call in turn.tool_calls or ():
                self._of[call.id] = len(self._of) + 1

    def of(self, call_id: str | None) -> int | None:
        """Return the number of a call; None for one that is not in the conversation."""
        return self._of.get(call_id or "")

    def hidden(self, text: str) -> str:
        """Return a text with the ids of calls as numbers, such as `#3`."""
        for call_id in sorted(self._of, key=len, reverse=True):  # one may be the beginning of another
            text = text.replace(call_id, f"#{self._of[call_id]}")
        return text

    def restored(self, text: str) -> str:
        """Return JSON text with the ids in place of numbers that stand as texts of their own."""
        for call_id, number in self._of.items():
            text = text.replace(f'"#{number}"', json.dumps(call_id))
        return text


# --- requests --------------------------------------------------------------------------------------------------


def request_form(spec: ModelSpec, request: ModelRequest, by: str = "") -> Form:
    """Return a model call as it is looked up. `by` is the middleware or tool that asks beside the conversation."""
    numbers = Numbers(request.turns)
    form: Form = {"agent": request.agent, "by": by} if by else {"agent": request.agent}
    form |= {"model": spec.name}
    if spec.params:
        form["params"] = clean(without_secrets(spec.params))
    if request.system:
        form["system"] = scrubbed(request.system)
    if request.tools:
        form["tools"] = [tool_form(tool) for tool in request.tools]
    if request.output is not None:
        form["output"] = {"name": request.output.name, "schema": clean(request.output.schema)}
    form["turns"] = [turn_form(turn, numbers) for turn in request.turns]
    return form


def tool_form(tool: ToolSpec) -> Form:
    """Return a tool as a model is told of it."""
    return {
        "name": tool.name,
        "description": scrubbed(tool.description),
        "parameters": clean(tool.parameters),
    }


def turn_form(turn: Turn, numbers: Numbers) -> Form:
    """Return one message: `{"user": …}`, `{"assistant": …, "calls": […]}` or `{"tool": name, "result": …}`."""
    content = _content_form(turn)
    if turn.role == "tool":
        if isinstance(content, str) and READER in content:
            content = numbers.hidden(content)
        form: Form = {"tool": turn.name or "", "call": numbers.of(turn.tool_call_id), "result": content}
        return form if turn.outcome in (None, "ok") else form | {"outcome": turn.outcome}
    form = {turn.role: content}
    if turn.tool_calls:
        form["calls"] = [_call_form(call.name, call.args, call.raw_args, numbers) for call in turn.tool_calls]
    return form


def _call_form(name: str, args: Mapping[str, Any], raw: str | None, numbers: Numbers) -> Form:
    if raw is not None:
        return {"name": name, "raw": scrubbed(raw)}
    if name == READER:
        return {"name": name, "args": json.loads(numbers.hidden(json.dumps(args)))}
    return {"name": name, "args": clean(args)}


def _content_form(turn: Turn) -> Any:
    if isinstance(turn.content, str):
        return scrubbed(turn.content)
    return [_part_form(part) for part in turn.content]


def _part_form(part: Part) -> Any:
    if not isinstance(part, Media):
        return scrubbed(part.text)
    form = {"media": part.type, "name": part.name, "mime_type": part.mime_type, "refused": part.refused}
    if part.data is not None:
        form["sha256"] = hashlib.sha256(part.data.encode()).hexdigest()[:16]
    else:
        form["url"] = scrubbed(part.url or "")
    return {key: value for key, value in form.items() if value is not None}


# --- answers ---------------------------------------------------------------------------------------------------


def answer_form(pieces: Sequence[Piece], reply: Reply, request: ModelRequest) -> Form:
    """Return what a model answered, piece by piece. What follows from the pieces is not repeated."""
    numbers = Numbers(request.turns)
    form: Form = {}
    if pieces:
        form["pieces"] = _pieces_form(pieces, reply, numbers)
    said = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
    if reply.text != said:
        form["text"] = scrubbed(reply.text)
    if reply.calls:
        form["calls"] = [_raw_call_form(call, numbers) for call in reply.calls]
    form |= {"model": reply.model, "end": reply.finish_reason}
    if reply.said:
        form["said"] = scrubbed(reply.said)
    if reply.raw and reply.raw != reply.text:
        form["raw"] = scrubbed(reply.raw)
    if reply.provider_data is not None:
        form["provider_data"] = clean(reply.provider_data)
    form["usage"] = usage_form(reply.usage)
    return form


def _raw_call_form(call: RawCall, numbers: Numbers) -> Form:
    arguments = numbers.hidden(call.arguments) if call.name == READER else scrubbed(call.arguments)
    form = {"name": call.name, "arguments": arguments}
    return form | {"cut": True} if call.cut else form


def _pieces_form(pieces: Sequence[Piece], reply: Reply, numbers: Numbers) -> list[Any]:
    """Return the pieces: texts as they are, all else as tables. A secret that was cut into pieces comes in one."""
    whole: dict[Any, str] = {}
    for piece in pieces:
        if (at := _stream_of(piece)) is not None:
            whole[at] = whole.get(at, "") + _words(piece)
    named = {index: call.name for index, call in enumerate(reply.calls)}
    masked = {
        at: numbers.hidden(text) if named.get(at) == READER else scrubbed(text) for at, text in whole.items()
    }
    told: set[Any] = set()
    forms: list[Any] = []
    for piece in pieces:
        at = _stream_of(piece)
        words = None if at is None else _words(piece)
        if at is not None and masked[at] != whole[at]:
            if at in told:
                continue
            told.add(at)
            words = masked[at]
        forms.append(_piece_form(piece, words))
    return forms


def _stream_of(piece: Piece) -> Any:
    """Return which text a piece goes on with."""
    if isinstance(piece, CallPiece):
        return piece.index
    return type(piece) if isinstance(piece, TextPiece | ReasoningPiece) else None


def _words(piece: Piece) -> str:
    return piece.arguments if isinstance(piece, CallPiece) else getattr(piece, "text", "")


def _piece_form(piece: Piece, words: str | None) -> Any:
    if isinstance(piece, TextPiece):
        return words
    if isinstance(piece, ReasoningPiece):
        return {"thought": words}
    if isinstance(piece, CallPiece):
        form: Form = {"call": piece.index}
        if piece.name is not None:
            form["name"] = piece.name
        return form | {"arguments": words} if words else form
    return {"retry": piece.model, "failed": piece.failed, "reason": scrubbed(piece.reason)}


def usage_form(usage: Usage) -> Form:
    """Return the tokens that are not 0, and the price."""
    return {"usd": usage.usd} | usage.model_dump(mode="json", exclude_defaults=True)


def failure_form(pieces: Sequence[Piece], error: ProviderError) -> Form:
    """Return how a model call failed, and what it had said before."""
    form: Form = {"pieces": _pieces_form(pieces, Reply(), Numbers(()))} if pieces else {}
    form |= {"error": str(error), "fault": error.fault, "of": error.model}
    if error.status is not None:
        form["status"] = error.status
    return form | {"retryable": True} if error.retryable else form


def failure_of(form: Form) -> ProviderError | None:
    """Return the failure that an answer is; None for one that came."""
    if "error" not in form:
        return None
    return ProviderError(
        form["error"],
        provider=str(form["of"]).partition("/")[0],
        model=form["of"],
        fault=form["fault"],
        status=form.get("status"),
        retryable=form.get("retryable", False),
    )


def pieces_of(form: Form, request: ModelRequest) -> list[Piece]:
    """Return the pieces that were streamed; where there were none, what is streamed now is the answer in one."""
    numbers = Numbers(request.turns)
    named: dict[int, str] = {}
    pieces: list[Piece] = []
    for one in form.get("pieces", ()):
        if isinstance(one, str):
            pieces.append(TextPiece(one))
        elif "thought" in one:
            pieces.append(ReasoningPiece(one["thought"]))
        elif "retry" in one:
            pieces.append(Retry(one["failed"], one["retry"], one["reason"], wait=0.0))
        else:
            index = one["call"]
            named[index] = one.get("name") or named.get(index, "")
            arguments = one.get("arguments", "")
            if named[index] == READER:
                arguments = numbers.restored(arguments)
            pieces.append(CallPiece(index, name=one.get("name"), arguments=arguments))
    if "error" in form or any(not isinstance(piece, Retry) for piece in pieces):
        return pieces
    whole = reply_of(form, request)
    pieces += [TextPiece(whole.text)] if whole.text else []
    calls = enumerate(whole.calls)
    return pieces + [CallPiece(index, name=call.name, arguments=call.arguments) for index, call in calls]


def reply_of(form: Form, request: ModelRequest) -> Reply:
    """Return the whole answer, its calls without ids."""
    numbers = Numbers(request.turns)
    said = "".join(one for one in form.get("pieces", ()) if isinstance(one, str))
    calls = []
    for one in form.get("calls", ()):
        arguments = numbers.restored(one["arguments"]) if one["name"] == READER else one["arguments"]
        calls.append(RawCall("", one["name"], arguments, cut=one.get("cut", False)))
    return Reply(
        text=form.get("text", said),
        calls=tuple(calls),
        usage=Usage.model_validate(form.get("usage", {})),
        model=form["model"],
        finish_reason=form["end"],
        said=form.get("said", ""),
        provider_data=form.get("provider_data"),
        raw=form.get("raw", ""),
    )


# --- results and tools -----------------------------------------------------------------------------------------


def result_form(result: Any) -> Form:
    """Return what a tool gave: as the model reads it, texts as they are and all else as data."""
    if parts := media_in(result):
        return {"parts": [part.model_dump(mode="json") for part in parts]}
    if isinstance(result, str):
        return {"result": scrubbed(result)}
    return {"result": clean(json.loads(result_text(result)))}


def result_of(form: Form) -> Any:
    """Return the result as a tool would give it."""
    return PARTS.validate_python(form["parts"]) if "parts" in form else form.get("result")
