"""All differences between SQLite and PostgreSQL. Another database would be one more class."""

from __future__ import annotations

import math
import re
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import SecretStr
from sqlalchemy import (
    REAL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    Table,
    cast,
    event,
    func,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import ARRAY, TypeDecorator, TypeEngine

from auwgent.errors import ConfigError
from auwgent.store import cipher
from auwgent.store.disks import beside, is_full
from auwgent.store.schema import DEFAULT_URL, FULL, explain_driver

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

Address = str | URL

KNOWN = "sqlite:///file.db or postgresql://user@host/name"
SYNCHRONOUS = {"normal": "NORMAL", "full": "FULL"}

IDLE = 4_000  # milliseconds that a transaction may do nothing: less than any process is silent for, and dead
# A line that was cut says nothing: who waits for an answer on it hears so after 15 to 25 seconds, not after hours.
ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
RESTED, LIVELY = (
    "auwgent_rested",
    1.0,
)  # since when a connection rests, and for how many seconds it is lively still

# Column types that each database has in a form of its own.
Big = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's row number


class Vector(TypeDecorator[Sequence[float]]):
    """Numbers of single precision, which come back as an array."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> TypeEngine[Any]:
        kept: TypeEngine[Any] = ARRAY(REAL) if dialect.name == "postgresql" else LargeBinary()
        return kept

    def process_bind_param(self, value: Sequence[float] | None, dialect: Any) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return array("f", value).tobytes()

    def process_result_value(self, value: Any, dialect: Any) -> array[float] | None:
        return None if value is None else array("f", value)


class DatabaseClock(FunctionElement[int]):
    """The database's own clock in microseconds: the one clock that all processes share."""

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseClock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


@compiles(DatabaseClock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


class SQLite:
    """A file, or a database in this process: one writer at a time."""

    driver = "sqlite+pysqlite"
    is_server = False
    threads = 1
    has_notes = False

    def options(
        self, path: Path | None, key: SecretStr | None, connections: int | None = None
    ) -> dict[str, Any]:
        """Return what SQLAlchemy's engine is made with."""
        options: dict[str, Any] = {
            "connect_args": {"check_same_thread": False, "timeout": 5.0, "isolation_level": None}
        }
        if path is None:
            options["poolclass"] = StaticPool
        if key is not None:
            options["module"] = cipher.driver()
        return options

    def set_up(
        self, engine: Engine, path: Path | None, *, key: SecretStr | None, durability: str, writes: bool
    ) -> None:
        """Prepare each new connection."""

        def connected(connection: Any, _record: object) -> None:
            if key is not None:
                cipher.unlock(connection, key)
            if path is not None and is_full(path) and not beside(path, "-shm").exists():
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # so reading needs no index on the disk
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            if writes and connection.execute("PRAGMA journal_mode").fetchone() not in (("wal",), ("memory",)):
                connection.execute("PRAGMA journal_mode = WAL")

        event.listen(engine, "connect", connected)
        event.listen(engine, "begin", _begin_sqlite)

    def passes(self, error: DBAPIError) -> bool:
        """Return whether the same transaction may succeed in a moment."""
        return sqlite_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))

    def is_away(self, error: SQLAlchemyError) -> bool:
        """Return whether the database is away for now, as a server is that starts again."""
        return False

    def explain(self, error: BaseException, path: Path | None) -> str:
        """Return what is wrong, in the user's words."""
        is_short = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN"))
        return FULL if path is not None and is_short and is_full(path) else explain_driver(error)

    def refusal(self, connection: Connection) -> str | None:
        """Return why this database cannot be used, where that is so."""
        return None

    def mark(self, connection: Connection) -> int | None:
        """Return what to ask for a transaction by, should its commit be lost. None: one that fails was not done."""
        return None

    def end_of(self, connection: Connection, mark: int) -> str | None:
        """Return how that transaction ended: `committed`, `aborted`, or `in progress` where it has not."""
        return None

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an `INSERT` that knows `ON CONFLICT`."""
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)

    def lock(self, connection: Connection, number: int) -> None:
        """Let no other transaction with this lock go on before this one has ended. There is one writer anyway."""

    def lower(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """ASCII letters in lower case."""
        return func.lower(column)

    def is_beyond_ascii(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """Return whether there is more than ASCII in it."""
        return func.length(cast(column, LargeBinary)) != func.length(column)

    def finds_vectors(self, connection: Connection) -> bool:
        """Return whether the database itself can look for the nearest vectors."""
        return False


class PostgreSQL:
    """A server with many writers."""

    driver = "postgresql+psycopg"
    is_server = True
    threads = 4
    has_notes = True

    # Conditions that pass: connections lost or refused for now, serialization failures and deadlocks.
    PASSING = ("08", "25P03", "40001", "40P01", "53300", "57P01", "57P02", "57P03")
    # A server gives no code to one who is not connected yet: these are its words, and those of the socket.
    STARTING = re.compile(r"starting up|shutting down|not yet accepting|recovery mode", re.IGNORECASE)
    SILENT = re.compile(
        r"refused|closed the connection|reset by peer|timeout|timed out|No such file", re.IGNORECASE
    )

    def options(
        self, path: Path | None, key: SecretStr | None, connections: int | None = None
    ) -> dict[str, Any]:
        """Return what SQLAlchemy's engine is made with."""
        # A connection may come through a pooler.
        return {
            "pool_size": connections or self.threads,
            "max_overflow": 1,  # for a sign of life, when all others are in use
            "connect_args": {
                **ALIVE,
                "prepare_threshold": None,
                "connect_timeout": 10,
                "client_encoding": "utf8",
            },
        }

    def set_up(
        self, engine: Engine, path: Path | None, *, key: SecretStr | None, durability: str, writes: bool
    ) -> None:
        """Try a connection before it is used that has rested: it may have died while the model was thinking.

        A process that is stopped, or cut off, in the middle of a transaction keeps nobody from what it has locked.
        """

        def connected(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE}")
            connection.commit()

        event.listen(engine, "connect", connected)

        def rests(_connection: object, record: Any) -> None:
            record.info[RESTED] = time.monotonic()

        def is_wanted(connection: Any, record: Any, _proxy: object) -> None:
            if time.monotonic() - record.info.get(RESTED, math.inf) < LIVELY:  # also where it is new
                return
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error

        event.listen(engine, "checkin", rests)
        event.listen(engine, "checkout", is_wanted)

    def passes(self, error: DBAPIError) -> bool:
        """Return whether the same transaction may succeed in a moment."""
        state = getattr(error.orig, "sqlstate", None)
        if state is None and self.STARTING.search(str(error.orig)):
            return True
        return error.connection_invalidated or (state or "").startswith(self.PASSING)

    def is_away(self, error: SQLAlchemyError) -> bool:
        """Return whether no server answered: it may be starting again, or the URL may be wrong."""
        if not isinstance(error, OperationalError) or getattr(error.orig, "sqlstate", None) is not None:
            return False
        return bool(self.SILENT.search(str(error.orig)))

    def explain(self, error: BaseException, path: Path | None) -> str:
        """Return what is wrong, in the user's words."""
        return explain_driver(error)

    def refusal(self, connection: Connection) -> str | None:
        """Return why this database cannot be used, where that is so."""
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding == "UTF8":
            return None
        return f"the database's encoding is {encoding}, Auwgent needs UTF8: CREATE DATABASE … ENCODING 'UTF8'"

    def mark(self, connection: Connection) -> int | None:
        """Return what to ask for a transaction by, should its commit be lost: its number."""
        number: int = connection.execute(text("SELECT txid_current()")).scalar_one()
        return number

    def end_of(self, connection: Connection, mark: int) -> str | None:
        """Return how that transaction ended: `committed`, `aborted`, or `in progress` where it has not."""
        found: str | None = connection.execute(text("SELECT txid_status(:mark)"), {"mark": mark}).scalar()
        return found

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an `INSERT` that knows `ON CONFLICT`. It is slow to import, and loaded for this database alone."""
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)

    def lock(self, connection: Connection, number: int) -> None:
        """Let no other transaction with this lock go on before this one has ended."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def lower(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """ASCII letters in lower case, whatever the language of the server."""
        return func.lower(column.collate("C"))

    def is_beyond_ascii(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """Return whether there is more than ASCII in it."""
        return func.octet_length(column) != func.char_length(column)

    def finds_vectors(self, connection: Connection) -> bool:
        """Return whether the database itself can look for the nearest vectors: with pgvector, in whatever schema."""
        return bool(connection.execute(text("SELECT to_regtype('vector') IS NOT NULL")).scalar())


Dialect = SQLite | PostgreSQL

DIALECTS: dict[str, Dialect] = {"sqlite": SQLite(), "postgresql": PostgreSQL()}
NAMES = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
}


def dialect_of(what: Connection | URL) -> Dialect:
    """Return the dialect of a connection or an address."""
    return DIALECTS[what.dialect.name if isinstance(what, Connection) else what.get_backend_name()]


def parse_url(url: Address | None) -> URL:
    """Return the URL with its driver. `ConfigError` where it is none; the message holds no password."""
    try:
        parsed = url if isinstance(url, URL) else _parsed(url or DEFAULT_URL)
    except (ArgumentError, ValueError):
        raise ConfigError(f"url is not a database URL; write {KNOWN}") from None
    name = NAMES.get(parsed.drivername)
    if name is None:
        raise ConfigError(f"url names the database {parsed.drivername!r}; write {KNOWN}")
    return parsed.set(drivername=DIALECTS[name].driver)


def shown(url: URL) -> str:
    """Return the URL as it may be shown. A query may hold a password, too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    """Return a URL whose password may hold anything, an `@` or a `/` as well, or stand in the query."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.startswith("sqlite"):
        return make_url(url)
    place, *query = re.split(r"\?(?=\w+=)", rest, maxsplit=1)
    credentials, mark, place = place.rpartition("@")
    parsed = make_url("?".join((f"{scheme}://{place}", *query)))
    user, has_password, password = credentials.partition(":")
    if mark:
        parsed = parsed.set(username=unquote(user))
    if has_password:
        parsed = parsed.set(password=unquote(password))
    elif "password" in parsed.query and isinstance(parsed.query["password"], str):
        parsed = parsed.set(password=parsed.query["password"])
    return parsed.difference_update_query(["password"])


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an `INSERT` that knows `ON CONFLICT`."""
    return dialect_of(connection).insert(table)


def lock(connection: Connection, number: int) -> None:
    """Let no other transaction with this lock go on before this one has ended."""
    dialect_of(connection).lock(connection, number)


def is_unreadable(error: SQLAlchemyError) -> bool:
    """Return whether a file is not a SQLite database, as it seems without the right key."""
    return isinstance(error, DBAPIError) and sqlite_name(error) == "SQLITE_NOTADB"


def sqlite_name(error: DBAPIError) -> str:
    """SQLite's own name for what happened; empty where the error is not SQLite's."""
    return getattr(error.orig, "sqlite_errorname", "")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where it will be needed: a lock asked for later can only fail."""
    statement = connection.get_execution_options().get("auwgent_begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
