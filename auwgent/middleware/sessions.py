"""Sessions kept in a database: the default persistence, made of the hooks alone, as a user's own would be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from auwgent import store
from auwgent.errors import ConfigError, SessionConflict
from auwgent.hooks.context import Context
from auwgent.middleware.kept import InFolder
from auwgent.secrecy import scrubbed
from auwgent.session import Session, new_id, now
from auwgent.store.archive import Archive
from auwgent.store.base import OnBusy, Schema, parse_age
from auwgent.store.survey import file_of, place_of

if TYPE_CHECKING:
    from auwgent.store.database import Address, Database
    from auwgent.store.journal import Hold, Journal, Mark, Stored

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two looks at a session that another run holds


class SQLModelSessions(Archive, InFolder):
    """Keeps sessions in SQLite or PostgreSQL, each turn once, as soon as it is there.

    `url` is `sqlite:///file.db` (relative to the config file) or `postgresql://…`; the default is
    `.auwgent/sessions.db` beside the config file. Sessions not used for as long as `retention` ("90d",
    "12h", "8w") are deleted when the store opens. `on_busy` says what becomes of a run whose session another
    run holds: it waits, it fails with `SessionConflict`, or it goes on with a copy. With `durability="full"`
    SQLite waits for the disk at each write, so that not even a power cut loses one. A run reads the whole
    history, or the newest `window` turns and what belongs to them: from the words that began the run they are of.
    A SQLite file is encrypted with the `encryption_key`; `keyring:NAME` is one of the system's keyring.
    """

    name = "sessions"

    def __init__(
        self,
        url: str | None = None,
        retention: str | None = None,
        on_busy: OnBusy = "queue",
        durability: Literal["normal", "full"] = "normal",
        window: int | None = None,
        encryption_key: str | None = None,
    ) -> None:
        self._file = file_of(url)
        # The URL of a file is read when it is opened: that takes SQLAlchemy, which takes long to import.
        self._url: Address | None = url if self._file else store.database.parse_url(url)
        self._key = None
        if encryption_key is not None:
            self._key = store.cipher.parse_key(store.database.parse_url(url), encryption_key)
        self._retention = None if retention is None else parse_age("retention", retention)
        if on_busy not in ("queue", "reject", "fork"):
            raise ConfigError(f'on_busy must be "queue", "reject" or "fork", not {on_busy!r}')
        if durability not in ("normal", "full"):
            raise ConfigError(f'durability must be "normal" or "full", not {durability!r}')
        if window is not None and (type(window) is not int or window < 1):
            raise ConfigError(f"window must be a number of turns such as 20, not {window!r}")
        self.on_busy: OnBusy = on_busy  # the runtime lets runs of one session wait only where this says so
        self._durability = durability
        self._window = window
        self._note = f"sessions {new_id()}"  # of a run on its ctx; each instance has its own
        self._opened: tuple[Database, Journal] | None = None
        self._waiting = Waiting()

    async def open(self) -> None:
        """Open the database; create it, or bring its schema up to date, where that is needed."""
        if self._is_open():
            return
        database = await asyncio.to_thread(self._database)  # what takes its time is SQLAlchemy's import
        try:
            journal = await database.run(self._prepare, database)
        except BaseException:
            await database.close()
            raise
        if self._is_open():  # another run was quicker
            await database.close()
        else:
            self._opened = database, journal

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        if self._opened is not None:
            (database, journal), self._opened = self._opened, None
            await asyncio.to_thread(journal.close)
            await database.close()

    async def onRunStart(self, session: Session, ctx: Context) -> Session | None:
        """The session as it is stored, as far as it is read; None where there is none yet.

        Where calls have no result because their run died, `ctx["interrupted"]` holds those that had begun, by
        their ids. Where there are turns before the window, `ctx["unreadUsage"]` is an async function that tells what
        they have used up.
        """
        as_key = store.tables.as_key
        hold = store.journal.Hold(
            as_key("user_id", user_of(ctx)), as_key("session id", session.id), ctx.runId
        )
        stored = await self._acquire(hold)
        ctx[self._note] = hold
        if stored.interrupted is not None:
            ctx["interrupted"] = {call.call_id: asdict(call) for call in stored.interrupted}
        if hold.first_seat:
            database, journal = await self._open()
            ctx["unreadUsage"] = partial(database.run, journal.unread, hold)
        return stored.session

    async def onCheckpoint(self, session: Session, ctx: Context) -> None:
        """Store what is new."""
        hold: Hold | None = ctx.get(self._note)
        if hold is not None:
            ctx[f"{self._note} as it is"] = session
            database, journal = await self._open()
            await database.run(journal.append, hold, snapshot(session), mark_of(ctx))

    async def onLLMEnd(self, response: dict[str, object], ctx: Context) -> None:
        """Store the answer at once: what other middleware does at the end of the run may take its time."""
        hold: Hold | None = ctx.get(self._note)
        session: Session | None = ctx.get(f"{self._note} as it is")
        if hold is not None and session is not None:
            database, journal = await self._open()
            await database.run(journal.append, hold, snapshot(session), None)

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        """Store the rest and how the run ended, and let the next one have the session."""
        hold: Hold | None = ctx.get(self._note)
        if hold is not None:
            database, journal = await self._open()
            error = None if ctx.error is None else scrubbed(str(ctx.error))
            try:
                await database.run(
                    journal.finish, hold, snapshot(session), store.journal.End(ctx.status, error)
                )
            finally:
                self._waiting.wake(hold)

    async def schema(self) -> Schema:
        """The version of the database's schema, and the one this auwgent wants. Nothing is made or changed."""
        return await self._at_once(store.migrations.look)

    async def check(self) -> str:
        """What a run would find there, for `auwgent check`. Nothing is made or changed; raises `StoreError`."""
        if self._file is not None and self._key is None:
            return await asyncio.to_thread(place_of(self._file, self._folder).survey)
        return await self._at_once(store.migrations.survey)

    async def encrypt(self) -> bool:
        """Encrypt the SQLite file, which nobody has open, if it was made without a key; False if not."""
        if self._key is None:
            raise ConfigError("the store of sessions has no `encryption_key` to encrypt its file with")
        return await self._at_once(lambda database: database.encrypt_file())

    async def database(self) -> Database:
        """The database, opened."""
        return (await self._open())[0]

    def _is_open(self) -> bool:
        return self._opened is not None

    async def _at_once(self, job: Callable[[Database], T]) -> T:
        """Do a job on the database as it is, and let go of it again."""
        database = self._database()
        try:
            return await database.run(job, database)
        finally:
            await database.close()

    def _database(self) -> Database:
        url = store.database.parse_url(self._url)
        return store.database.Database(url, folder=self._folder, durability=self._durability, key=self._key)

    def _prepare(self, database: Database) -> Journal:
        store.migrations.prepare(database)
        if self._retention is not None and not database.is_read_only:
            before = now() - self._retention
            database.write(lambda connection: store.transactions.prune(connection, None, before))
        return store.journal.Journal(database, self._window)

    @property
    def _folder(self) -> Path:
        return self.folder or Path.cwd()

    async def _open(self) -> tuple[Database, Journal]:
        if self._opened is None:
            await self.open()
        assert self._opened is not None
        return self._opened

    async def _acquire(self, hold: Hold) -> Stored:
        database, journal = await self._open()
        pause = FIRST_PAUSE
        try:
            while True:
                stored = await database.run(journal.claim, hold, queue=self.on_busy == "queue")
                if stored is not None:
                    return stored
                if self.on_busy == "reject":
                    raise SessionConflict(f"session {hold.session_id!r} is held by another run")
                if self.on_busy == "fork":
                    await database.run(journal.fork, hold, new_id())
                    continue
                await self._waiting.wait(hold, pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        except BaseException:
            database.submit(journal.give_up, hold).add_done_callback(lambda _: self._waiting.wake(hold))
            raise


class Waiting:
    """Runs of this process that wait for one another, so that they need not wait for their next look."""

    def __init__(self) -> None:
        self._runs: dict[Hold, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}

    async def wait(self, hold: Hold, seconds: float) -> None:
        """Wait so long, or until a run of this process that held the session has ended."""
        woken = asyncio.Event()
        self._runs[hold] = asyncio.get_running_loop(), woken
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            del self._runs[hold]

    def wake(self, ended: Hold) -> None:
        """Wake the run that has waited longest for the session of the one that ended."""
        waiting = [(hold.run_no, *place) for hold, place in list(self._runs.items()) if hold.key == ended.key]
        for _, loop, woken in sorted(waiting, key=lambda run: run[0])[:1]:
            with contextlib.suppress(RuntimeError):  # its loop was closed meanwhile
                loop.call_soon_threadsafe(woken.set)


def user_of(ctx: Context) -> str:
    """Whose session it is, as text."""
    return "" if ctx.userId is None else str(ctx.userId)


def snapshot(session: Session) -> Session:
    """The session as it is now: a cancelled run may go on while its last save is still under way."""
    return session.model_copy(update={"turns": list(session.turns), "stack": list(session.stack)})


def mark_of(ctx: Context) -> Mark | None:
    """What the ledger has to know of this checkpoint."""
    point = ctx.get("checkpoint") or {}
    if point.get("at") not in ("tool_start", "tool_end"):
        return None
    return store.journal.Mark(
        ends=point["at"] == "tool_end",
        call_id=point["call_id"],
        name=point.get("name", ""),
        idempotent=bool(point.get("idempotent")),
    )
