"""Bounds, splits and normalises what a provider sent, before either route reads it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from auwgent.models.events import DONE, ERROR_BYTES, Unusable, events

MOST_TOKENS = 10**9  # in one call; a count beyond is a mistake
LATE_USAGE = 5.0  # seconds that what follows the end of an answer may take


class Json(dict[str, Any]):
    """A JSON object that is read by attribute, as LiteLLM's chunks are; what it lacks is None."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return a value with all objects in it as these."""
        if isinstance(value, dict):
            return cls({key: cls.of(inner) for key, inner in value.items()})
        return [cls.of(inner) for inner in value] if isinstance(value, list) else value

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    def __repr__(self) -> str:
        return f"<Json with {len(self)} keys>"  # what a provider sends may hold the key that it was sent


# What stands for a status where an error says it in words.
STATUS_OF: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "insufficient_credits": 402,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "model_not_found": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "internal": 500,
    "unavailable": 503,
    "service_unavailable": 503,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
}


class APIError(Exception):
    """An error that the provider sent in place of an answer, or of a piece of one; `begun` in the middle of it."""

    begun = False

    def __init__(self, said: Any, status: int | None = None) -> None:
        try:
            text = json.dumps({"error": said})
        except (RecursionError, ValueError, TypeError):
            text = "an error that cannot be read"
        super().__init__(text[:ERROR_BYTES])
        self.status_code = status


class BrokenOff(Exception):
    """An answer without an end; `begun` where something of it had come."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the answer has no end")
        self.begun = begun


class AnswerReader(Protocol):
    """Reads one answer of some wire format."""

    def take(self, sent: Any, *, whole: bool) -> Iterator[Json]:
        """Yield what an event, or a `whole` answer, brings, as chunks in the form of OpenAI's chat.

        What the provider itself sent stands in a chunk as `sent` where it has another form. Raises `APIError` for an
        error in place of an answer, `Unusable` for what cannot be one.
        """
        ...


class ChatReader:
    """Reads OpenAI's chat format."""

    def __init__(self) -> None:
        self._has_begun = False

    def take(self, sent: Any, *, whole: bool) -> Iterator[Json]:
        """Yield one chunk; a reader of it finds nothing that it may not expect."""
        chunk = tidied(sent)
        for choice in chunk["choices"]:
            if self._has_begun and choice.message and not whole:
                choice["delta"] = Json()  # all that was said, once more
            self._has_begun |= bool(choice.delta.content or choice.delta.tool_calls)
        yield chunk


async def answered(
    chunks: AsyncIterator[bytes], reader: AnswerReader | None = None
) -> AsyncGenerator[Json, None]:
    """Yield the pieces of an answer, or the whole of it, in one and the same form: that of OpenAI's chat.

    Once the model has said that it is done, nothing that may follow or fail to follow can take the answer away.
    """
    reader = reader or ChatReader()
    has_ended = has_begun = False
    async with aclosing(events(chunks)) as found:
        while True:
            try:
                async with asyncio.timeout(LATE_USAGE if has_ended else None):
                    event = await anext(found, None)
                if event is None or event == DONE:
                    return
                if event.name == "error":
                    raise APIError(*_wrong(decoded(event)))
                if not event.is_whole and not event.startswith((b"{", b"[")):
                    continue  # a sign of life
                read = list(reader.take(decoded(event), whole=event.is_whole))
            except APIError as error:
                error.begun = has_begun
                raise
            except Exception:
                if has_ended:
                    return
                raise
            for chunk in read:
                for choice in chunk["choices"]:
                    has_begun |= bool(choice.delta.content or choice.delta.tool_calls)
                    has_ended |= bool(choice.finish_reason)
                yield chunk


_DECODER = json.JSONDecoder(object_hook=Json)


def decoded(data: bytes) -> Any:
    """JSON of a provider's. What it is not able to be is told as a wrong answer, not by what Python says."""
    try:
        return _DECODER.decode(data.decode(errors="replace"))
    except RecursionError:
        raise Unusable("sent an answer that is nested too deeply") from None


def tidied(sent: Any) -> Json:
    """A chunk or a whole answer in OpenAI's chat format, as it should be. Raises where it is none, or an error."""
    if not isinstance(sent, Json):
        raise Unusable("sent JSON that is not an answer")
    if failure := failure_in(sent):
        raise failure
    if "choices" not in sent and (sent.object == "response" or sent.type == "message"):
        raise Unusable("sent an answer in another wire format than OpenAI's chat")
    choices = sent.choices or []
    if not isinstance(choices, list) or not all(isinstance(one, Json) for one in choices):
        raise Unusable("sent `choices` that are not a list of objects")
    usage = next((one for one in _usages(sent, choices) if isinstance(one, Json)), None)
    chunk = Json(sent)
    chunk["choices"] = [_choice(one) for one in choices[:1]]
    chunk["usage"] = believed(usage) if usage else None
    return chunk


def failure_in(sent: Mapping[str, Any]) -> APIError | None:
    """Return the error that stands in place of an answer, with the status it would have had."""
    if sent.get("error") or sent.get("type") == "error" or sent.get("object") == "error":
        said, status = _wrong(sent)
        has_words = any(said.values()) if isinstance(said, dict) else said
        return APIError(said, status) if has_words else None
    if "choices" not in sent and (said := sent.get("detail") or sent.get("errors")):
        return APIError(said, _status_in(sent))
    return None


