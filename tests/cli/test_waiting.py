"""Signs of life: what a terminal shows while nothing comes, and where nothing is shown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.command import Command

pytestmark = pytest.mark.process

CONFIG = """\
middleware = []

[agent]
model = "main"
tools = [{ use = "slow.look_up", approve = "ask" }]

[models.main]
use = "scripted/s.toml"
"""
SCRIPT = """\
[[replies]]
when = "look"
tool_calls = [{ name = "look_up", args = {} }]

[[replies]]
result = true
text = "Here it is."
delay = 1.5

[[replies]]
text = "Here it is."
delay = 1.5
"""
TOOL = '''\
import time


def look_up() -> str:
    """Look something up."""
    time.sleep(1.5)
    return "found"
'''


@pytest.fixture
def slow(auwgent: Command) -> Command:
    (auwgent.folder / "auwgent.toml").write_text(CONFIG)
    (auwgent.folder / "s.toml").write_text(SCRIPT)
    (auwgent.folder / "slow.py").write_text(TOOL)
    return auwgent


def test_a_terminal_shows_what_is_waited_for(slow: Command) -> None:
    with slow.on_terminal("run", "Hi") as terminal:
        terminal.until("waiting for scripted/s.toml … 1 s")
        terminal.until("Here it is.")
        assert terminal.ended() == 0


def test_a_tool_at_work_is_named_and_a_question_is_left_alone(slow: Command) -> None:
    with slow.on_terminal("run", "look") as terminal:
        terminal.until("Allow it? [y/N]")
        assert "at work" not in terminal.unread
        terminal.type("y\r")
        terminal.until("look_up at work … 1 s")
        terminal.until("waiting for scripted/s.toml … 1 s")
        terminal.until("Here it is.")
        assert terminal.ended() == 0


def test_a_chat_shows_it_too(slow: Command) -> None:
    with slow.on_terminal("run") as terminal:
        terminal.until_prompt()
        terminal.type("Hi\r")
        terminal.until("waiting for scripted/s.toml … 1 s")
        terminal.until("Here it is.")
        terminal.until_prompt()
        terminal.type("\x04")
        assert terminal.ended() == 0


@pytest.mark.parametrize(("args", "env"), [(["-q"], {}), ([], {"TERM": "dumb"}), (["--json"], {})])
def test_nothing_is_shown_where_it_would_be_in_the_way(
    slow: Command, args: Sequence[str], env: dict[str, str]
) -> None:
    with slow.on_terminal("run", *args, "Hi", env=env) as terminal:
        assert terminal.ended() == 0
        assert "Here it is." in terminal.unread
        assert "waiting" not in terminal.unread


def test_a_pipe_gets_the_answer_alone(slow: Command) -> None:
    done = slow("run", "Hi")
    assert (done.stdout, "waiting" in done.stderr) == ("Here it is.\n", False)
