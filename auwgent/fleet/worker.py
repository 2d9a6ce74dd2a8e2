"""A worker: takes runs from the queue, carries them out, and leaves in good order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import ProviderError, RunFailed, RunTaken, SessionConflict, StoreError, kind_of
from auwgent.fleet.lookout import Lookout
from auwgent.fleet.queue import MAIN, OTHER, Carrier
from auwgent.fleet.schedules import Schedules
from auwgent.relay.follow import relay_of
from auwgent.secrecy import scrubbed
from auwgent.store.base import RunInfo
from auwgent.store.line import JOURNAL, queue_named
from auwgent.words import describe

log = logging.getLogger("auwgent.fleet")

# Whether the user of a run can be asked about its calls later; known to the run's own tasks.
can_ask: ContextVar[bool] = ContextVar("can_ask", default=True)


def approver(request: ApprovalRequest) -> bool | str | None:
    """Say for a queued run whether a call may happen: its user is asked later, or not at all."""
    return None if can_ask.get() else "the user cannot be asked here"


TURN = 1.0  # seconds that a run waits here for another one to end, before others may have it
PATIENCE = 3600.0  # seconds that a worker waits for its database
CLOSING = 5.0  # seconds that runs have to let go of what they hold, when they are left to others


class Worker:
    """Takes runs until it is stopped. `open` it, and `close` it with the seconds that its runs have to end."""

    def __init__(self, agent: Carrier, concurrency: int | None = None) -> None:
        self._agent, self._queue = agent, agent.queue
        self.concurrency = concurrency or self._queue.config.concurrency
        self._slots = asyncio.Semaphore(self.concurrency)
        self._at_work: set[asyncio.Task[Any]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self.number = 0

    @property
    def count(self) -> int:
        """How many runs are under way."""
        return len(self._at_work)

    async def open(self) -> None:
        """Show that this process is there, and take runs from now on."""
        queue = self._queue
        database = await queue.database()
        database.patience = PATIENCE
        journal = await queue.store.journal()
        if (relay := await relay_of(queue.store)) is not None:
            relay.listens()
        self.number = await database.run(journal.heart.keep, self.concurrency)
        most = await queue.read(lambda connection: queue.line.most_at_once(connection, self.concurrency))
        queue.engine.take(f"{self.number}", self._queues(), most, self._work)
        lookout = Lookout(queue, journal, self.number)
        self._loops = [self._kept_up(lookout.look)]
        if self._agent.config.schedules:
            self._loops.append(self._kept_up(Schedules(queue, self._agent).look))

    async def close(self, seconds: float = 0, hurry: asyncio.Event | None = None) -> None:
        """Take no more; give the runs under way so long, or until there is `hurry`; then leave them to others."""
        stopped = asyncio.ensure_future(asyncio.to_thread(self._queue.engine.close, seconds))
        if self._at_work and seconds > 0:
            ends = asyncio.ensure_future(asyncio.wait(set(self._at_work)))
            waits = asyncio.ensure_future((hurry or asyncio.Event()).wait())
            await asyncio.wait([ends, waits], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            ends.cancel()
            waits.cancel()
        for loop in self._loops:
            loop.cancel()
        await self._leave()
        await stopped

    async def _leave(self) -> None:
        """Let other workers go on, at once, with what is under way here."""
        left = set(self._at_work)
        if left:
            log.warning("%d runs are left to other workers", len(left))
        journal = await self._queue.store.journal()
        await asyncio.to_thread(journal.close)
        await journal.database.run(journal.leave)
        for task in left:
            task.cancel()
        if left:
            for user in await self._queue.read(self._queue.line.users):
                await self._queue.write(
                    partial(self._queue.line.next_of, user_id=user, most=self.concurrency)
                )
            await asyncio.wait(left, timeout=CLOSING)

    def _queues(self) -> dict[str, float]:
        """The queues of the runs that this config can carry out, and how often each is looked at."""
        config = self._agent.config
        profiles = [None, *config.profiles]
        agents = [config.agent.name, *config.helpers]
        main = (config.agent.name, None)
        return {
            queue_named(agent, profile, version): MAIN if (agent, profile) == main else OTHER
            for version in range(1, JOURNAL + 1)
            for agent in agents
            for profile in profiles
        }

    async def _work(self, job: str) -> None:
        """Carry out what an engine gave to this process."""
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(TURN):
                await self._slots.acquire()
        except TimeoutError:  # others may have room
            await self._queue.write(lambda connection: self._queue.line.lost(connection, [job]))
            return
        self._at_work.add(task)
        try:
            run = await self._queue.taken(job)
            if run is not None:
                await self._carry(run, job)
        except StoreError as error:
            log.warning("a run was not begun: %s", error)
        finally:
            self._at_work.discard(task)
            self._slots.release()

    async def _carry(self, run: RunInfo, job: str) -> None:
        can_ask.set(run.settings.get("asks", True))
        try:
            await self._agent.carry(run, job)
        except asyncio.CancelledError:
            raise
        except (RunTaken, SessionConflict) as error:
            log.info("run %s goes on elsewhere: %s", run.run_id, error)
        except StoreError:
            raise
        except Exception as error:
            if not isinstance(error, (ProviderError, RunFailed)):
                log.warning("run %s failed: %s", run.run_id, scrubbed(describe(error)))
            told = {"message": scrubbed(str(error)), "kind": kind_of(error)}
            # It may not have come as far as the store.
            await self._queue.write(lambda connection: self._queue.line.fails(connection, job, told))

    def _kept_up(self, look: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        async def loop() -> None:
            while True:
                await asyncio.sleep(1.0)
                try:
                    await look()
                except StoreError as error:
                    log.warning("the queue could not be looked after: %s", error)

        return asyncio.create_task(loop())
