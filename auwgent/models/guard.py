"""A layer between the network and LiteLLM's clients, so that they read the same as the direct route.

LiteLLM knows nothing of it: its one HTTP transport is given answers that are bounded and in the form that its clients
understand. What is not an answer is raised here, and remembered for the one who made the call.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from auwgent.models.events import ANSWER_BYTES, DONE, ERROR_BYTES, Unusable, events, redirected
from auwgent.models.formats.anthropic import events_of
from auwgent.models.gathered import all_of, around
from auwgent.models.received import APIError, BrokenOff, Json, answered, decoded, failure_in
from auwgent.models.repairs import Repair, is_response, order_of, repair_of, response_events

OTHER_BYTES = 4 * ANSWER_BYTES  # of what holds no text of a model's, such as vectors
INFLATED = 2**18  # bytes unpacked at a time

LINES = "application/x-ndjson"
BY_LINES = ("ndjson", "jsonlines", "stream+json")

IN_WHOLE = (b'"error"', b'"detail"', b'"errors"')  # names of what stands in place of a whole answer
BESIDE = ("native_finish_reason", "content_filter_results", "error")  # said of the end of a choice


class Watch:
    """Tells the maker of a call what went wrong on the way, and that data arrives."""

    def __init__(self, seconds: float, *, extends: bool, gathers: Callable[[Any], Any] | None = None) -> None:
        self.seconds = seconds  # of silence that are waited
        self.extends = extends  # False: they are for all of the answer
        self.gathers = gathers  # makes of the request for a whole answer one for a stream
        self.said: list[str] = []  # what was gathered of its text
        self.wrong: list[Exception] = []
        self.timer: asyncio.Timeout | None = None

    def heard(self, *, sent: bool = False) -> None:
        """Something came, if only a sign of life; or the request was `sent`, and its time begins."""
        if (self.extends or sent) and self.timer is not None and not self.timer.expired():
            self.timer.reschedule(asyncio.get_running_loop().time() + self.seconds)


watch: ContextVar[Sequence[Watch]] = ContextVar("watch", default=())  # in a list, as the listener is


def watching() -> Watch | None:
    """Return the watch of this call, if it has one."""
    return next(iter(watch.get()), None)


@dataclass(slots=True)
class Exchange:
    """A request and the head of its answer."""

    path: str
    streams: bool
    status: int
    kind: str  # the content type
    encoding: str
    watch: Watch | None

    @classmethod
    def of(cls, request: Any, response: Any) -> Exchange:
        path = request.url.path
        try:
            sent = bytes(request.content)
        except Exception:  # it was streamed itself, so that it is none of a chat
            sent = b""
        streams = any(
            word in path for word in ("streamGenerateContent", "converse-stream", "-response-stream")
        )
        return cls(
            path=path,
            streams=streams or b'"stream":true' in sent.replace(b" ", b""),
            status=response.status_code,
            kind=response.headers.get("content-type", "").lower(),
            encoding=response.headers.get("content-encoding", "").lower(),
            watch=watching(),
        )

    @property
    def is_packed(self) -> bool:
        """Whether the body cannot be looked into here."""
        return self.encoding not in ("", "identity", "gzip", "deflate")

    @property
    def headers(self) -> Mapping[str, str]:
        """What tells how to read the body once it is repaired."""
        kind = self.kind
        if self.is_chat and self.status < 300:
            kind = "text/event-stream" if self.streams else "application/json"
        elif self.as_lines and self.status < 300:
            kind = LINES
        elif self.streams and self.status < 300 and not any(word in kind for word in ("amazon", *BY_LINES)):
            kind = "text/event-stream"  # whatever came is made one
        return {"content-type": kind, "content-encoding": self.encoding if self.is_packed else ""}

    @property
    def repair(self) -> Repair | None:
        """What LiteLLM needs done to each event of a stream, or to a whole answer."""
        return repair_of(self.path, streams=self.streams)

    @property
    def as_lines(self) -> bool:
        """Whether LiteLLM wants a stream as JSON values in lines of their own: Cohere's."""
        return self.streams and self.path.endswith("/v2/chat")

    @property
    def is_chat(self) -> bool:
        """Whether this is OpenAI's chat format."""
        return self.path.endswith("/chat/completions")

    def noted(self, error: Exception) -> None:
        """Remember an error for whoever made the call."""
        if self.watch is not None:
            self.watch.wrong.append(error)


