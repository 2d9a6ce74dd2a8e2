"""Completion, asked for as the shells' scripts ask."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import Command

CONFIG = """
[agent]
name = "Main"
model = "main"

[models.main]
use = "scripted/echo"

[profiles.strict]
agent.prompt = "Be strict."
"""


def complete(auwgent: Command, *words: str) -> list[str]:
    """What may stand for the last of the words."""
    asked = {
        "_AUWGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("auwgent", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = auwgent(env=asked)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    return tmp_path


def test_commands_and_options_are_completed(auwgent: Command) -> None:
    assert complete(auwgent, "sess") == ["sessions"]
    assert complete(auwgent, "run", "--no-st") == ["--no-stream", "--no-stdin"]


@pytest.mark.usefixtures("folder")
def test_models_and_profiles_of_the_config_are_completed(auwgent: Command) -> None:
    assert complete(auwgent, "run", "-m", "ma") == ["main"]
    assert "anthropic/" in complete(auwgent, "run", "-m", "a")
    assert complete(auwgent, "run", "-p", "s") == ["strict"]


@pytest.mark.usefixtures("folder")
def test_sessions_of_the_user_are_completed(auwgent: Command) -> None:
    assert auwgent("run", "-s", "trip", "Hi").returncode == 0
    assert auwgent("run", "-u", "ada", "-s", "tour", "Hi").returncode == 0
    assert complete(auwgent, "run", "-s", "t") == ["trip"]
    assert complete(auwgent, "run", "-u", "ada", "-s", "t") == ["tour"]


def test_without_a_config_there_is_nothing_and_no_noise(auwgent: Command) -> None:
    assert complete(auwgent, "run", "-s", "") == []
    assert complete(auwgent, "run", "-p", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, auwgent: Command) -> None:
    done = auwgent("completion", shell)
    assert done.returncode == 0
    assert f"_AUWGENT_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_script_of_bash_is_bash(auwgent: Command) -> None:
    script = auwgent("completion", "bash").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
