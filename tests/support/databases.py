"""Databases for tests: a SQLite file each, and a PostgreSQL schema each where a server answers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from auwgent.middleware import SQLModelSessions
from auwgent.session import new_id

POSTGRES = os.environ.get("AUWGENT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database; it is gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'sessions.db'}"
        return
    name = f"auwgent_{new_id()}"
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {error}")
    with server:
        server.execute(f'CREATE SCHEMA "{name}"')
        try:
            yield f"{POSTGRES}?application_name={name}&options=-csearch_path%3D{name}"
        finally:
            server.execute(f'DROP SCHEMA "{name}" CASCADE')


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, of each kind."""
    with database(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def store(url: str) -> AsyncIterator[SQLModelSessions]:
    """The default store on an empty database, opened."""
    opened = SQLModelSessions(url)
    await opened.open()
    yield opened
    await opened.close()