async def checked(request: Any, response: Any) -> Any:
    """Return the response as LiteLLM may have it: never a redirect, and of a body that can be read in `repaired`."""
    asked = Exchange.of(request, response)
    if 300 <= asked.status < 400:
        await response.aclose()
        error = redirected(response.headers.get("location", ""))
        asked.noted(error)
        raise error
    if not asked.is_packed:
        for name in ("content-encoding", "content-length"):
            response.headers.pop(name, None)
        if asked.is_chat and asked.status < 300:
            response.headers["content-type"] = "text/event-stream" if asked.streams else "application/json"
    response.stream.asked = asked
    return response


async def repaired(chunks: AsyncGenerator[bytes, None], asked: Exchange) -> AsyncGenerator[bytes, None]:
    """Yield the body of a response, in the form in which LiteLLM's client for its format can read it."""
    async with aclosing(_watched(chunks, asked.watch)) as chunks:
        if asked.is_packed:
            body = _bounded(chunks)
        elif asked.status >= 300:
            body = _head(_inflated(chunks, asked.encoding))
        elif asked.is_chat:
            body = _chat(_inflated(chunks, asked.encoding), asked)
        elif any(word in asked.kind for word in BY_LINES):
            body = _lines(_inflated(chunks, asked.encoding), asked.repair)
        elif asked.streams and "amazon" not in asked.kind:
            body = _events(_inflated(chunks, asked.encoding), asked)
        elif asked.repair is not None:
            body = _mended(_inflated(chunks, asked.encoding), asked.repair)
        else:
            body = _bounded(_inflated(chunks, asked.encoding))
        try:
            async with aclosing(body):
                async for data in body:
                    yield data
        except (APIError, Unusable, BrokenOff, ValueError) as error:
            asked.noted(error)
            raise


async def _watched(chunks: AsyncGenerator[bytes, None], seen: Watch | None) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        async for data in chunks:
            if seen is not None:
                seen.heard()
            yield data


