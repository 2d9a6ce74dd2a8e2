"""A reader of a run's events, who can be looked at while they come."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from tests.support.served import Served
from tests.support.sse import Event, events


def text_of(found: list[Event]) -> str:
    """What a reader has put together: of pieces, and of what a snapshot says in place of all before it."""
    text = ""
    for event in found:
        if event.name == "snapshot":
            text = event.data["text"]
        elif event.name == "restarted":
            text = ""
        elif event.name == "response_text" and event.data["event"] == "partial":
            text += event.data["value"]["delta"]
    return text


class Reading:
    """A reader behind a place; from the beginning where none is named."""

    def __init__(self, server: Served, run_id: str, after: str = "") -> None:
        self.raw = b""
        self._task = asyncio.create_task(self._read(server, run_id, after))
        self._more = asyncio.Event()

    @property
    def events(self) -> list[Event]:
        """What has come."""
        return events(self.raw)

    async def until(self, words: str) -> None:
        """Wait until they were said."""
        async with asyncio.timeout(60):
            while words not in text_of(self.events):
                assert not self._task.done(), self.events
                self._more.clear()
                await self._more.wait()

    async def end(self) -> list[Event]:
        """Wait for the end; all events."""
        async with asyncio.timeout(60):
            await self._task
        return self.events

    async def leave(self) -> None:
        """Read no more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _read(self, server: Served, run_id: str, after: str) -> None:
        path = f"{server.url}/v1/runs/{quote(run_id, safe='')}/events"
        async with server.client.get(path, headers={"Last-Event-ID": after} if after else {}) as answer:
            assert answer.status == 200, await answer.text()
            async for chunk in answer.content.iter_any():
                self.raw += chunk
                self._more.set()