def encrypted_thoughts(sent: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of OpenAI's Responses that hold thoughts which only that model can read.

    They stand in a whole response, and in the events of a stream.
    """
    if not isinstance(sent, Mapping):
        return
    response = sent if sent.get("object") == "response" else sent.get("response")
    output = response.get("output") if isinstance(response, Mapping) else None
    items = [sent.get("item")] if sent.get("type") == "response.output_item.done" else output
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and item.get("type") == "reasoning":
            kept = {
                name: item[name] for name in ("type", "id", "summary", "encrypted_content") if name in item
            }
            if isinstance(kept.get("encrypted_content"), str) and kept["encrypted_content"]:
                yield {"summary": [], **kept}


def _wrong(sent: Any) -> tuple[Any, int | None]:
    """Return what an error says, and the status it stands for."""
    if not isinstance(sent, dict):
        return sent, None
    said = sent.get("error") or sent
    return said, (_status_in(said) if isinstance(said, dict) else None) or _status_in(sent)


def _status_in(said: Mapping[str, Any]) -> int | None:
    for name in ("code", "status", "status_code", "http_code", "type"):
        value = said.get(name)
        if isinstance(value, str):
            value = int(value) if value.isdecimal() and len(value) == 3 else STATUS_OF.get(value.lower())
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _usages(sent: Json, choices: list[Json]) -> Iterator[Any]:
    """Yield the places where servers put their token counts."""
    yield sent.usage
    yield from (one.usage for one in choices)
    yield from (group.usage for group in (sent.x_groq, sent.message) if isinstance(group, Json))


def _choice(choice: Json) -> Json:
    message = choice.delta if choice.delta is not None else choice.message
    if message is None:
        message = Json(content=choice.text) if isinstance(choice.text, str) else Json()
    if not isinstance(message, Json):
        raise Unusable("sent a message that is not an object")
    tidy = _message(message)
    finish = choice.finish_reason
    return Json(
        index=0,
        delta=tidy,
        message=tidy if choice.delta is None and choice.message is not None else None,
        finish_reason=finish if isinstance(finish, str) else None,
        native_finish_reason=choice.native_finish_reason,
        content_filter_results=choice.content_filter_results,
        error=choice.error,
    )


def _message(message: Json) -> Json:
    """Return a message or a piece of one. What a reader of it may not expect is left out."""
    tidy = Json(message)
    content = message.content
    if isinstance(content, list):
        thought, content = _thought_and_said(content)
        tidy["reasoning_content"] = thought or message.reasoning_content
    tidy["content"] = _text(content)
    for name in ("reasoning_content", "reasoning", "refusal"):
        if name in tidy:
            tidy[name] = tidy[name] if isinstance(tidy[name], str) else None
    for name in ("reasoning_details", "thinking_blocks", "annotations", "images"):
        if name in tidy:
            tidy[name] = (
                [one for one in tidy[name] or () if isinstance(one, Json)]
                if isinstance(tidy[name], list)
                else None
            )
    calls = message.tool_calls
    if not calls and isinstance(message.function_call, Json):
        calls = [Json(index=0, function=message.function_call)]
    calls = calls if isinstance(calls, list) else [calls]
    tidy["tool_calls"] = [_call(one) for one in calls if isinstance(one, Json)] or None
    tidy.pop("function_call", None)
    return tidy


def _call(call: Json) -> Json:
    function = call.function if isinstance(call.function, Json) else call
    arguments = function.arguments
    if not isinstance(arguments, str | None):
        arguments = json.dumps(arguments, ensure_ascii=False)
    index = call.index if isinstance(call.index, int) and not isinstance(call.index, bool) else None
    named = Json(name=_text(function.name), arguments=arguments)
    return Json(call, id=_text(call.id), index=index, type="function", function=named)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _thought_and_said(parts: list[Any]) -> tuple[str, str]:
    """Return a content of parts as two texts."""
    thought, said = [], []
    for part in parts:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, Json) and isinstance(part.text, str):
            said.append(part.text)
        elif isinstance(part, Json):
            inner = part.thinking if isinstance(part.thinking, list) else [part.thinking]
            texts = (one.text if isinstance(one, Json) else one for one in inner)
            thought += [text for text in texts if isinstance(text, str)]
    return "".join(thought), "".join(said)


_OLD = {"prompt": "input", "completion": "output"}  # names of other wire formats
_CACHED = (
    *("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"),
    *("cache_creation_input_tokens", "cache_write_tokens"),
)


def believed(usage: Json) -> Json | None:
    """Return a usage whose counts can be: numbers of tokens, none beyond all measure. None: we count ourselves."""
    sent = count_of(usage.prompt_tokens if "prompt_tokens" in usage else usage.input_tokens)
    received = count_of(usage.completion_tokens if "completion_tokens" in usage else usage.output_tokens)
    if sent is None or received is None:
        return None
    cost = usage.cost if isinstance(usage.cost, int | float) and not isinstance(usage.cost, bool) else None
    tidy = Json(prompt_tokens=sent, completion_tokens=received, total_tokens=sent + received)
    tidy["cost"] = float(cost) if cost is not None and 0 <= cost < math.inf else None
    for name, most in (("prompt", sent), ("completion", received)):
        details = usage.get(f"{name}_tokens_details") or usage.get(f"{_OLD[name]}_tokens_details")
        if isinstance(details, Json):
            counts = {key: min(count, most) for key, value in details.items() if (count := count_of(value))}
            tidy[f"{name}_tokens_details"] = Json(counts)
    for name in _CACHED:
        if count := count_of(usage.get(name)):
            tidy[name] = count
    return tidy


def count_of(value: Any) -> int | None:
    """Return a number of tokens; 0 for what is not there."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None