async def _inflated(chunks: AsyncIterator[bytes], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yield the body unpacked, in pieces that never are much larger than what came."""
    if encoding in ("", "identity"):
        async for data in chunks:
            yield data
        return
    inflate = zlib.decompressobj(wbits=47)
    async for data in chunks:
        while data:
            try:
                yield inflate.decompress(data, INFLATED)
            except zlib.error:
                raise Unusable("sent an answer that cannot be unpacked") from None
            if inflate.eof:  # another member may follow
                data, inflate = inflate.unused_data, zlib.decompressobj(wbits=47)
            else:
                data = inflate.unconsumed_tail


async def _head(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    left = ERROR_BYTES
    async for data in chunks:
        yield data[:left]
        left -= len(data)
        if left <= 0:
            return


async def _bounded(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a body that passes as it is, unless it has no end or is an error with the status of an answer."""
    body, size = bytearray(), 0
    async for data in chunks:
        size += len(data)
        if size > OTHER_BYTES:
            raise Unusable(f"sent an answer of more than {OTHER_BYTES >> 20} MB")
        if len(body) < ERROR_BYTES and (body or data.lstrip()[:1] == b"{"):
            body += data
        else:
            if body:
                yield bytes(body)
                body.clear()
            yield data
    _refuse_error(body, words=IN_WHOLE)
    yield bytes(body)


async def _chat(chunks: AsyncIterator[bytes], asked: Exchange) -> AsyncGenerator[bytes, None]:
    """An answer in OpenAI's chat format, as a stream or as a whole, whichever was asked for and whichever came."""
    async with aclosing(answered(chunks)) as pieces:
        if asked.streams:
            async for piece in pieces:
                yield _frame(_as_piece(piece))
            yield b"data: " + DONE + b"\n\n"
        else:
            said = [] if asked.watch is None else asked.watch.said
            yield json.dumps(await all_of(pieces, said)).encode()


def _as_piece(chunk: Json) -> Mapping[str, Any]:
    choices = []
    for choice in chunk["choices"]:
        delta = {name: value for name, value in choice.delta.items() if value is not None}
        for number, call in enumerate(delta.get("tool_calls", ())):
            if call["index"] is None:
                call["index"] = number
        said = {name: choice[name] for name in BESIDE if choice.get(name) is not None}
        choices.append({"index": 0, "delta": delta, "finish_reason": choice.finish_reason, **said})
    return {**around(chunk), "object": "chat.completion.chunk", "choices": choices}


async def _events(chunks: AsyncIterator[bytes], asked: Exchange) -> AsyncGenerator[bytes, None]:
    """Yield a stream of another format: nothing but its events, and a whole answer as if it had come in some."""
    order = order_of(asked.path)
    has_begun = not is_response(asked.path)  # of others LiteLLM says itself that nothing came
    async with aclosing(events(chunks)) as found:
        async for event in found:
            has_begun |= event.is_whole
            if event == DONE:
                yield _raw_frame(event, event.name)
                return
            if asked.as_lines and event.startswith(b"{"):
                for line in event.splitlines() if event.is_whole else (event.replace(b"\n", b" "),):
                    _refuse_error(line)
                    yield _repaired(line, asked.repair) + b"\n"
            elif event.is_whole:
                for each in _as_events(decoded(event), asked):
                    yield each
            elif event.name == "error" or event.startswith((b"{", b"[")):
                _refuse_error(event, force=event.name == "error")
                if order is not None and isinstance(sent := decoded(event), Json):
                    for one in order.take(sent):
                        has_begun = True
                        yield _raw_frame(json.dumps(one).encode(), str(one.type))
                    continue
                yield _raw_frame(_repaired(event, asked.repair), event.name)
    if not has_begun:
        raise BrokenOff(begun=False)


def _as_events(sent: Any, asked: Exchange) -> Iterator[bytes]:
    if isinstance(sent, Json) and (failure := failure_in(sent)):
        raise failure
    if is_response(asked.path):
        yield from map(_frame, response_events(sent))
    elif isinstance(sent, list):  # Gemini's stream where no events were asked for
        for one in sent:
            yield from _as_events(one, asked)
    elif isinstance(sent, Json) and sent.type == "message":
        yield from map(_frame, events_of(sent))
    elif not isinstance(sent, Json):
        raise Unusable("sent JSON that is not an answer")
    else:
        yield _raw_frame(_repaired(json.dumps(sent).encode(), asked.repair))


async def _mended(chunks: AsyncIterator[bytes], repair: Repair) -> AsyncGenerator[bytes, None]:
    """Yield a whole answer, repaired."""
    body = bytearray()
    async for data in chunks:
        body += data
        if len(body) > ANSWER_BYTES:
            raise Unusable(f"sent an answer of more than {ANSWER_BYTES >> 20} MB")
    sent = decoded(bytes(body))
    if not isinstance(sent, Json):
        raise Unusable("sent JSON that is not an answer")
    if failure := failure_in(sent):
        raise failure
    yield json.dumps(repair(sent)).encode()


def _repaired(data: bytes, repair: Repair | None) -> bytes:
    if repair is None:
        return data
    try:
        sent = decoded(data)
    except ValueError:  # for LiteLLM to say
        return data
    return json.dumps(repair(sent)).encode() if isinstance(sent, Json) else data


async def _lines(chunks: AsyncIterator[bytes], repair: Repair | None) -> AsyncGenerator[bytes, None]:
    """Yield a stream with a JSON value in each line."""
    size, rest = 0, b""
    async for data in chunks:
        size += len(data)
        if size > ANSWER_BYTES:
            raise Unusable(f"sent an answer of more than {ANSWER_BYTES >> 20} MB")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _refuse_error(line)
            yield _repaired(line, repair) + b"\n"
    _refuse_error(rest)
    yield _repaired(rest, repair)


def _refuse_error(
    data: bytes | bytearray, *, force: bool = False, words: tuple[bytes, ...] = (b'"error"',)
) -> None:
    """Raise the error that stands in place of an answer."""
    if not force and (len(data) > ERROR_BYTES or not any(word in data for word in words)):
        return
    try:
        sent = decoded(bytes(data))
    except ValueError:  # for LiteLLM to say, where it is one
        sent = None
    if isinstance(sent, Json) and (failure := failure_in(Json(sent, type="error") if force else sent)):
        raise failure
    if force and sent is None:
        raise APIError(bytes(data[:ERROR_BYTES]).decode(errors="replace"))


def _frame(sent: Any) -> bytes:
    return b"data: " + json.dumps(sent).encode() + b"\n\n"


def _raw_frame(data: bytes, name: str = "") -> bytes:
    return (
        (f"event: {name}\n".encode() if name else b"")
        + b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
        + b"\n"
    )
