from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from auwgent.errors import StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.session import ToolCall, Usage
from auwgent.store.database import Database
from auwgent.store.dialects import parse_url
from auwgent.store.migrations import check, found, prepare
from auwgent.store.schema import newest
from auwgent.testing.runs import talk

ADD_COLUMN = "ALTER TABLE auwgent_sessions ADD COLUMN mood TEXT"
NEXT = {newest(): [ADD_COLUMN]}
UNLUCKY = {newest(): [ADD_COLUMN, "ALTER TABLE nowhere ADD COLUMN luck TEXT"]}


@pytest.fixture
async def database(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(parse_url(url), folder=tmp_path)
    yield opened
    await opened.close()


def columns(database: Database) -> set[str]:
    return database.read(
        lambda connection: {c["name"] for c in inspect(connection).get_columns("auwgent_sessions")}
    )


def test_an_empty_database_gets_the_newest_schema(database: Database) -> None:
    assert database.read(found) is None
    prepare(database)
    assert database.read(found) == newest()


def test_an_older_schema_is_brought_up_to_date_in_place(database: Database) -> None:
    prepare(database)
    prepare(database, NEXT)
    assert database.read(found) == newest() + 1
    assert "mood" in columns(database)


def test_many_may_upgrade_at_once(database: Database) -> None:
    prepare(database)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: prepare(database, NEXT), range(8)))
    assert database.read(found) == newest() + 1


def test_a_failed_upgrade_changes_nothing(database: Database) -> None:
    prepare(database)
    with pytest.raises(StoreError, match="nowhere"):
        prepare(database, UNLUCKY)
    assert database.read(found) == newest()
    assert "mood" not in columns(database)


def test_a_newer_schema_is_refused(database: Database) -> None:
    prepare(database, NEXT)
    with pytest.raises(
        StoreError, match=rf"version {newest() + 1}, this auwgent knows up to {newest()}; install a newer"
    ):
        prepare(database)


async def test_a_sqlite_file_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    store = SQLModelSessions(url)
    await talk(store, "precious", "s1")
    await store.close()
    database = Database(parse_url(url), folder=tmp_path)
    prepare(database, NEXT)
    await database.close()
    copy = tmp_path / f"sessions.db.v{newest()}"
    assert copy.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM auwgent_turns").fetchone() == (2,)
        assert connection.execute("SELECT version FROM auwgent_schema").fetchone() == (newest(),)


def test_a_survey_tells_what_a_run_would_do(database: Database) -> None:
    assert check(database) == f"{database.shown}: not there yet, the first run makes it"
    assert database.path is None or not database.path.exists()
    prepare(database)
    assert check(database) == f"{database.shown}: version {newest()}, up to date"
    older = f"{database.shown}: version {newest()}, the first run makes it {newest() + 1}"
    assert check(database, NEXT) == older
    assert database.read(found) == newest()


def test_a_survey_refuses_what_no_run_could_use(database: Database) -> None:
    prepare(database, NEXT)
    database.write(lambda connection: connection.execute(text("UPDATE auwgent_schema SET version = 99")))
    with pytest.raises(StoreError, match="its schema has version 99"):
        check(database)


async def test_a_survey_finds_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(parse_url("sqlite:///file/deeper/s.db"), folder=tmp_path)
    with pytest.raises(StoreError, match=r"file is not a folder$"):
        check(database)
    await database.close()


# One file for each schema that was released: what is in it must come back from every later release.
SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("v*.sql"))


@pytest.mark.parametrize("dump", SCHEMAS, ids=lambda path: path.stem)
async def test_a_database_of_every_released_schema_can_be_read(dump: Path, tmp_path: Path) -> None:
    restore(dump, tmp_path / "sessions.db")
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    session = await store.get("u1", "s1")
    assert session.system_prompt == "Be kind."
    assert [(turn.role, turn.text) for turn in session.turns] == [
        ("user", "What is the weather? é\0"),
        ("assistant", ""),
        ("tool", "rain"),
        ("assistant", "It rains."),
    ]
    assert session.turns[1].tool_calls == [ToolCall(id="c1", name="weather", args={"city": "Oslo"})]
    assert session.turns[3].usage == Usage(input_tokens=20, output_tokens=3, cached_tokens=5, usd=0.25)
    assert len((await talk(store, "and tomorrow?", "s1")).turns) == 6
    assert await store.latest("ada") == "s2"
    await store.close()


def restore(dump: Path, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())


def test_the_newest_schema_has_its_file() -> None:
    assert [path.stem for path in SCHEMAS] == [f"v{version}" for version in range(1, newest() + 1)]
