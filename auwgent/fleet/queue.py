"""The queue of a config: runs are submitted to it, put back into it, and asked about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from auwgent.config import Config, QueueConfig
from auwgent.config.queue import WHY
from auwgent.engine.order import Sink
from auwgent.errors import ConfigError, Overloaded
from auwgent.fleet.engine import Engine, make
from auwgent.imports import is_installed
from auwgent.store.base import RunInfo
from auwgent.store.database import Database
from auwgent.store.line import Connection, Job, Line, Submission, queue_named, waiting
from auwgent.store.line import taken as taken_by
from auwgent.store.line_statements import WAITING
from auwgent.store.sessions import Sessions

if TYPE_CHECKING:
    from auwgent.store.journal import Journal

T = TypeVar("T")

COUNTED = 1.0  # seconds that a count of what waits is good for
MAIN, OTHER = 0.2, 1.0  # seconds between two looks at the queue of the root agent, and at others


class Carrier(Protocol):
    """What carries out runs: an agent, with its config and its queue."""

    @property
    def config(self) -> Config: ...

    @property
    def queue(self) -> Queue: ...

    async def carry(self, run: RunInfo, job: str, sink: Sink | None = None) -> Any: ...


class Queue:
    """One queue, in this process. The store keeps what is queued; the engine carries words for it."""

    def __init__(self, config: QueueConfig, store: Sessions) -> None:
        self.config, self.store = config, store
        self.line = Line(self._hand, config.per_user, config.retries)
        self._engine: Engine | None = None
        self._prepared: asyncio.Task[None] | None = None
        self._counted, self._count = 0.0, 0
        self._asking = asyncio.Lock()
        self._asked: set[str] = set()  # jobs whose runs are to be read, and those that were
        self._found: dict[str, RunInfo | None] = {}

    def equip(self, journal: Journal) -> None:
        """Have whoever ends a run here tell the engine of the next."""
        journal.watch.lease = self.config.lease.total_seconds()
        if is_installed(self.config.use):  # else a worker finds what is to come
            journal.line = self.line

    async def database(self) -> Database:
        """The database, where the engine can keep its jobs, too."""
        database = (await self.store.journal()).database
        if not database.is_shared:
            raise ConfigError(f"[queue] needs PostgreSQL as the store of the sessions: {WHY}")
        if self._prepared is None or (self._prepared.done() and self._prepared.exception() is not None):
            self._prepared = asyncio.create_task(asyncio.to_thread(self._prepare, database))
        await asyncio.shield(self._prepared)
        return database

    @property
    def engine(self) -> Engine:
        """The engine, which has been prepared."""
        assert self._engine is not None
        return self._engine

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in a transaction of the store."""
        database = await self.database()
        return await database.run(partial(database.write, work, once=True))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do the work in a transaction of the store that only reads."""
        database = await self.database()
        return await database.run(database.read, work)

    async def submit(self, asked: Submission) -> bool:
        """Accept a run; False where there is one of its id already. `Overloaded` where too many wait."""
        await self._check_room()
        database = await self.database()
        # Done a second time it finds the run there: that it was committed need not be marked.
        return await database.run(database.write, lambda connection: self.line.accept(connection, asked))

    async def goes_on(self, user_id: str, run_id: str) -> bool:
        """Have a worker go on with a paused run whose calls are all answered; False where it is not."""
        return await self.write(lambda connection: self.line.goes_on(connection, user_id, run_id))

    async def retry(self, user_id: str, run_id: str, agent: str, profile: str | None) -> None:
        """Have a worker go on with the last run of a session, which failed or is dead."""
        name = queue_named(agent, profile)
        await self.write(lambda connection: self.line.again(connection, user_id, run_id, name))

    async def taken(self, job: str) -> RunInfo | None:
        """The run that a job is for; None where it is for none any more. Who asks at one time asks together."""
        self._asked.add(job)
        try:
            async with self._asking:
                if job in self._asked:
                    jobs, self._asked = self._asked, set()
                    try:
                        found = await self.read(lambda connection: taken_by(connection, jobs))
                    except BaseException:
                        self._asked |= jobs  # the others ask for themselves
                        raise
                    self._found |= {one: found.get(one) for one in jobs}
                return self._found[job]
        finally:
            self._asked.discard(job)
            self._found.pop(job, None)

    async def figures(self) -> tuple[int, float]:
        """How many runs wait for a worker, and for how many seconds the oldest does."""
        return await self.read(waiting)

    async def close(self) -> None:
        """Let go of the engine."""
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)
            self._engine = None
        self._prepared = None

    def _prepare(self, database: Database) -> None:
        engine = make(self.config.use, self.config.url or database.address)
        engine.prepare()
        self._engine = engine

    def _hand(self, connection: Any, jobs: Sequence[Job]) -> None:
        if self._engine is None:
            url = self.config.url or connection.engine.url.render_as_string(hide_password=False)
            self._engine = make(self.config.use, url)
        self._engine.hand(connection, jobs)

    async def _check_room(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._counted > COUNTED or not self._counted:
            self._counted = now
            self._count = await self.read(lambda connection: connection.execute(WAITING).scalar_one())
        self._count += 1
        if self._count > self.config.max_waiting:
            raise Overloaded(
                f"{self.config.max_waiting} runs wait already, which is all that `queue.max_waiting` allows; "
                "try again later"
            )
