"""What a provider really sent, overheard on its way to LiteLLM, which keeps some of it to itself.

LiteLLM makes `refusal` and `pause_turn` a stop, leaves out the words of a refusal, and forgets what a provider's own
tools did. Bytes pass unchanged.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from contextvars import ContextVar
from typing import Any

from auwgent.models.events import EventReader

Listener = Callable[[Any], None]  # takes each JSON value: an event, or a whole answer

# In a list, which is emptied behind the call: timers of its HTTP client keep the context for minutes.
listener: ContextVar[Sequence[Listener]] = ContextVar("listener", default=())

_STOP_REASON = re.compile(rb'"stopReason"\s*:\s*"(\w+)"')  # in the binary frames of Bedrock's streams


async def overheard(
    chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str]
) -> AsyncGenerator[bytes, None]:
    """Pass the body of a response on, and tell the listener of this call what is in it."""
    hear = next(iter(listener.get()), None)
    values = _Values(headers)
    async with aclosing(chunks):
        async for chunk in chunks:
            if hear is not None:
                for value in values.feed(chunk):
                    hear(value)
            yield chunk
    if hear is not None:
        for value in values.close():
            hear(value)


class _Values:
    """Takes a body apart into JSON values, by its content type. What cannot be read is left out."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._kind = headers.get("content-type", "").lower()
        self._encoding = headers.get("content-encoding", "").lower()
        self._inflate = zlib.decompressobj(wbits=47) if self._encoding in ("gzip", "deflate") else None
        self._events = EventReader()
        self._body = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Any]:
        if self._inflate is not None:
            try:
                chunk = self._inflate.decompress(chunk)
            except zlib.error:  # LiteLLM will say so
                return
        if "event-stream" in self._kind:
            for event in self._events.feed(chunk):
                yield from _read(event)
        elif "amazon" in self._kind:
            self._body += chunk
            for found in _STOP_REASON.findall(self._body):
                yield {"stopReason": found.decode()}
            del self._body[:-64]
        elif "ndjson" in self._kind or "jsonlines" in self._kind:
            *lines, rest = (self._body + chunk).split(b"\n")
            self._body = bytearray(rest)
            for line in lines:
                yield from _read(bytes(line))
        else:
            self._body += chunk

    def close(self) -> Iterator[Any]:
        for event in self._events.close():
            yield from _read(event)
        yield from _read(bytes(self._body))


def _read(data: bytes) -> Iterator[Any]:
    with suppress(ValueError, RecursionError):  # no JSON, such as [DONE]
        yield json.loads(data)
