"""How far something long is: a bar with an estimate on a terminal, nothing where it is quick or nobody looks."""

from __future__ import annotations

import io
from typing import Any

import pytest

from auwgent.cli import progress
from auwgent.cli.progress import ProgressBar
from auwgent.middleware import SQLModelSessions
from auwgent.session import Session, Turn


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is too quick to be shown, wherever the tests run."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("at_once")
def test_a_terminal_shows_how_much_is_done() -> None:
    screen = Screen()
    with ProgressBar(screen, "importing 3 turns\x1b[2J") as bar:
        bar(1, 3)
        bar(3, 3)
    shown = screen.getvalue()
    assert "importing 3 turns" in shown
    assert "100%" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("dumb", [True, False])
def test_nobody_else_is_shown_anything(monkeypatch: pytest.MonkeyPatch, dumb: bool) -> None:
    if dumb:
        monkeypatch.setenv("TERM", "dumb")
    stream = Screen() if dumb else io.StringIO()
    with ProgressBar(stream, "importing") as bar:
        bar(1, 2)
    assert stream.getvalue() == ""


async def test_a_store_tells_how_far_imports_and_removals_are(tmp_path: Any) -> None:
    told: list[tuple[int, int]] = []
    store = SQLModelSessions(f"sqlite:///{tmp_path / 's.db'}")
    store.told = lambda done, number: told.append((done, number))
    await store.open()
    turns = [Turn(role="user", content=str(number)) for number in range(4100)]
    await store.put(Session(id="long", turns=turns))
    assert told == [(2000, 4100), (4000, 4100), (4100, 4100)]
    for number in range(60):
        await store.put(Session(id=f"s{number}"))
    told.clear()
    assert await store.prune("", keep=0) == 61
    assert told == [(50, 61), (61, 61)]
    await store.close()
