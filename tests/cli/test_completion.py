"""Completion, asked for as the shells' scripts ask."""

import re
import shutil
import subprocess
import sys
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
    assert {"anthropic/", "azure/"} <= set(complete(auwgent, "run", "-m", "a"))
    assert complete(auwgent, "run", "-p", "s") == ["strict"]


@pytest.mark.parametrize("typed", ["anth", "anthropic/", "anthropic/claude-son"])
def test_the_models_of_a_provider_are_completed(typed: str, auwgent: Command) -> None:
    found = complete(auwgent, "run", "-m", typed)
    assert "anthropic/claude-sonnet-4-5" in found
    assert all(name.startswith("anthropic/claude-") for name in found)


def test_what_runs_here_or_is_not_listed_is_completed_as_far_as_it_is_known(auwgent: Command) -> None:
    assert complete(auwgent, "run", "-m", "loc") == ["local/smollm2"]
    assert complete(auwgent, "run", "-m", "hosted") == ["hosted_vllm/"]
    assert complete(auwgent, "run", "-m", "hosted_vllm/q") == []


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
def test_bash_completes_with_its_script(auwgent: Command, folder: Path) -> None:
    assert auwgent("run", "-s", "trip", "Hi").returncode == 0
    program = folder / "auwgent"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m auwgent "$@"\n')
    program.chmod(0o700)
    lines = [
        auwgent("completion", "bash").stdout,
        "COMP_WORDS=(auwgent run -s tr -m anthropic/claude-sonn)",
        *(
            f"COMPREPLY=(); COMP_CWORD={at}; _auwgent_completion ./auwgent; echo ${{COMPREPLY[0]}}"
            for at in (3, 5)
        ),
    ]
    options = auwgent.options({})
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True, **options)
    assert done.stderr == ""
    assert re.fullmatch("trip\nanthropic/claude-sonnet-.+\n", done.stdout)
