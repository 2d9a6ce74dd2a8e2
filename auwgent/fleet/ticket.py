"""A run that was submitted, as whoever submitted it holds it. Whichever machine carries it out."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from auwgent.intents import Intent
from auwgent.relay.stored import Seen
from auwgent.relay.stream import FarStream
from auwgent.session import Answer_co, Session
from auwgent.store.base import RunInfo

if TYPE_CHECKING:
    from auwgent.fleet.queue import Queue


@dataclass(frozen=True, slots=True)
class Ticket(Generic[Answer_co]):
    """A submitted run. `id` is its run id, which the same user gets the same run by again, from any process."""

    id: str
    session_id: str
    user_id: str
    _queue: Queue
    _outcome: Callable[[], Awaitable[Session[Answer_co]]]

    async def info(self) -> RunInfo:
        """What the store tells of the run."""
        return await self._queue.store.run(self.user_id, self.id)

    async def status(self) -> str:
        """How it stands: queued, running, paused, completed, failed, cancelled or dead."""
        return (await self.info()).status

    async def result(self) -> Session[Answer_co]:
        """Wait until the run is over, or paused; its session then. `RunFailed` where it did not complete."""
        return await self._outcome()

    async def events(self, after: int = 0) -> AsyncGenerator[Intent, None]:
        """Yield what happens in the run, pieces too, until it is over or paused; `RunFailed` where it did not complete.

        Those up to the `seq` given are left out. Leaving the loop does not end the run. Where another worker took
        it up, what was stored before is told by whole intents alone.
        """
        async for intent in FarStream(self._queue.store, self.user_id, self.id, leg=sys.maxsize):
            if intent.seq > after:
                yield intent

    async def leg(self, seen: Seen) -> FarStream:
        """Return the stream of its newest leg; `seen` are the whole intents of those before."""
        leg = (await self.info()).leg
        return FarStream(self._queue.store, self.user_id, self.id, leg=leg, seen=seen)

    async def cancel(self) -> None:
        """End the run, whichever machine has it: it is saved as cancelled."""
        await self._queue.store.cancel(self.user_id, self.id)

    async def answer(self, answers: Mapping[str, Any]) -> None:
        """Answer calls that the run waits for, by their ids; once none is missing, a worker goes on with it."""
        await self._queue.store.answer(self.user_id, self.id, answers)
        await self._queue.goes_on(self.user_id, self.id)
