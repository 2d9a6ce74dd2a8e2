"""Looks after the queue: what died goes on elsewhere, what is due begins, what an engine lost is given to it again.

Each second the two workers that came first do so, so that no one of them is needed. What both do is done once.
"""

from __future__ import annotations

import time
from functools import partial

from auwgent.fleet.queue import Queue
from auwgent.store.heart import BLINK
from auwgent.store.journal import Journal
from auwgent.store.line import TRIES

FORGOTTEN = 2  # of so many looks one is for what was forgotten


class Lookout:
    """One worker's part in it."""

    def __init__(self, queue: Queue, journal: Journal, worker: int) -> None:
        self._queue, self._journal, self._worker = queue, journal, worker
        self._silent: dict[str, float] = {}  # jobs that were taken, and for how long nothing has come of it
        self._at = time.monotonic()
        self._looks = 0

    async def look(self) -> None:
        """Do what is to be done now."""
        line, lease = self._queue.line, self._queue.config.lease.total_seconds()
        if not await self._queue.read(lambda connection: line.is_first(connection, self._worker, lease)):
            self._silent.clear()
            return
        self._looks += 1
        died = await self._journal.database.run(self._journal.bury_watched)
        due = await self._queue.write(line.due)
        lost = await self._lost(lease)
        if died or due or lost or self._looks % FORGOTTEN == 0:
            for user in await self._queue.read(line.users):
                await self._queue.write(partial(line.next_of, user_id=user, most=TRIES))

    async def _lost(self, lease: float) -> bool:
        """See which jobs an engine gave to a worker that never began them."""
        known = await self._queue.read(self._queue.line.jobs)
        database = self._journal.database
        gone = set(known) - await database.run(self._queue.engine.waiting, known)
        at = time.monotonic()
        passed, self._at = min(at - self._at, BLINK + 1), at
        self._silent = {job: self._silent.get(job, -passed) + passed for job in gone}
        lost = [job for job, silent in self._silent.items() if silent >= lease]
        if lost:
            await self._queue.write(lambda connection: self._queue.line.lost(connection, lost))
        return bool(lost)
