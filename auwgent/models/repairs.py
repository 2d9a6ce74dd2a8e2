"""Turns what providers send into what LiteLLM's clients for their formats can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from auwgent.models.ends import end_of
from auwgent.models.events import Unusable
from auwgent.models.formats.anthropic import InARow
from auwgent.models.received import Json, count_of

Repair = Callable[[Json], Mapping[str, Any]]

_SPOKEN = (
    "message",
    "function_call",
    "custom_tool_call",
)  # items of a response that LiteLLM makes a choice of


def repair_of(path: str, *, streams: bool) -> Repair | None:
    """Return what to do with each event, or with the whole answer, of this endpoint; None where nothing is."""
    if path.endswith("/v2/chat"):
        return _cohere_event if streams else None
    if "GenerateContent" in path or path.endswith(":generateContent"):
        return _gemini_answer
    return _response if is_response(path) and not streams else None


def is_response(path: str) -> bool:
    """Return whether answers from this endpoint are those of OpenAI's Responses."""
    return path.endswith("/responses")


class EventOrder(Protocol):
    """Takes the events of one stream."""

    def take(self, event: Json) -> Iterator[Json]:
        """Yield the events that LiteLLM is to read now."""
        ...


def order_of(path: str) -> EventOrder | None:
    """Return what to do with the events of a stream from this endpoint; None where nothing is."""
    if path.endswith(("/messages", ":streamRawPredict")):
        return InARow()
    return _Pieces() if is_response(path) else None


class _Pieces:
    """LiteLLM reads words and arguments from the pieces of a response alone, which some servers leave out."""

    def __init__(self) -> None:
        self._has_items = False
        self._written: set[Any] = set()  # indices of the items whose pieces came

    def take(self, event: Json) -> Iterator[Json]:
        kind = str(event.type)
        if not kind.startswith("response."):  # a sign of life
            return
        if isinstance(event.response, Json) and isinstance(event.response.usage, Json):
            event.response["usage"] = _believable(event.response.usage)
        if kind.endswith(".delta"):
            self._written.add(event.output_index)
        self._has_items |= "output_" in kind
        if kind == "response.output_item.done" and isinstance(event.item, Json):
            for piece in _pieces(event.item, event.output_index):
                if event.output_index not in self._written:
                    yield piece
        if kind == "response.completed" and isinstance(event.response, Json) and not self._has_items:
            yield from map(Json, [*response_events(event.response)][1:-1])
        yield event


def _cohere_event(event: Json) -> Mapping[str, Any]:
    """LiteLLM looks for calls and for the end where Cohere does not put them."""
    if event.type == "message-end":
        return {**event, "event": "message-end", "data": {"delta": event.delta or {}}}
    call = _at(event, "delta", "message", "tool_calls")
    if event.type not in ("tool-call-start", "tool-call-delta") or not isinstance(call, Json):
        return event
    function = call.function if isinstance(call.function, Json) else Json()
    flat = {"id": call.id or "", "name": function.name or "", "arguments": function.arguments or ""}
    return {**event, "type": "tool-call-delta", "delta": {"tool_calls": [flat]}}


def _gemini_answer(answer: Json) -> Mapping[str, Any]:
    """LiteLLM wants arguments in each call, and throws the text of a filtered answer away.

    Gemini's own word for the end is kept beside.
    """
    if isinstance(answer.usageMetadata, Json):
        answer["usageMetadata"] = _believable(answer.usageMetadata)
    for candidate in answer.candidates if isinstance(answer.candidates, list) else ():
        parts = _at(candidate, "content", "parts")
        found = [part for part in parts if isinstance(part, Json)] if isinstance(parts, list) else []
        for part in found:
            if isinstance(part.functionCall, Json):
                part.functionCall.setdefault("args", {})
        if any(part.text for part in found) and end_of(str(candidate.finishReason)) == "filtered":
            candidate |= {"nativeFinishReason": candidate.finishReason, "finishReason": "STOP"}
    return answer


def _response(answer: Json) -> Mapping[str, Any]:
    """LiteLLM takes a response without a word in it for an error, and one with odd counts, too."""
    answer = _tidy_response(answer)
    if answer.status != "completed" or any(one.type in _SPOKEN for one in answer["output"]):
        return answer
    empty = {"type": "output_text", "text": "", "annotations": []}
    around = {"type": "message", "id": "msg_none", "status": "completed", "role": "assistant"}
    return {**answer, "output": [*answer["output"], {**around, "content": [empty]}]}


def _tidy_response(sent: Any) -> Json:
    """Return a whole response with all that LiteLLM wants to be there. Raises where it is none."""
    if not isinstance(sent, Json) or not isinstance(sent.output, list):
        raise Unusable("sent JSON that is not an answer")
    answer = Json({"id": "resp", "created_at": 0, "model": "", **sent})
    answer["output"] = [item for item in sent.output if isinstance(item, Json)]
    if isinstance(answer.usage, Json):
        answer["usage"] = _believable(answer.usage)
    return answer


def response_events(sent: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a whole answer of the Responses API as the events of a stream. Raises where it is none."""
    answer = _tidy_response(sent)
    yield {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}}
    for index, item in enumerate(answer["output"]):
        place = {"output_index": index, "item_id": item.id or ""}
        yield {"type": "response.output_item.added", **place, "item": {**item, "arguments": ""}}
        yield from _pieces(item, index)
        yield {"type": "response.output_item.done", **place, "item": item}
    yield {"type": f"response.{answer.status}", "response": answer}


def _pieces(item: Json, index: Any) -> Iterator[Json]:
    """Yield all that an item says, as pieces of it."""
    place = {"output_index": index, "item_id": item.id or ""}
    for part in item.content if isinstance(item.content, list) else ():
        if isinstance(part, Json) and isinstance(part.text, str):
            yield Json(type="response.output_text.delta", **place, content_index=0, delta=part.text)
    if isinstance(item.arguments, str) and item.arguments:
        yield Json(type="response.function_call_arguments.delta", **place, delta=item.arguments)


def _believable(usage: Json) -> Json:
    """Return the counts with nothing for those that cannot be; where nothing is left, we count ourselves."""
    tidy = Json()
    for name, value in usage.items():
        if isinstance(value, Json):
            tidy[name] = _believable(value)
        elif name.lower().endswith(("tokens", "count")):
            tidy[name] = count_of(value) or 0
        else:
            tidy[name] = value
    return tidy


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Json) else None
    return value
