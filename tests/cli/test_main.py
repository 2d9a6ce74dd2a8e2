"""What is the same for every command: the table, the help, exit codes, and where errors end."""

import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from auwgent.cli import COMMANDS, ended, group, main
from auwgent.errors import ConfigError, LimitExceeded, Problem
from tests.support.command import Command


def raises(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work


def test_help_lists_the_commands_on_standard_output(auwgent: Command) -> None:
    done = auwgent("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for entry in COMMANDS:
        assert entry.name in done.stdout
    assert auwgent("-h").stdout == done.stdout


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_each_command_of_the_table_is_there_and_explains_itself(
    entry: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([entry.name, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: auwgent {entry.name}")
    command = group.get_command(click.Context(group), entry.name)
    assert command is not None
    assert command.help


def test_the_version_is_told(auwgent: Command) -> None:
    done = auwgent("--version")
    first, python, packages = done.stdout.splitlines()
    assert (done.returncode, first) == (0, "auwgent 0.1.0")
    assert python.startswith(f"Python {platform.python_version()}, {platform.system()} ")
    assert all(f"{name} {version(name)}" in packages for name in ("litellm", "mcp", "pydantic", "sqlalchemy"))


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(auwgent: Command) -> None:
    done = auwgent("rum")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'run'?" in done.stderr


def test_an_unknown_option_is_a_usage_error(auwgent: Command) -> None:
    done = auwgent("--quite")
    assert done.returncode == 2
    assert "--quite" in done.stderr


def test_work_that_is_done_gives_its_own_exit_code() -> None:
    assert ended(lambda: None) == 0
    assert ended(lambda: 143) == 143


def test_each_problem_of_a_config_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [
        Problem("unknown key 'modle'", "a.toml", line=1, text="modle = 1"),
        Problem("no name", "--set"),
    ]
    assert ended(raises(ConfigError(problems))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{problems[0]}\n\n{problems[1]}\n"


def test_a_failed_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raises(LimitExceeded("too many calls\x1b[2J", key="limits.llm_calls"))) == 1
    assert capsys.readouterr() == ("", "error: too many calls␛[2J\n")


def test_what_nobody_expected_is_told_with_the_way_to_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUWGENT_DEBUG", "0")
    assert ended(raises(KeyError("x"))) == 1
    short = capsys.readouterr().err
    assert short == "error: unexpected KeyError: 'x'\n  AUWGENT_DEBUG=1 shows the traceback.\n"
    monkeypatch.setenv("AUWGENT_DEBUG", "1")
    assert ended(raises(KeyError("x"))) == 1
    long = capsys.readouterr().err
    assert long.startswith("Traceback (most recent call last):\n")
    assert long.endswith(short.splitlines()[0] + "\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_no_error_but_has_its_code(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(raises(error)) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_had_enough_is_no_error(auwgent: Command) -> None:
    with auwgent.start("--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_is_one_line(buffered: str, auwgent: Command) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as stdout:
        options = auwgent.options({"PYTHONUNBUFFERED": buffered})
        done = subprocess.run(auwgent.line("schema"), stdout=stdout, stderr=subprocess.PIPE, **options)
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


def test_a_character_that_the_terminal_lacks_ends_nothing(auwgent: Command) -> None:
    done = auwgent("run", "-c", "日.toml", env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"})
    assert done.returncode == 2
    assert "\\u65e5.toml" in done.stderr
