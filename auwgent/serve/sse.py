"""Server-sent events: a run's pieces on their way to a reader, who may be slow, or leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from auwgent.serve.leg import CutOff
from auwgent.serve.metrics import Metrics

PING = 15.0  # seconds of silence, then a comment shows proxies that the line is alive
_HEAD = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def dumps(value: Any) -> str:
    """Return compact JSON. Halves of characters are escaped, so that it can always be sent."""
    text = _encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=(",", ":"), default=str)
    return text


def event(value: Any, name: str = "", number: str = "") -> str:
    """Return one event: its data as JSON, with a name and an id where they are given."""
    head = (f"id: {number}\n" if number else "") + (f"event: {name}\n" if name else "")
    return f"{head}data: {dumps(value)}\n\n"


def cut_of(scope: Scope) -> Callable[[], None]:
    """Return what breaks off the connection of a request."""
    transport = scope.get("state", {}).get("transport")
    return transport.abort if transport is not None else lambda: None


class EventStream:
    """An answer of events. `texts` yields them, several at once where there are several; it is closed in any case.

    `texts` is called with a function that cuts the connection, for `Live.read`.
    """

    def __init__(
        self,
        texts: Callable[[Callable[[], None]], AsyncGenerator[str, None]],
        metrics: Metrics,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._texts, self._metrics, self._headers = texts, metrics, headers or {}
        self._sent = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {**_HEAD, **self._headers}
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        cut = cut_of(scope)
        self._metrics.streams_active += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            pouring = asyncio.ensure_future(self._pour(send, cut))
            beside = [asyncio.ensure_future(_left(receive)), asyncio.ensure_future(self._ping(send))]
            try:
                await asyncio.wait([pouring, *beside], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (pouring, *beside):
                    task.cancel()
                await asyncio.gather(pouring, *beside, return_exceptions=True)
            if not pouring.cancelled() and (error := pouring.exception()) is not None:
                raise error
        finally:
            self._metrics.streams_active -= 1

    async def _pour(self, send: Send, cut: Callable[[], None]) -> None:
        try:
            async with aclosing(self._texts(cut)) as texts:
                async for text in texts:
                    self._sent = time.monotonic()
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        except (CutOff, OSError):
            cut()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _ping(self, send: Send) -> None:
        """Send a comment whenever nothing else was sent for a while."""
        while True:
            await asyncio.sleep(PING)
            if time.monotonic() - self._sent >= PING:
                await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})


Answer = Response | EventStream  # of a route


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
