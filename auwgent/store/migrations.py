"""Makes the schema, and brings an older one up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text, update

from auwgent.store.base import Schema
from auwgent.store.database import Database
from auwgent.store.dialects import lock
from auwgent.store.rows import Row
from auwgent.store.schema import STEPS, DatabasePlace, Steps, newest
from auwgent.store.tables import OF_SERVERS, TABLES, schema

LOCK = 0x61757767656E74  # "auwgent"


def found(connection: Connection) -> int | None:
    """Return the version of the schema in a database; None where it has none yet."""
    if not inspect(connection).has_table(schema.name):
        return None
    return connection.execute(select(schema.c.version)).scalar()


def place_of(database: Database) -> DatabasePlace:
    """Return the database as what is surveyed."""

    def version() -> int | None:
        database.refuse_unusable()
        return database.read(found)

    return DatabasePlace(database.path, database.shown, version)


def look(database: Database, steps: Steps = STEPS) -> Schema:
    """Return which version the schema has. Nothing is made or changed."""
    return place_of(database).look(steps)


def check(database: Database, steps: Steps = STEPS) -> str:
    """Whether a run could use the database, and what the first one would do to it. Nothing is made or changed."""
    return place_of(database).check(steps)


def prepare(database: Database, steps: Steps = STEPS) -> None:
    """Create the schema, or bring it up to date. Any number of processes may do so at once."""
    if not database.is_read_only:
        database.create_file()
    database.refuse_unusable()
    version = database.read(found)
    if version == newest(steps):
        return
    if version is not None:
        place_of(database).refuse_newer(Schema(version, newest(steps)))
        copy(database, version)
    database.write(lambda connection: _upgrade(connection, database, steps))


def copy(database: Database, version: int) -> Path | None:
    """Copy a SQLite file as it is before an upgrade, beside it; the copy of an earlier try is kept."""
    if database.path is None:
        return None
    target = database.path.with_name(f"{database.path.name}.v{version}")
    if not target.exists():
        database.copy_file(target)
    return target


def _upgrade(connection: Connection, database: Database, steps: Steps) -> None:
    lock(connection, LOCK)
    version = found(connection)  # another process may have been quicker
    if version is None:
        tables = (*TABLES, *OF_SERVERS) if database.is_shared else TABLES
        Row.metadata.create_all(connection, tables=tables)
        connection.execute(insert(schema), {"version": newest(steps)})
        return
    place_of(database).refuse_newer(Schema(version, newest(steps)))
    for number in range(version, newest(steps)):
        for statement in steps[number]:
            connection.execute(text(statement))
    connection.execute(update(schema), {"version": newest(steps)})
