"""A leg of a run that is under way in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from auwgent.errors import RunFailed, goes_through
from auwgent.fleet.following import Following
from auwgent.intents import Intent
from auwgent.relay.stream import FarStream
from auwgent.serve.leg import Leg
from auwgent.serve.metrics import Metrics
from auwgent.session import Session, Usage
from auwgent.stream import Stream

Status = Literal["running", "paused", "completed", "failed", "cancelled"]


class Live(Leg):
    """A leg of a run that is under way here, or was."""

    def __init__(
        self, stream: Stream | FarStream, metrics: Metrics, *, user: str, session_id: str | None, agent: str
    ) -> None:
        super().__init__(stream.run_id, agent)
        self.user, self.session_id = user, session_id
        self.error: BaseException | None = None
        self.calls: list[dict[str, Any]] = []  # that wait for answers, where it paused
        self.is_background = False
        self.given: Mapping[str, Any] = {}  # what a protocol wants to tell again of the request
        self.asked = ""  # a hash of its input
        self.created = int(time.time())
        self.ended_at = 0.0  # by the loop's clock; 0 while it is under way
        self._stream, self._metrics = stream, metrics
        self._cancelled = False
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
        """Whether another process carries it out, and nobody here waits for it."""
        return not self.is_here and self.is_background

    async def leave(self) -> None:
        """Let it go on elsewhere, where it can; else end it."""
        if isinstance(self._stream, Following) and not self.is_over:
            await self._stream.leave()
            await asyncio.wait([self._task])
        elif not self.is_here:
            self._task.cancel()
            await asyncio.wait([self._task])
        else:
            await self.cancel()

    @property
    def is_here(self) -> bool:
        """Whether this process carries it out."""
        return not isinstance(self._stream, (Following, FarStream))

    @property
    def earlier(self) -> Sequence[str]:
        """The ids of the turns that the run had before, once it has begun."""
        return self._stream.earlier

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
                        await self.show()
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
        self.put(intent)
        if intent.name == "paused":
            self.calls = list(intent.value["calls"])
        elif intent.name == "model_call":
            self._metrics.model_call(intent.value)

    def _over(self, seconds: float) -> None:
        self._metrics.ended(self.agent, self.status, seconds)
        self.wake()
