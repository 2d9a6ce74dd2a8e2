"""Every example runs as it is written, and prints what it says it prints."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.support import forks
from tests.support.forks import Done

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("example", FOLDERS, ids=lambda path: path.name)
def test_an_example_prints_what_is_expected(example: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(
        example, tmp_path / example.name, ignore=shutil.ignore_patterns("__pycache__", ".auwgent")
    )
    printed = ""
    for command in (folder / "command.txt").read_text().splitlines():
        done = run(command, folder)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert printed == (folder / "expected.txt").read_text()
    for expected in folder.glob("expected-*"):
        assert (folder / expected.name.removeprefix("expected-")).read_text() == expected.read_text()


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in FOLDERS if f"[{path.name}]({path.name})" not in listed] == []


def run(command: str, folder: Path) -> Done:
    words = shlex.split(command)
    if words[0] == "auwgent":
        words = ["-m", *words]
    else:
        assert words[0] == "python", command
        del words[0]
    env = {**os.environ, "OPENAI_API_KEY": "a-key", "PYTHON": sys.executable, "NO_COLOR": "1"}
    return forks.run(words, stdin="", cwd=folder, env=env, litellm=True)
