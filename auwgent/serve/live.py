"""A leg of a run that is under way in this process: its intents are held, and any number of readers follow them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Literal

from auwgent.errors import RunFailed, goes_through
from auwgent.fleet.following import Following
from auwgent.intents import Intent
from auwgent.serve.metrics import Metrics
from auwgent.session import Session, Usage
from auwgent.stream import Stream

log = logging.getLogger("auwgent.serve")

AHEAD = 1_000  # pieces that a run may be ahead of a reader
PATIENCE = 5.0  # seconds that one reader may hold up its run in all

Status = Literal["running", "paused", "completed", "failed", "cancelled"]


class CutOff(Exception):
    """The reader fell too far behind. It may come back and read on."""


class Reader:
    """One who reads. `cut` is called where it holds up the run for too long."""

    def __init__(self, at: int, cut: Callable[[], None] | None) -> None:
        self.at, self.cut = at, cut
        self.patience = PATIENCE
        self.is_cut = False
        self.news, self.moved = asyncio.Event(), asyncio.Event()


class Live:
    """A leg of a run. Intents are numbered from 1; pieces are held for a while, whole intents as long as it is here."""

    def __init__(
        self, stream: Stream, metrics: Metrics, *, user: str, session_id: str | None, agent: str
    ) -> None:
        self.run_id, self.user, self.session_id, self.agent = stream.run_id, user, session_id, agent
        self.error: BaseException | None = None
        self.calls: list[dict[str, Any]] = []  # that wait for answers, where it paused
        self.is_background = False
        self.given: Mapping[str, Any] = {}  # what a protocol wants to tell again of the request
        self.leg = 1
        self.asked = ""  # a hash of its input
        self.created = int(time.time())
        self.ended_at = 0.0  # by the loop's clock; 0 while it is under way
        self._stream, self._metrics = stream, metrics
        self._held: list[Intent | None] = []
        self._kept_from = 0  # pieces before it are gone
        self._readers: set[Reader] = set()
        self._cancelled = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._pump())

    # What came of it

    @property
    def is_over(self) -> bool:
        """Whether the leg has ended, and was saved."""
        return self._task.done()

    @property
    def session(self) -> Session | None:
        """The session once it is over; as far as it got, where it failed."""
        return self._stream.session

    @property
    def usage(self) -> Usage:
        """What the leg has used, once it is over."""
        return self._stream.usage or Usage()

    @property
    def status(self) -> Status:
        """How it stands."""
        if not self.is_over:
            return "running"
        if self._cancelled or isinstance(self.error, asyncio.CancelledError):
            return "cancelled"
        if self.error is not None:
            return "failed"
        return "paused" if self.calls else "completed"

    async def outcome(self) -> Session:
        """Wait for its end and return the session; raises what ended it."""
        await asyncio.wait([self._task])
        if self.status == "cancelled":
            raise RunFailed("the run was cancelled", kind="cancelled")
        if self.error is not None:
            raise self.error
        assert self.session is not None
        return self.session

    async def ended(self) -> None:
        """Wait for its end, however it ends."""
        await asyncio.wait([self._task])

    async def cancel(self) -> None:
        """End it as cancelled, and wait until that is saved."""
        if not self.is_over:
            self._cancelled = True
            await self._stream.cancel()
            await asyncio.wait([self._task])

    async def accepted(self) -> None:
        """Wait until it is in the queue, where there is one; raises what kept it out."""
        if isinstance(self._stream, Following):
            await self._stream.accepted()

    @property
    def is_elsewhere(self) -> bool:
        """Whether a worker carries it out, and nobody here waits for it."""
        return isinstance(self._stream, Following) and self.is_background

    async def leave(self) -> None:
        """Let it go on elsewhere, where it can; else end it."""
        if isinstance(self._stream, Following) and not self.is_over:
            await self._stream.leave()
            await asyncio.wait([self._task])
        else:
            await self.cancel()

    # What happens in it

    @property
    def count(self) -> int:
        """How many intents have come."""
        return len(self._held)

    def holds(self, after: int) -> bool:
        """Return whether nothing that came behind that number is gone."""
        return after >= self._kept_from or None not in self._held[after : self._kept_from]

    def held(self) -> list[Intent]:
        """Return what is held: all whole intents, and pieces."""
        return [intent for intent in self._held if intent is not None]

    def numbered(self, after: int, upto: int) -> list[tuple[int, Intent]]:
        """Return what is held behind a number, up to another one."""
        some = enumerate(self._held[after:upto], after + 1)
        return [(number, intent) for number, intent in some if intent is not None]

    def so_far(self) -> list[Intent]:
        """Return the whole intents, and the last piece of each answer that is not whole yet."""
        found: list[Intent] = []
        for intent in self._held:
            if intent is None:
                continue
            if found and found[-1].partial and _continues(found[-1], intent):
                found.pop()
            found.append(intent)
        return [one for number, one in enumerate(found) if not one.partial or number == len(found) - 1]

    async def read(
        self, after: int = 0, cut: Callable[[], None] | None = None
    ) -> AsyncGenerator[list[tuple[int, Intent]], None]:
        """Yield what came behind that number, then what comes, several at once where the reader is behind.

        Pieces that are gone are left out. Ends with the leg; raises `CutOff` where the reader is too slow: its
        `cut` is called then, as it may be waiting elsewhere.
        """
        reader = Reader(max(0, after), cut)
        self._readers.add(reader)
        try:
            while True:
                reader.news.clear()
                if reader.at < self.count:
                    begin, reader.at = reader.at, min(self.count, reader.at + AHEAD // 4)
                    some = enumerate(self._held[begin : reader.at], begin + 1)
                    if batch := [(number, intent) for number, intent in some if intent is not None]:
                        yield batch
                    reader.moved.set()
                elif self.is_over:
                    return
                else:
                    await reader.news.wait()
                if reader.is_cut:
                    raise CutOff
        finally:
            self._readers.discard(reader)
            reader.moved.set()

    def forget_pieces(self, keep: int = 0) -> None:
        """Let go of pieces, but for the newest `keep` intents; whole intents stay."""
        upto = max(self._kept_from, self.count - keep)
        for place in range(self._kept_from, upto):
            intent = self._held[place]
            if intent is not None and intent.partial and intent.name != "reasoning":  # no whole one follows
                self._held[place] = None
        self._kept_from = upto

    async def _pump(self) -> None:
        began, first = self._loop.time(), True
        self._metrics.began()
        try:
            async with aclosing(self._stream):
                async for intent in self._stream:
                    if first:
                        self._metrics.first_piece(self._loop.time() - began)
                        first = False
                    self._add(intent)
                    if self._readers:
                        await self._show()
        except BaseException as error:
            self.error = error
            if goes_through(error) and not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            if self.session is not None and self.session.status == "paused" and not self.calls:
                self.calls = list(self.session.pending)  # it had paused in another leg
            self.ended_at = self._loop.time()
            self._loop.call_soon(self._over, self.ended_at - began)

    def _add(self, intent: Intent) -> None:
        self._held.append(intent)
        if intent.name == "paused":
            self.calls = list(intent.value["calls"])
        elif intent.name == "model_call":
            self._metrics.model_call(intent.value)
        if self.count - self._kept_from >= 2 * AHEAD:
            self.forget_pieces(keep=AHEAD)

    def _over(self, seconds: float) -> None:
        self._metrics.ended(self.agent, self.status, seconds)
        for reader in self._readers:
            reader.news.set()

    async def _show(self) -> None:
        """Wake the readers; wait for one that is far behind, until it has used up its patience."""
        for reader in self._readers:
            reader.news.set()
        for reader in [one for one in self._readers if self.count - one.at > AHEAD]:
            while reader in self._readers and self.count - reader.at > AHEAD and not reader.is_cut:
                reader.moved.clear()
                since = self._loop.time()
                try:
                    async with asyncio.timeout(reader.patience):
                        await reader.moved.wait()
                except TimeoutError:
                    self._cut(reader)
                reader.patience -= self._loop.time() - since

    def _cut(self, reader: Reader) -> None:
        log.warning(
            "a reader of run %s is %d pieces behind, and is cut off", self.run_id, self.count - reader.at
        )
        reader.is_cut = True
        self._readers.discard(reader)
        reader.news.set()
        if reader.cut is not None:
            reader.cut()


def _continues(piece: Intent, intent: Intent) -> bool:
    """Whether an intent says again what the piece said: a later piece of the same answer, or the whole."""
    if intent.partial:
        same: bool = intent.value["segment"] == piece.value["segment"]
        return same
    return intent.name == piece.name or intent.name == "model_call"
