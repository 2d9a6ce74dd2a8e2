"""`auwgent db encrypt`, and the other commands on a file that is encrypted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.cli import main

PLAIN = '[agent]\nmodel = "scripted/echo"\n'
STORE = 'middleware = [{ use = "auwgent.middleware.SQLModelSessions", encryption_key = "${SESSIONS_KEY}" }]\n'
KEY = "correct horse battery"

Auwgent = Callable[..., tuple[int, str, str]]


@pytest.fixture
def auwgent(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Auwgent:
    """`auwgent`, in this process and a folder with a session `s1` in a plain file; its config has a key by now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUWGENT_CONFIG", raising=False)
    monkeypatch.setenv("SESSIONS_KEY", KEY)

    def call(*args: str) -> tuple[int, str, str]:
        return main(list(args)), *capsys.readouterr()

    (tmp_path / "auwgent.toml").write_text(PLAIN)
    assert call("run", "-q", "-s", "s1", "hello canary")[0] == 0
    (tmp_path / "auwgent.toml").write_text(STORE + PLAIN)
    return call


def canaries(folder: Path) -> list[str]:
    return [path.name for path in (folder / ".auwgent").iterdir() if b"canary" in path.read_bytes()]


def test_a_plain_file_is_refused_until_it_is_encrypted(auwgent: Auwgent, tmp_path: Path) -> None:
    help_line = "this file is not encrypted: `auwgent db encrypt` does that"
    assert help_line in auwgent("run", "-q", "-s", "s1", "again")[2]
    code, found, _ = auwgent("check")
    assert (code, help_line in found) == (2, True)
    assert canaries(tmp_path) == ["sessions.db"]
    assert auwgent("db", "encrypt") == (0, "encrypted\n", "")
    assert canaries(tmp_path) == []
    assert auwgent("db", "encrypt") == (0, "encrypted already\n", "")


def test_the_commands_work_on_an_encrypted_file(auwgent: Auwgent, tmp_path: Path) -> None:
    auwgent("db", "encrypt")
    assert auwgent("run", "-q", "-s", "s1", "and again")[:2] == (0, "You said: and again\n")
    assert "hello canary" in auwgent("sessions", "list")[1]
    assert auwgent("sessions", "search", "canary")[1].count("canary") == 2
    assert "You said: hello canary" in auwgent("sessions", "export", "--format", "markdown")[1]
    assert "scripted/echo      2" in auwgent("usage")[1]
    assert auwgent("check")[0] == 0
    assert auwgent("db", "check")[1].endswith("up to date\n")
    assert auwgent("sessions", "delete", "s1") == (0, "", "")
    assert canaries(tmp_path) == []


def test_a_wrong_or_missing_key_is_told_without_any_key(
    auwgent: Auwgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    auwgent("db", "encrypt")
    monkeypatch.setenv("SESSIONS_KEY", "another-key")
    told = [auwgent("run", "-s", "s1", "Hi"), auwgent("sessions", "list"), auwgent("check")]
    assert [code for code, *_ in told] == [1, 1, 2]
    for _, found, problem in told:
        assert "the encryption_key does not fit" in found + problem
        assert "Traceback" not in problem
        assert "another-key" not in found + problem
    monkeypatch.delenv("SESSIONS_KEY")
    code, _, problem = auwgent("sessions", "list")
    assert (code, "needs the environment variable SESSIONS_KEY" in problem) == (2, True)


def test_the_key_is_not_shown(auwgent: Auwgent) -> None:
    code, shown, _ = auwgent("config", "show")
    assert (code, 'encryption_key = "***"' in shown, KEY in shown) == (0, True, False)


def test_without_a_key_there_is_nothing_to_encrypt_with(auwgent: Auwgent, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(PLAIN)
    code, _, problem = auwgent("db", "encrypt")
    assert (code, "has no `encryption_key`" in problem) == (2, True)
    (tmp_path / "auwgent.toml").write_text(f"middleware = []\n{PLAIN}")
    code, _, problem = auwgent("db", "encrypt")
    assert (code, "does not list auwgent.middleware.SQLModelSessions" in problem) == (2, True)
