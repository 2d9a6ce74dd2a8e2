"""The version of the schema, and the way from each older one to the next.

1   Sessions, runs, turns, and the ledger of tool calls.
2   The newest turns and runs of a session are found by an index, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text, update

from auwgent.store.base import Schema
from auwgent.store.database import Database
from auwgent.store.survey import Place
from auwgent.store.tables import metadata, schema

Step = Callable[[Connection], None]


def _index_the_newest(connection: Connection) -> None:
    for statement in (
        "CREATE INDEX auwgent_turns_seat ON auwgent_turns (session_no, seat)",
        "CREATE INDEX auwgent_runs_queue ON auwgent_runs (session_no, no)",
        "DROP INDEX auwgent_runs_session",
    ):
        connection.execute(text(statement))


# What leads from the version that is the key to the next one. A step is never changed once it was released.
STEPS: Mapping[int, Step] = {1: _index_the_newest}

LOCK = 0x61757767656E74  # "auwgent", for PostgreSQL's advisory lock


def newest(steps: Mapping[int, Step] = STEPS) -> int:
    """The version these steps lead to."""
    return max(steps, default=0) + 1


def found(connection: Connection) -> int | None:
    """The version of the schema in a database; None where it has none yet."""
    if not inspect(connection).has_table(schema.name):
        return None
    return connection.execute(select(schema.c.version)).scalar()


def place_of(database: Database) -> Place:
    """The database as what is surveyed."""
    return Place(database.path, database.shown, lambda: database.read(found))


def look(database: Database, steps: Mapping[int, Step] = STEPS) -> Schema:
    """Which version the schema has. Nothing is made or changed."""
    return place_of(database).look(newest(steps))


def survey(database: Database, steps: Mapping[int, Step] = STEPS) -> str:
    """Whether a run could use the database, and what the first one would do to it. Nothing is made or changed."""
    return place_of(database).survey(newest(steps))


def prepare(database: Database, steps: Mapping[int, Step] = STEPS) -> None:
    """Create the schema, or bring it up to date. Any number of processes may do so at once."""
    if not database.is_read_only:
        database.create_file()
    version = database.read(found)
    if version == newest(steps):
        return
    if version is not None:
        place_of(database).refuse_newer(version, newest(steps))
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


def _upgrade(connection: Connection, database: Database, steps: Mapping[int, Step]) -> None:
    if not database.is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    version = found(connection)  # another process may have been quicker
    if version is None:
        metadata.create_all(connection)
        connection.execute(insert(schema), {"version": newest(steps)})
        return
    place_of(database).refuse_newer(version, newest(steps))
    for number in range(version, newest(steps)):
        steps[number](connection)
    connection.execute(update(schema), {"version": newest(steps)})
