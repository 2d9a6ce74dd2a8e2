"""The sessions of a database: opened, asked, changed and closed. Importing this loads no SQLAlchemy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from auwgent import store
from auwgent.errors import ConfigError, SessionConflict, SessionNotFound, StoreError
from auwgent.session import Session, now
from auwgent.store.base import (
    Hit,
    RunInfo,
    RunStatus,
    RunStore,
    Schema,
    SessionInfo,
    UsageBy,
    UsageRow,
    parse_age,
)
from auwgent.store.companions import Companions, SessionKey
from auwgent.store.schema import check_connections, file_of, place_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from auwgent.store.database import Database
    from auwgent.store.dialects import Address
    from auwgent.store.journal import Journal

T = TypeVar("T")


class Equips(Protocol):
    """Gives a journal what it needs besides the database."""

    def equip(self, journal: Journal) -> None: ...


SEARCHED = 50  # sessions that are searched at once
LOOK = 0.25  # seconds between two looks at a process that may be dead

log = logging.getLogger("auwgent.store")

# Of the process that this one was forked from. To close them would end its connections.
inherited: list[Journal] = []


class Sessions(RunStore):
    """The sessions of a database, as `RunStore` describes it. What its methods do is said there."""

    folder: Path | None = None  # where a relative file is looked for
    # Seconds for a server to answer for the first time; None: as it starts again.
    opening: float | None = None
    queue: Equips | None = None  # what tells an engine of queued runs
    told: Callable[[int, int], None] | None = None  # how much is done of a long import, and of how much

    def __init__(
        self,
        url: str | None = None,
        *,
        retention: str | None = None,
        durability: Literal["normal", "full"] = "normal",
        window: int | None = None,
        encryption_key: str | None = None,
        connections: int | None = None,
    ) -> None:
        self._file = file_of(url)
        # The URL of a file is read when it is opened: that takes SQLAlchemy, which takes long to import.
        self._url: Address | None = url if self._file else store.dialects.parse_url(url)
        self._key = None
        if encryption_key is not None:
            self._key = store.cipher.parse_key(store.dialects.parse_url(url), encryption_key)
        self._retention = None if retention is None else parse_age("retention", retention)
        if durability not in ("normal", "full"):
            raise ConfigError(f'durability must be "normal" or "full", not {durability!r}')
        if window is not None and (type(window) is not int or window < 1):
            raise ConfigError(f"window must be a number of turns such as 20, not {window!r}")
        check_connections(connections, url)
        self._how = {"durability": durability, "connections": connections}
        self._window = window
        self._opened: Journal | None = None
        self.companions = Companions()
        self._is_suspect = False  # the file may have been written over
        self._forgotten: list[SessionKey] = []  # those that opening the store has deleted

    @property
    def is_of_one_machine(self) -> bool:
        """Whether no other machine can use the database."""
        return self._file is not None or str(self._url).startswith("sqlite")

    # Open and closed

    async def open(self) -> None:
        """Open the database; create it, or bring its schema up to date, where that is needed."""
        await self.journal()

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        if (journal := self._open_journal()) is not None:
            self._opened = None
            await _close(journal)

    async def journal(self) -> Journal:
        """The journal of the database, opened; opened again in a forked process, or where its file was replaced."""
        journal = self._open_journal()
        if journal is not None and not journal.database.is_lost:
            return journal
        if journal is not None:
            self._opened, self._is_suspect = None, True
            log.warning("%s: the file is another one now; opening it again", journal.database.shown)
            await _close(journal)
        database = await asyncio.to_thread(self._database)  # what takes its time is SQLAlchemy's import
        try:
            journal = await database.run(self._prepare, database)
        except BaseException:
            await database.close()
            raise
        if (first := self._open_journal()) is not None:  # another run was quicker
            await database.close()
            return first
        self._opened = journal
        forgotten, self._forgotten = self._forgotten, []
        await self.companions.deleted(forgotten)
        return journal

    async def schema(self) -> Schema:
        """Return the version of the database's schema, and the one this auwgent wants. Nothing is made or changed."""
        return await self._at_once(store.migrations.look)

    async def check(self) -> str:
        """Return what a run would find there, for `auwgent check`. Nothing is made or changed; raises `StoreError`."""
        if self._file is not None and self._key is None:
            return await asyncio.to_thread(place_of(self._file, self.folder or Path.cwd()).check)
        return await self._at_once(store.migrations.check)

    async def encrypt(self) -> bool:
        """Encrypt the SQLite file, which nobody has open, if it was made without a key; False if not."""
        if self._key is None:
            raise ConfigError("the store of sessions has no `encryption_key` to encrypt its file with")
        return await self._at_once(lambda database: database.encrypt_file())

    # Asked

    async def latest(self, user_id: str) -> str | None:
        found = await self.list_sessions(user_id, limit=1)
        return found[0].id if found else None

    async def list_sessions(
        self, user_id: str, *, limit: int | None = None, since: datetime | None = None
    ) -> list[SessionInfo]:
        listing = store.listings.listing(user_id, limit, _micros(since))
        rows = await self._read(lambda connection: connection.execute(listing).all())
        moment, status_of = store.tables.moment, store.history.status_of
        return [
            SessionInfo(
                id=row.id,
                user_id=user_id,
                created_at=moment(row.created_at),
                updated_at=moment(row.updated_at),
                turns=row.turns,
                status=status_of(row),
                preview=store.history.preview(row.said),
                forked_from=row.forked_from,
            )
            for row in rows
        ]

    async def run_status(self, user_id: str, session_id: str) -> str | None:
        """Return how the last run of the session ended, as in `SessionInfo`; None where there was none."""
        who = {"user_id": user_id, "session_id": session_id}
        row = await self._read(
            lambda connection: connection.execute(store.listings.STATUS, who).one_or_none()
        )
        return None if row is None else store.history.status_of(row)

    async def runs(
        self,
        user_id: str | None,
        status: RunStatus | None = None,
        *,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> list[RunInfo]:
        # That a process died, or that nobody answered in time, is written down only later: it is seen when it is read.
        seen = () if status is None else store.statements.SEEN_AS.get(status, (status,))
        listing = store.listings.listed_runs(user_id, seen, session_id)
        listing = listing.limit(limit if status is None or status not in store.statements.SEEN_AS else None)
        rows = await self._read(lambda connection: connection.execute(listing).all())
        found = [store.history.run_of(row) for row in rows]
        return [run for run in found if status in (None, run.status)][:limit]

    async def run(self, user_id: str, run_id: str) -> RunInfo:
        if (found := await self.find_run(user_id, run_id)) is None:
            raise SessionNotFound(
                f"there is no run {run_id!r}" + (f" of user {user_id!r}" if user_id else "")
            )
        return found

    async def find_run(self, user_id: str, run_id: str) -> RunInfo | None:
        """The run of that id, if there is one."""

        def work(connection: Connection) -> RunInfo | None:
            runs = store.tables.runs
            wanted = store.listings.listed_runs(user_id, (), None).where(runs.c.id == run_id)
            row = connection.execute(wanted.add_columns(runs.c.input)).one_or_none()
            return None if row is None else store.history.run_of(row, row.input)

        return await self._read(work)

    async def get(self, user_id: str, session_id: str) -> Session:
        return await self._read(lambda connection: store.history.read(connection, user_id, session_id))

    async def search(self, user_id: str, words: str) -> AsyncIterator[Hit]:
        # The database is asked again as the reader goes on, and nothing stays locked meanwhile.
        wanted = words.casefold().split()
        if not wanted:
            return
        newest, who = store.listings.NEWEST_SESSIONS, {"user_id": user_id}
        numbers = await self._read(lambda connection: connection.execute(newest, who).scalars().all())
        for start in range(0, len(numbers), SEARCHED):
            some = numbers[start : start + SEARCHED]
            for hit in await self._read(partial(store.search.hits, session_nos=some, wanted=wanted)):
                yield hit

    async def usage(
        self,
        by: UsageBy,
        *,
        user_id: str | None = None,
        since: datetime | None = None,
        model: str | None = None,
    ) -> list[UsageRow]:
        statement = store.listings.usage(by, user_id, _micros(since), model)
        rows = await self._read(lambda connection: connection.execute(statement).all())
        found = [store.history.used(by, row) for row in rows]
        return sorted(found, key=lambda row: row.key) if by == "day" else found

    # Changed

    async def answer(self, user_id: str, run_id: str, answers: Mapping[str, Any]) -> RunInfo:
        def work(connection: Connection) -> bool:
            return store.pauses.answer(connection, user_id, run_id, answers)

        if not await self._write(work):
            raise store.pauses.late(run_id)
        return await self.run(user_id, run_id)

    async def hide(self, user_id: str, run_id: str, name: str) -> None:
        """Note with a run that its user has taken a response of that name from view; its words stay."""
        await self._write(lambda connection: store.history.hide(connection, user_id, run_id, name))

    async def put(self, session: Session) -> None:
        await self._write(lambda connection: store.history.put(connection, session, self.told))

    async def fork(self, user_id: str, session_id: str, new_id: str, *, at: str | None = None) -> None:
        await self._bury()

        def work(connection: Connection) -> None:
            row = store.history.find(connection, user_id, session_id)
            store.history.check_free(connection, user_id, new_id)
            store.history.copy(connection, row.no, new_id, at)

        await self._write(work)
        await self.companions.copied(user_id, session_id, new_id)

    async def cancel(self, user_id: str, run_id: str) -> None:
        await self.run(user_id, run_id)
        journal = await self.journal()
        await journal.database.run(journal.cancel, user_id, run_id)
        await self._bury()

    async def rename(self, user_id: str, session_id: str, new_id: str) -> None:
        await self._bury()

        def work(connection: Connection) -> None:
            number = _unheld(connection, user_id, session_id)
            store.history.check_free(connection, user_id, new_id)
            connection.execute(store.listings.NEW_ID, {"of_session": number, "new_id": new_id})

        await self._write(work)
        await self.companions.renamed(user_id, session_id, new_id)

    async def delete(self, user_id: str, session_id: str) -> None:
        await self._bury()

        def work(connection: Connection) -> None:
            number = _unheld(connection, user_id, session_id)
            for statement in store.listings.removal([number], store.tables.micros(now())):
                connection.execute(statement)

        await self._write(work)
        await self.companions.deleted([(user_id, session_id)])
        await self._compact()

    async def prune(
        self, user_id: str | None, *, before: datetime | None = None, keep: int | None = None
    ) -> int:
        await self._bury()
        pruned = await self._write(
            lambda connection: store.history.prune(connection, user_id, before, keep, self.told)
        )
        if pruned:
            await self.companions.deleted(pruned)
            await self._compact()
        return len(pruned)

    # How

    def _open_journal(self) -> Journal | None:
        """Return the journal, if it is open in this process."""
        if self._opened is not None and self._opened.database.is_foreign:
            inherited.append(self._opened)
            self._opened = None
        return self._opened

    async def _at_once(self, job: Callable[[Database], T]) -> T:
        """Do a job on the database as it is, and let go of it again. A server that is away is not waited for."""
        database = self._database(opening=0.0)
        try:
            return await database.run(job, database)
        finally:
            await database.close()

    def _database(self, **options: Any) -> Database:
        url = store.dialects.parse_url(self._url)
        folder = self.folder or Path.cwd()
        if self.opening is not None:
            options.setdefault("opening", self.opening)
        options |= self._how
        return store.database.Database(url, folder=folder, key=self._key, **options)

    def _prepare(self, database: Database) -> Journal:
        if self._is_suspect:
            database.examine()
            self._is_suspect = False
        store.migrations.prepare(database)
        if self._retention is not None and not database.is_read_only:
            self._forget_old(database, self._retention)
        journal = store.journal.Journal(database, self._window)
        if self.queue is not None:
            self.queue.equip(journal)
        return journal

    def _forget_old(self, database: Database, age: timedelta) -> None:
        """Delete what is older. Where that fails, as on a full disk, what is there can still be used."""
        try:
            self._forgotten += database.write(
                lambda connection: store.history.prune(connection, None, now() - age, None), once=True
            )
        except StoreError as error:
            log.warning("old sessions could not be deleted: %s", error)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        database = (await self.journal()).database
        return await database.run(database.read, work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        database = (await self.journal()).database
        return await database.run(partial(database.write, work, once=True))

    async def _bury(self) -> None:
        """See which processes are dead, so that their runs hold up nothing. That may take as long as a lease."""
        journal = await self.journal()
        silent = await journal.database.run(journal.bury)
        while silent:
            await asyncio.sleep(LOOK)
            silent = silent & await journal.database.run(journal.bury)

    async def _compact(self) -> None:
        database = (await self.journal()).database
        await database.run(database.compact)


async def _close(journal: Journal) -> None:
    await asyncio.to_thread(journal.close)
    if not journal.database.is_lost:
        await journal.database.run(journal.leave)
    await journal.database.close()


def _unheld(connection: Connection, user_id: str, session_id: str) -> int:
    """Return the number of a session that no run holds."""
    number: int = store.history.find(connection, user_id, session_id).no
    if connection.execute(store.statements.HELD, {"of_session": number}).first():
        raise SessionConflict(f"session {session_id!r} is held by a run")
    return number


def _micros(time: datetime | None) -> int | None:
    return None if time is None else store.tables.micros(time)
