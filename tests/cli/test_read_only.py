"""A database that cannot be written: it can still be read, and nothing else."""

import ctypes
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.forks import Done

CONFIG = '[agent]\nmodel = "scripted/echo"\n'
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@pytest.fixture
def database(tmp_path: Path, auwgent: Command) -> Iterator[Path]:
    """A session `s1` in a folder that is only for reading."""
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    assert auwgent("run", "-s", "s1", "Hello").returncode == 0
    folder = tmp_path / ".auwgent"
    folder.chmod(0o500)
    yield folder / "sessions.db"
    folder.chmod(0o700)


def bound(auwgent: Command, *args: str) -> Done:
    """The command as one whom permissions bind, as they do not bind root."""
    return subprocess.run(
        auwgent.line(*args), capture_output=True, timeout=60, preexec_fn=give_up_root, **auwgent.options({})
    )


def give_up_root() -> None:
    if sys.platform == "linux":
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_sessions_can_be_read(database: Path, auwgent: Command) -> None:
    listed = bound(auwgent, "sessions", "list", "--json")
    assert [row["id"] for row in json.loads(listed.stdout)] == ["s1"]
    assert "Hello" in bound(auwgent, "sessions", "export").stdout
    assert [file.name for file in database.parent.iterdir()] == ["sessions.db"]


def test_nothing_can_be_done_with_them(database: Path, auwgent: Command) -> None:
    for words in (["run", "-s", "s1", "Hi"], ["sessions", "delete", "s1"]):
        done = bound(auwgent, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{database}: the database, or its folder, cannot be written" in done.stderr


def test_what_another_one_writes_meanwhile_is_read_too(database: Path, auwgent: Command) -> None:
    with closing(sqlite3.connect(database)) as writer:
        database.parent.chmod(0o700)
        writer.execute("UPDATE auwgent_sessions SET id = 's2'")
        writer.commit()
        database.parent.chmod(0o500)
        assert "s2" in bound(auwgent, "sessions", "list").stdout


def test_what_is_not_put_into_it_yet_is_not_passed_over(database: Path, auwgent: Command) -> None:
    database.parent.chmod(0o700)
    database.with_name("sessions.db-wal").write_bytes(b"of a process that died")
    database.parent.chmod(0o500)
    done = bound(auwgent, "sessions", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "what sessions.db-wal holds is not in it yet" in done.stderr
