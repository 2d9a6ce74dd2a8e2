"""A database by URL: its file, its connections, its threads, and its errors in the user's words."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from auwgent.errors import ConfigError, StoreError
from auwgent.files import FILE, draft, make_file
from auwgent.store import cipher, survey
from auwgent.store.base import writing

P = ParamSpec("P")
T = TypeVar("T")

Address = str | URL

log = logging.getLogger("auwgent.store")

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
KNOWN = "sqlite:///file.db or postgresql://user@host/name"
SYNCHRONOUS = {"normal": "NORMAL", "full": "FULL"}
PATIENCE = 30.0  # seconds a transaction is tried again while the database is locked or away
POSTGRES_THREADS = 4

# Conditions that pass: connections lost or refused for now, serialization failures and deadlocks.
PASSING_STATES = ("08", "40001", "40P01", "53300", "57P01", "57P02", "57P03")


def parse_url(url: Address | None) -> URL:
    """The URL with its driver. `ConfigError` where it is none; the message holds no password."""
    try:
        parsed = make_url(url or survey.DEFAULT_URL)
    except ArgumentError:
        raise ConfigError(f"url is no database URL; write {KNOWN}") from None
    driver = DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(f"url names the database {parsed.drivername!r}; write {KNOWN}")
    return parsed.set(drivername=driver)


class Database:
    """One database, opened at its first use. Transactions run whole in threads of their own, or not at all.

    SQLite is written by one thread, which keeps one connection. A relative file is looked for in `folder`. One
    that cannot be written can still be read. With a `key` it is encrypted.
    """

    def __init__(
        self, url: URL, *, folder: Path, durability: str = "normal", key: SecretStr | None = None
    ) -> None:
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.path: Path | None = None  # of the file, where there is one
        if self.is_sqlite and url.database and url.database != ":memory:":
            self.path = folder / Path(url.database).expanduser()
            url = url.set(database=str(self.path))
        self.is_read_only = self.path is not None and self.path.exists() and not _is_writable(self.path)
        self.shown = str(self.path) if self.path else url.render_as_string(hide_password=True)
        self._durability = durability
        self._key = key
        self._answered = False  # whether it ever did: a server that never did is a wrong URL, rather
        self._engine = self._make_engine(self._to_read(url) if self.is_read_only else url)
        self._writing = self._engine.execution_options(auwgent_begin="BEGIN IMMEDIATE")
        threads = 1 if self.is_sqlite else POSTGRES_THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="auwgent-store")

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread of the store. If the caller is cancelled meanwhile, the job still ends."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(job, *args, **kwargs)))

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a job run in a thread of the store, and do not wait for it."""
        return self._threads.submit(job, *args, **kwargs)

    def write(self, work: Callable[[Connection], T], *, patience: float = PATIENCE) -> T:
        """Do `work` in a write transaction, in a job. It may be done again, so it changes nothing else."""
        if self.is_read_only:
            raise StoreError(f"{self.shown}: the database, or its folder, cannot be written")
        return self._transact(self._writing, work, patience)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a read transaction, in a job."""
        return self._transact(self._engine, work, PATIENCE)

    def create_file(self) -> None:
        """Make the SQLite file, readable by its owner alone, and its folder, if they are not there."""
        if self.path is None:
            return
        if self._key is not None:
            cipher.resolve(self._key)  # without it there would be an empty file
        with writing(self.path):
            make_file(self.path)
            for file in (
                self.path,
                *(self.path.with_name(f"{self.path.name}-{part}") for part in ("wal", "shm")),
            ):
                with contextlib.suppress(
                    FileNotFoundError, PermissionError
                ):  # another user's file is his affair
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
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _transact(self, engine: Engine, work: Callable[[Connection], T], patience: float) -> T:
        deadline = time.monotonic() + patience
        pause = 0.005
        while True:
            try:
                with engine.begin() as connection:
                    done = work(connection)
                self._answered = True
                return done
            except SQLAlchemyError as error:
                may_pass = passes(error) or (self._answered and not self.is_sqlite and is_away(error))
                if time.monotonic() + pause > deadline or not may_pass:
                    raise StoreError(f"{self.shown}: {self._explain(error)}") from error
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 1.0)

    def _to_read(self, url: URL) -> URL:
        """The URL of a SQLite file that cannot be written. A WAL can be read only with its index beside it."""
        assert self.path is not None
        wal, index = (self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))
        if wal.exists() and wal.stat().st_size and not index.exists():
            raise StoreError(
                f"{self.shown}: what {wal.name} holds is not in it yet; copy both to where they can be written"
            )
        how = {"mode": "ro"} if index.exists() else {"immutable": "1"}
        return url.set(database=f"file:{quote(str(self.path))}", query={"uri": "true", **how})

    def _explain(self, error: SQLAlchemyError) -> str:
        if self.path is not None and self._key is not None and is_unreadable(error):
            return cipher.misfit(self.path)
        return explain(error)

    def _make_engine(self, url: URL) -> Engine:
        # Parameters are the user's conversation: they must not stand in an error.
        options: dict[str, Any] = {"hide_parameters": True}
        if self.is_sqlite and self.path is None:
            options["poolclass"] = StaticPool
        if self.is_sqlite:
            options["connect_args"] = {"check_same_thread": False, "timeout": 5.0, "isolation_level": None}
            if self._key is not None:
                options["module"] = cipher.driver()
        else:
            # A connection may have died while the model was thinking, or come through a pooler.
            options |= {
                "pool_pre_ping": True,
                "connect_args": {"prepare_threshold": None, "connect_timeout": 10},
            }
        try:
            engine = create_engine(url, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise ConfigError(f"url needs a driver: pip install 'auwgent[postgres]' ({error})") from None
        if self.is_sqlite:
            event.listen(engine, "connect", self._set_up_sqlite)
            event.listen(engine, "begin", begin_sqlite)
        return engine

    def _set_up_sqlite(self, connection: Any, _record: object) -> None:
        if self._key is not None:
            cipher.unlock(connection, self._key)
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[self._durability]}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        if self.is_read_only:
            return
        if self.path is not None and connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode = WAL")


def begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where it will be needed: a lock asked for later can only fail."""
    statement = connection.get_execution_options().get("auwgent_begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)


def _is_writable(path: Path) -> bool:
    """Whether SQLite may write to the file, and make a WAL beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def passes(error: SQLAlchemyError) -> bool:
    """Whether the same transaction may succeed in a moment."""
    if not isinstance(error, DBAPIError):
        return False
    if name := sqlite_name(error):
        return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(PASSING_STATES)


def is_away(error: SQLAlchemyError) -> bool:
    """Whether no server answered: it may be starting again."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None


def is_unreadable(error: SQLAlchemyError) -> bool:
    """Whether a file is no SQLite database, as it seems without the right key."""
    return isinstance(error, DBAPIError) and sqlite_name(error) == "SQLITE_NOTADB"


def sqlite_name(error: DBAPIError) -> str:
    """SQLite's own name for what happened; empty where it is no error of SQLite."""
    return getattr(error.orig, "sqlite_errorname", "")


def explain(error: SQLAlchemyError) -> str:
    """What is wrong, in one line: the driver's own words, without the statement."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return survey.explain(cause if cause is not None else error)
