"""The suite passes for the default store, on both databases, and fails for stores that lose something."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auwgent.middleware import SQLModelSessions
from auwgent.session import Session
from auwgent.testing.store_suite import RunStoreSuite, StoreSuite
from tests.support.databases import POSTGRES, database

pytestmark = pytest.mark.process


class TestSQLite(RunStoreSuite):
    budget = 2.5  # the ids of runs have an index, and their rows what they were asked

    @staticmethod
    def make(place: str) -> SQLModelSessions:
        return SQLModelSessions(f"sqlite:///{place}")

    @staticmethod
    def break_storage(place: str) -> None:
        with contextlib.closing(sqlite3.connect(place)) as connection:
            connection.execute("DROP TABLE auwgent_turns")

    @staticmethod
    def size(place: str) -> int:
        return Path(place).stat().st_size


class TestPostgreSQL(RunStoreSuite):
    budget = 3.0

    @staticmethod
    def make(place: str) -> SQLModelSessions:
        return SQLModelSessions(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[str]:
        with database("postgresql", tmp_path) as url:
            yield url

    @staticmethod
    def break_storage(place: str) -> None:
        schema = place.rpartition("%3D")[2]
        with psycopg.connect(POSTGRES, autocommit=True) as server:
            server.execute(f'DROP TABLE "{schema}".auwgent_turns')

    @staticmethod
    def size(place: str) -> int:
        """Of the table that grows with a conversation; the others take their smallest size, which is a lot."""
        schema = place.rpartition("%3D")[2]
        with psycopg.connect(POSTGRES, autocommit=True) as server:
            row = server.execute(
                "SELECT pg_total_relation_size((%s || '.auwgent_turns')::regclass)", (schema,)
            ).fetchone()
        assert row is not None
        return int(row[0])


class Forgetful:
    """Keeps whole sessions in a folder, as one would at first: the last save wins, and errors are swallowed."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)

    def onRunStart(self, session: Session, ctx: Any) -> Any:
        try:
            return Session.model_validate_json((self.folder / session.id).read_text())
        except (OSError, ValueError):
            return None

    def onRunComplete(self, session: Session, ctx: Any) -> None:
        with contextlib.suppress(OSError):
            (self.folder / session.id).write_text(session.model_dump_json())


FLAWS = [
    "a_session_of_another_user_is_not_found",
    "a_failed_read_is_never_a_new_session",
    "of_two_runs_at_once_none_loses_a_turn",
]


@pytest.mark.parametrize("flaw", FLAWS)
async def test_the_suite_finds_what_a_store_loses(flaw: str, tmp_path: Path) -> None:
    class Suite(StoreSuite):
        @staticmethod
        def make(place: str) -> Forgetful:
            return Forgetful(place)

        @staticmethod
        def break_storage(place: str) -> None:
            for path in Path(place).iterdir():
                path.write_text("broken")

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await getattr(Suite(), f"test_{flaw}")(str(tmp_path / "store"))
