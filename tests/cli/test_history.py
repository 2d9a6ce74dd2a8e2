"""What is typed in a chat is remembered, where that can be; the chat goes on all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from auwgent.cli.chat.keyboard import Remembered


def test_a_history_that_cannot_be_kept_is_done_without_and_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "kept" / "history"
    history = Remembered(file, told.append)
    history.append_string("one")
    shutil.rmtree(file.parent)
    history.append_string("two")  # the folder is made again
    assert file.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(file.parent)
    file.parent.touch()  # now a file stands in its way
    history.append_string("three")
    history.append_string("four")
    assert history.get_strings()[-2:] == ["three", "four"]
    assert len(told) == 1
    assert str(file) in told[0]


def test_a_history_that_is_a_folder_is_done_without(tmp_path: Path) -> None:
    told: list[str] = []
    history = Remembered(tmp_path, told.append)
    assert list(history.load_history_strings()) == []
    history.append_string("one")
    assert len(told) == 1


def test_what_was_typed_is_there_in_the_next_chat(tmp_path: Path) -> None:
    Remembered(tmp_path / "history", print).append_string("one")
    assert list(Remembered(tmp_path / "history", print).load_history_strings()) == ["one"]
