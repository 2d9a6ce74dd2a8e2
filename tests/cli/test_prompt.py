"""Files that come with the prompt."""

import os
from pathlib import Path

import click
import pytest

from auwgent.cli.prompt import gather
from auwgent.inputs import LARGEST
from auwgent.session import Text


def attached(path: Path) -> object:
    return gather("Hi", [path], use_stdin=False)


def test_a_text_goes_as_text_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# Notes")
    assert attached(path) == [Text(text="Hi"), Text(text="notes.md:\n\n# Notes")]


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_has_no_end_of_its_own_is_refused(kind: str, tmp_path: Path) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(click.UsageError, match=f"'{path}' is not a regular file"):
        attached(path)


def test_what_no_provider_would_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    os.truncate(path, LARGEST + 1)
    with pytest.raises(click.UsageError, match="more than 50 MB"):
        attached(path)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gone.txt"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(click.UsageError, match=r"'.*gone\.txt' is not a regular file"):
        attached(path)
    memory = Path("/proc/self/mem")  # opens, but its first byte belongs to nobody
    if memory.exists():
        with pytest.raises(click.UsageError, match="cannot read '/proc/self/mem': Input/output error"):
            attached(memory)
