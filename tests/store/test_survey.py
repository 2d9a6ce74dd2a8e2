from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from auwgent.errors import StoreError
from auwgent.store import migrations
from auwgent.store.database import Database
from auwgent.store.dialects import parse_url
from auwgent.store.schema import file_of, newest, place_of

FILE = "sessions.db"


def told(survey: Callable[[], str]) -> str:
    """What a survey says, or what is wrong."""
    try:
        return survey()
    except StoreError as error:
        return f"wrong: {error}"


async def by_both(folder: Path) -> str:
    """What a survey says of the file, which is the same with SQLAlchemy and without."""
    database = Database(parse_url(f"sqlite:///{FILE}"), folder=folder)
    try:
        by_sqlalchemy = await database.run(told, lambda: migrations.check(database))
    finally:
        await database.close()
    assert told(place_of(FILE, folder).check) == by_sqlalchemy
    return by_sqlalchemy


@pytest.mark.parametrize(
    ("url", "file"),
    [
        (None, ".auwgent/sessions.db"),
        ("sqlite:///~/a b+c#d@e:f&g=h.db", "~/a b+c#d@e:f&g=h.db"),
        ("sqlite:////var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:///a%20b.db", None),
        ("sqlite:///a.db?timeout=1", None),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql://me@host/name", None),
    ],
)
def test_the_file_of_a_url_is_the_one_that_sqlalchemy_opens(url: str | None, file: str | None) -> None:
    assert file_of(url) == file
    if file is not None:
        assert parse_url(url).database == file


async def test_a_database_is_told_alike_before_and_after_it_is_made(tmp_path: Path) -> None:
    assert "not there yet" in await by_both(tmp_path)
    assert not (tmp_path / FILE).exists()
    database = Database(parse_url(f"sqlite:///{FILE}"), folder=tmp_path)
    await database.run(migrations.prepare, database)
    assert "up to date" in await by_both(tmp_path)
    await database.close()
    assert "up to date" in await by_both(tmp_path)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"UPDATE auwgent_schema SET version = {newest() + 1}", "install a newer auwgent"),
        (f"UPDATE auwgent_schema SET version = {newest() - 1}", f"the first run makes it {newest()}"),
        ("DROP TABLE auwgent_schema", "not there yet"),
    ],
)
async def test_another_version_is_told_alike(tmp_path: Path, statement: str, words: str) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("CREATE TABLE auwgent_schema (version INTEGER NOT NULL PRIMARY KEY)")
        connection.execute(f"INSERT INTO auwgent_schema VALUES ({newest()})")
        connection.execute(statement)
        connection.commit()
    assert words in await by_both(tmp_path)


async def test_what_is_no_database_is_told_alike(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("Dear diary, today I was no database. " * 100)
    assert "this file is not a SQLite database" in await by_both(tmp_path)
