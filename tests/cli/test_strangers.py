"""A folder or a session of strangers: looking at it runs nothing, and shows one harmless line for each thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from auwgent import auwgent
from auwgent.cli import main
from tests.support.command import Command

HOSTILE = """
middleware = [
  "evil.Guard",
  "auwgent.middleware.SQLModelSessions",
  "auwgent.middleware.Remember",
  { use = "auwgent.middleware.Retrieve" },
]

[agent]
model = "m"
tools = ["evil.tool"]

[models.m]
use = "evil.Model"

[embedding]
model = "scripted/echo"
"""
EVIL = 'from pathlib import Path\nPath(__file__).with_name("RAN").touch()\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUWGENT_CONFIG", raising=False)
    return tmp_path


@pytest.mark.process
@pytest.mark.parametrize(
    "command",
    [
        "sessions list", "sessions search a", "sessions show nope", "sessions prune --keep 1", "usage", "db check",
        "db upgrade", "memory list", "index --list", "config show", "providers",
    ],
)  # fmt: skip
def test_looking_at_what_is_kept_runs_no_code_of_the_folder(command: str, folder: Path) -> None:
    (folder / "auwgent.toml").write_text(HOSTILE)
    (folder / "evil.py").write_text(EVIL)
    main(command.split())
    assert not (folder / "RAN").exists()


@pytest.mark.parametrize(
    "words", ["auwgent run -s ", "auwgent run -m ", "auwgent sessions show ", "auwgent run -p "]
)
def test_completion_runs_no_code_of_the_folder(
    words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "auwgent.toml").write_text(HOSTILE)
    (folder / "evil.py").write_text(EVIL)
    monkeypatch.setenv("_AUWGENT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    main([])
    assert not (folder / "RAN").exists()
    assert capsys.readouterr().err == ""


def test_a_store_of_ones_own_is_not_run_to_be_looked_at(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "auwgent.toml").write_text('middleware = ["evil.Store"]\n[agent]\nmodel = "scripted/echo"\n')
    (folder / "evil.py").write_text(EVIL)
    assert main(["sessions", "list"]) == 2
    assert "does not list auwgent.middleware.SQLModelSessions" in capsys.readouterr().err
    assert not (folder / "RAN").exists()


def test_an_id_and_a_title_are_one_harmless_line_each(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    ids = [
        "order-42",
        "order-42\n",
        "a\tb\x1b[2J",
        "\u202erevo\u200b",
        "\U0001f469\u200d\U0001f680",
        "x\u2028y\ufeff",
    ]

    async def talk() -> None:
        async with auwgent("auwgent.toml") as agent:
            for one in ids:
                await agent.run("Hi\x1b]0;title\x07\nthere", session_id=one)

    asyncio.run(talk())
    assert main(["sessions", "list"]) == 0
    listed = capsys.readouterr().out
    assert len(listed.splitlines()) == len(ids)
    assert listed.isprintable() or not set(listed) & set("\x1b\x07\t\u202e\u200b\u2028\ufeff")
    assert "order-42␊" in listed
    assert "\U0001f469\u200d\U0001f680" in listed
    assert main(["sessions", "list", "--json"]) == 0
    assert {row["id"] for row in json.loads(capsys.readouterr().out)} == set(ids)
    assert main(["usage", "--by", "session"]) == 0
    assert not set(capsys.readouterr().out) & set("\x1b\x07\u202e\u200b\u2028\ufeff")


ADDRESSES = [
    "postgresql://app:p@c4n4ryWord@db.invalid/db",
    "postgresql://app:p/c4n4ryWord@db.invalid/db",
    "postgresql://app:p#c4n4ryWord@db.invalid/db",
    "postgresql://app:p?c4n4ryWord@db.invalid/db",
    "postgresql://app:p%40c4n4ryWord@db.invalid/db",
    "postgresql://app:p%c4n4ryWord@db.invalid/db",
    "postgresql://app:p@/#?c4n4ryWord@db.invalid/db",
    "postgresql://app:c4n4ryWord x@db.invalid/db",
    "postgresql://app:c4n4ryWord@db.invalid:port/db",
    "postgresql://db.invalid/db?user=app&password=c4n4ryWord",
    "postgresql://app@db.invalid/db?password=p@c4n4ryWord",
    "postgresql:/app:c4n4ryWord@db.invalid/db",
    "mysql://app:c4n4ryWord@db.invalid/db",
]
OF_SESSIONS = ("list", "show s", "search x", "export s", "fork s", "rename s t", "delete s", "prune --keep 1")
COMMANDS = (
    *("run -q --last hi", "run -q --resume -s s", "config show --origin", "usage", "db check", "db upgrade"),
    *(f"sessions {command}" for command in OF_SESSIONS),
)


@pytest.mark.parametrize(
    ("url", "commands"),
    [*((url, ("run -q hi", "check", "config show")) for url in ADDRESSES), (ADDRESSES[0], COMMANDS)],
)
def test_no_command_tells_the_password_of_an_address(
    url: str,
    commands: Sequence[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    (folder / "auwgent.toml").write_text(
        'middleware = [{ use = "auwgent.middleware.SQLModelSessions", url = "${DATABASE_URL}" }]\n'
        '[agent]\nmodel = "scripted/echo"\n'
    )
    for command in commands:
        main(command.split())
        told = "".join(capfd.readouterr())
        assert "c4n4ryWord" not in told, command
        assert "unexpected" not in told, command


def test_last_and_resume_without_a_session_end_alike(folder: Path) -> None:
    (folder / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    codes = {
        main(["run", *words])
        for words in (["--last", "hi"], ["--resume", "--last"], ["--resume", "-s", "nope"])
    }
    assert codes == {1}


@pytest.mark.process
def test_a_config_from_standard_input_is_never_the_prompt(tmp_path: Path) -> None:
    auwgent = Command(tmp_path)
    config = '[agent]\nmodel = "scripted/echo"\nprompt = "c4n4ry"\n'
    for name in ("-", "/dev/stdin"):
        done = auwgent("run", "-q", "-c", name, "hello", stdin=config)
        assert (done.stdout, done.returncode) == ("You said: hello\n", 0), done.stderr
    assert (tmp_path / ".auwgent" / "sessions.db").exists()  # its folder is the working directory
    done = auwgent("run", "-q", stdin=config, env={"AUWGENT_CONFIG": "/dev/stdin"})
    assert (done.stdout, done.returncode) == ("", 2)
    assert "standard input is the config: give a PROMPT" in done.stderr
