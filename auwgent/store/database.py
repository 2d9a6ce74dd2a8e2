"""A database by URL: its file, its connections, its threads, and its errors in the user's words."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from auwgent.errors import ConfigError, StoreError
from auwgent.files import FILE, draft, make_file
from auwgent.secrecy import KnownSecrets, scrubbed
from auwgent.store import cipher, disks
from auwgent.store.base import writing
from auwgent.store.dialects import dialect_of, is_unreadable, shown
from auwgent.store.notices import Board

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("auwgent.store")

PATIENCE = 30.0  # seconds a transaction is tried again while the database is locked or away
UNKNOWN = 10.0  # seconds that a server may take to end the transaction of a connection that broke
QUIET = 3.0  # seconds that it is waited for a database without a word
OPENING = 10.0  # seconds for a server that has never answered: its URL may be wrong


class Database:
    """One database, opened at its first use. Transactions run whole in threads of their own, or not at all.

    SQLite is written by one thread, which keeps one connection. A relative file is looked for in `folder`. One
    that cannot be written can still be read. With a `key` it is encrypted. To a server it has at most as many
    `connections`, and one for its signs of life. `opening` is how many seconds a server may
    take to answer for the first time.

    It is of one process: a child that was forked must not touch its connections and has none of its threads.
    `is_lost` tells when to let go of it and open another.
    """

    def __init__(
        self,
        url: URL,
        *,
        folder: Path,
        durability: str = "normal",
        key: SecretStr | None = None,
        opening: float = OPENING,
        connections: int | None = None,
    ) -> None:
        self.dialect = dialect_of(url)
        self.patience = PATIENCE
        self.path: Path | None = None  # of the file, where there is one
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            self.path = folder / Path(url.database).expanduser()
            url = url.set(database=str(self.path))
        self._beside = None if self.path is None else disks.beside(self.path, "-wal")
        self.is_read_only = self.path is not None and self.path.exists() and not _is_writable(self.path)
        self.shown = str(self.path) if self.path else shown(url)
        self._secrets = KnownSecrets([url.password, quote(url.password)] if url.password else [])
        self._durability = durability
        self._key = key
        self._connections = connections
        self._opening = opening
        self._answered = False
        self._process = os.getpid()
        # The file and its WAL that the connection has open; None until they have been used.
        self._file: disks.Identity | None = None
        self._wal: disks.Identity | None = None
        self._is_gone = False
        self._content = disks.Content(self.path) if self.path and not self.is_read_only else None
        self._looking = threading.RLock()  # one transaction at a time on a file that is looked at
        self._engine = self._make_engine(self._to_read(url) if self.is_read_only else url)
        self._writing = self._engine.execution_options(auwgent_begin="BEGIN IMMEDIATE")
        self._threads = ThreadPoolExecutor(
            (self.dialect.is_server and connections) or self.dialect.threads,
            thread_name_prefix="auwgent-store",
        )
        # Where its processes tell one another of runs under way, where it can do that.
        self.board = Board(self._connect) if self.dialect.has_notes else None

    @property
    def is_foreign(self) -> bool:
        """Whether another process opened it, from which this one was forked."""
        return os.getpid() != self._process

    @property
    def is_lost(self) -> bool:
        """Whether it can be used no more: the process was forked, or its file is not the one at that path now."""
        return self.is_foreign or not self._is_in_place()

    @property
    def is_shared(self) -> bool:
        """Whether processes of other machines can use it, too."""
        return self.dialect.is_server

    @property
    def address(self) -> str:
        """Its URL, with the password: for a library that opens it by itself."""
        return self._engine.url.render_as_string(hide_password=False)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread of the store. If the caller is cancelled meanwhile, the job still ends."""
        done = asyncio.wrap_future(self.submit(job, *args, **kwargs))
        done.add_done_callback(_heard)
        return await asyncio.shield(done)

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a job run in a thread of the store, and do not wait for it."""
        try:
            return self._threads.submit(job, *args, **kwargs)
        except RuntimeError:  # it was closed, by another run if the file was lost
            self._check_place()
            raise

    def write(
        self, work: Callable[[Connection], T], *, patience: float | None = None, once: bool = False
    ) -> T:
        """Do `work` in a write transaction, in a job. It may be done again, so it changes nothing else.

        `once` says that work which was committed must not be committed again, where nobody heard of the first time.
        """
        if self.is_read_only:
            raise StoreError(f"{self.shown}: the database, or its folder, cannot be written")
        patience = self.patience if patience is None else patience
        return self._transact(self._writing, _Once(self, work) if once else work, patience)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a read transaction, in a job."""
        return self._transact(self._engine, work, self.patience)

    def create_file(self) -> None:
        """Make the SQLite file, readable by its owner alone, and its folder, if they are not there."""
        if self.path is None:
            return
        if danger := disks.warning_of(self.path):
            log.warning("%s", danger)
        if self._key is not None:
            cipher.resolve(self._key)  # without it there would be an empty file
        with writing(self.path):
            make_file(self.path)
            for file in (self.path, *(disks.beside(self.path, end) for end in ("-wal", "-shm"))):
                # Another user's file is his affair.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    file.chmod(FILE)

    def encrypt_file(self) -> bool:
        """Encrypt the SQLite file, which nobody has open, and its copies; False where that is done."""
        assert self._key is not None
        if self.path is None:
            raise StoreError(f"{self.shown}: there is no file to encrypt")
        for copy in self.path.parent.glob(f"{glob.escape(self.path.name)}.v*"):
            cipher.encrypt(copy, self._key)
        return cipher.encrypt(self.path, self._key)

    def copy_file(self, target: Path) -> None:
        """Copy the SQLite database, as it is in one moment. If several do so at once, the first copy stays."""
        with writing(target), draft(target) as copy:
            self._alone("VACUUM INTO '" + str(copy).replace("'", "''") + "'")
            with contextlib.suppress(FileExistsError):
                os.link(copy, target)

    def compact(self) -> None:
        """Leave nothing of what was deleted in the SQLite file or its WAL, and give its space back."""
        if self.path is None:
            return
        self._alone("VACUUM")
        if self._alone("PRAGMA wal_checkpoint(TRUNCATE)")[0]:
            log.warning(
                "%s: others are reading; what was deleted is in its -wal file until they end", self.path
            )

    def _alone(self, statement: str) -> Sequence[Any]:
        """Run a statement that must not stand in a transaction; its first row."""

        def work(connection: Connection) -> Sequence[Any]:
            result = connection.exec_driver_sql(statement)
            return tuple(result.one()) if result.returns_rows else ()

        return self._transact(self._engine.execution_options(auwgent_begin=""), work, PATIENCE)

    async def close(self) -> None:
        """Wait for what is under way, then let go of threads and connections."""
        if self.board is not None and not self.is_foreign:
            await asyncio.to_thread(self.board.close)
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def refuse_unusable(self) -> None:
        """`StoreError` where this database cannot hold what is said, as one of another encoding than UTF-8."""
        if reason := self.read(self.dialect.refusal):
            raise StoreError(f"{self.shown}: {reason}")

    def _transact(self, engine: Engine, work: Callable[[Connection], T], patience: float) -> T:
        began = time.monotonic()
        pause, is_told = 0.005, False
        while True:
            self._check_place()
            try:
                done = self._done(engine, work)
                self._answered = True
                self._check_place()  # what was written to a file that is gone was not stored
                self._note_place()
                return done
            except SQLAlchemyError as error:
                until = began + self._patience_with(error, patience)
                if time.monotonic() + pause > until:
                    raise StoreError(f"{self.shown}: {self._explain(error)}") from error
                if not is_told and time.monotonic() - began > QUIET:
                    is_told = True
                    why = scrubbed(self._explain(error))
                    log.warning("%s: the database is waited for: %s", self.shown, why)
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 1.0)

    def _done(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        """Carry out one transaction."""
        if self._content is None:
            with engine.begin() as connection:
                return work(connection)
        with self._looking:
            stamp = (
                self._content.stamp()
            )  # before it begins: what changes the file from here on is a commit to come
            with engine.begin() as connection:
                self._check_content(connection, stamp)
                done = work(connection)
            if engine is not self._engine:
                self._content.note()
            return done

    def _patience_with(self, error: SQLAlchemyError, patience: float) -> float:
        """Return for how many seconds to try again after this error."""
        if isinstance(error, DBAPIError) and self.dialect.passes(error):
            return patience
        if self.dialect.is_away(error):
            return patience if self._answered else min(patience, self._opening)
        return 0.0

    def _check_place(self) -> None:
        if not self._is_in_place():
            raise StoreError(
                f"{self.shown}: the database was removed, moved or replaced while it was open; what comes now is not "
                "stored there"
            )

    def _check_content(self, connection: Connection, stamp: disks.Stamp | None) -> None:
        assert self._content is not None
        if not connection.get_transaction():
            return
        [version] = connection.connection.cursor().execute("PRAGMA data_version").fetchone()
        if self._content.was_replaced(stamp, version):
            self._is_gone = True
            raise StoreError(
                f"{self.shown}: something wrote over the database while it was open; what comes now is not stored there"
            )

    def examine(self) -> None:
        """`StoreError` where a SQLite file is damaged, as one that was written over while it was open may be."""
        if self.path is None or not self.path.exists():
            return
        found = self.read(lambda connection: connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
        if found != "ok":
            raise StoreError(
                f"{self.shown}: the database is damaged ({' '.join(found.split())[:200]}), as after something wrote "
                "over it while it was open; while nobody has it open, put a whole one there, without the old -wal "
                "and -shm"
            )

    def _is_in_place(self) -> bool:
        """Return whether the file and its WAL are still those that were opened."""
        if self.path is None or self._file is None:
            return True
        is_same = disks.identity(self.path) == self._file
        if not is_same or (
            self._wal is not None and self._beside is not None and disks.identity(self._beside) != self._wal
        ):
            self._is_gone = True  # for good: once it is closed, a new file may get its number
        return not self._is_gone

    def _note_place(self) -> None:
        if self.path is not None and not self.is_read_only:
            self._file = self._file or disks.identity(self.path)
            self._wal = self._wal or disks.identity(disks.beside(self.path, "-wal"))

    def _forget_wal(self, *_: object) -> None:
        """A connection is made: where it is the only one, SQLite makes a new WAL."""
        self._wal = None
        if self.path is not None and self._content is not None:
            self._content = disks.Content(self.path)

    def _to_read(self, url: URL) -> URL:
        """Return the URL of a SQLite file that cannot be written. A WAL can be read only with its index beside it."""
        assert self.path is not None
        wal, index = (disks.beside(self.path, end) for end in ("-wal", "-shm"))
        if wal.exists() and wal.stat().st_size and not index.exists():
            raise StoreError(
                f"{self.shown}: what {wal.name} holds is not in it yet; copy both to where they can be written"
            )
        how = {"mode": "ro"} if index.exists() else {"immutable": "1"}
        return url.set(database=f"file:{quote(str(self.path))}", query={"uri": "true", **how})

    def _connect(self) -> Any:
        """Return a connection of the driver's own, outside the pool, that commits by itself."""
        made = self._engine.raw_connection()
        connection: Any = made.driver_connection
        made.detach()
        connection.autocommit = True
        return connection

    def _explain(self, error: SQLAlchemyError) -> str:
        if self.path is not None and self._key is not None and is_unreadable(error):
            return cipher.misfit(self.path)
        cause = error.orig if isinstance(error, DBAPIError) else None
        return self.dialect.explain(cause or error, self.path)

    def _make_engine(self, url: URL) -> Engine:
        try:
            # Parameters are the user's conversation: they must not stand in an error.
            options = self.dialect.options(self.path, self._key, self._connections)
            engine = create_engine(url, hide_parameters=True, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise ConfigError(f"url needs a driver: pip install 'auwgent[postgres]' ({error})") from None
        self.dialect.set_up(
            engine, self.path, key=self._key, durability=self._durability, writes=not self.is_read_only
        )
        event.listen(engine, "connect", self._forget_wal)
        return engine


class _Once(Generic[T]):
    """Work that is not done again where it was committed, though the connection broke before that was heard."""

    def __init__(self, database: Database, work: Callable[[Connection], T]) -> None:
        self._database = database
        self._work = work
        self._mark: int | None = None  # of the try before
        self._done: list[T] = []

    def __call__(self, connection: Connection) -> T:
        if self._mark is None or not self._was_committed(connection, self._mark):
            self._mark = None
            self._done = [self._work(connection)]
            self._mark = self._database.dialect.mark(connection)
        return self._done[0]

    def _was_committed(self, connection: Connection, mark: int) -> bool:
        until = time.monotonic() + UNKNOWN
        while (end := self._database.dialect.end_of(connection, mark)) == "in progress":
            if time.monotonic() > until:
                raise StoreError(
                    f"{self._database.shown}: whether this was stored is not known: look, and try again"
                )
            time.sleep(0.05)
        return end == "committed"


def _heard(job: asyncio.Future[Any]) -> None:
    """Hear of a failure although its caller was cancelled."""
    if not job.cancelled():
        job.exception()


def _is_writable(path: Path) -> bool:
    """Return whether SQLite may write to the file, and make a WAL beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
