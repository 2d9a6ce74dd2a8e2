"""Files that their owner alone can read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from auwgent.errors import StoreError
from auwgent.files import draft
from auwgent.store.database import Database
from auwgent.store.dialects import parse_url

LEAVES_WAL = """
import sqlite3, sys
try:
    print(*sqlite3.connect(sys.argv[1], timeout=0).execute("PRAGMA journal_mode = DELETE").fetchone())
except sqlite3.OperationalError as error:
    print(error)
"""


def leave_wal(file: Path) -> str:
    """What another process is told that wants the file for itself."""
    command = [sys.executable, "-c", LEAVES_WAL, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.process
def test_looking_after_a_file_leaves_the_locks_on_it(tmp_path: Path) -> None:
    """A process that closes a file loses all its locks on that file: so it is not even opened."""
    file = tmp_path / "sessions.db"
    first, second = (Database(parse_url(f"sqlite:///{file}"), folder=tmp_path) for _ in range(2))
    first.create_file()
    first.read(lambda connection: connection.exec_driver_sql("SELECT * FROM sqlite_master").all())
    second.create_file()
    assert leave_wal(file) == "database is locked"
    for database in (first, second):
        asyncio.run(database.close())
    assert leave_wal(file) == "delete"


def test_what_is_no_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o755)
    with pytest.raises(StoreError, match="folder: the database cannot be created"):
        Database(parse_url(f"sqlite:///{tmp_path}/folder"), folder=tmp_path).create_file()
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_a_draft_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with draft(tmp_path / "new" / "x.db") as path:
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list((tmp_path / "new").iterdir()) == []
