"""A run that was submitted, as whoever submitted it holds it. Whichever machine carries it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

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

    async def cancel(self) -> None:
        """End the run, whichever machine has it: it is saved as cancelled."""
        await self._queue.store.cancel(self.user_id, self.id)

    async def answer(self, answers: Mapping[str, Any]) -> None:
        """Answer calls that the run waits for, by their ids; once none is missing, a worker goes on with it."""
        await self._queue.store.answer(self.user_id, self.id, answers)
        await self._queue.goes_on(self.user_id, self.id)
