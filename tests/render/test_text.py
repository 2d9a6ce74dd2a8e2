import asyncio
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from auwgent.intents import Intent
from auwgent.render.run import PlainText, RunOutcome


class Screen:
    """A `PlainText` with what it wrote."""

    def __init__(self, **options: Any) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.text = PlainText(self.out, self.err, **options)

    def show(self, name: str, agent: str = "Main", /, *, partial: bool = False, **value: Any) -> None:
        self.text.show(Intent(name, value, agent, "run", 1, datetime.now(UTC), partial))

    def piece(self, delta: str, segment: int = 0, agent: str = "Main") -> None:
        self.show("response_text", agent, partial=True, delta=delta, segment=segment)

    @property
    def answer(self) -> str:
        return self.out.getvalue()

    @property
    def notes(self) -> list[str]:
        return self.err.getvalue().splitlines()


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_an_answer_is_there_as_it_comes_and_ends_its_line(screen: Screen) -> None:
    screen.piece("Hello ")
    assert screen.answer == "Hello "
    screen.piece("there")
    screen.show("response_text", text="Hello there")
    screen.text.over(RunOutcome())
    assert screen.answer == "Hello there\n"
    assert screen.notes == []


def test_an_answer_that_ends_its_own_line_gets_no_second_end(screen: Screen) -> None:
    screen.show("response_text", text="Hello\n")
    screen.text.over(RunOutcome())
    assert screen.answer == "Hello\n"


def test_words_before_a_call_and_after_it_stand_on_lines_of_their_own(screen: Screen) -> None:
    screen.piece("Let me see.", segment=0)
    screen.show("response_text", text="Let me see.")
    screen.show("tool_call", type="look", args={"where": "there"}, id="1")
    screen.show("tool_result", name="look", args={}, result="nothing", id="1")
    screen.piece("Nothing.", segment=2)
    screen.show("response_text", text="Nothing.")
    assert screen.answer == "Let me see.\nNothing.\n"
    assert screen.notes == ['→ look(where="there")', "← look: nothing"]


def test_an_answer_begun_again_begins_on_a_new_line(screen: Screen) -> None:
    screen.piece("The capital", segment=0)
    screen.piece("The capital is Bern.", segment=1)
    screen.show("response_text", text="The capital is Bern.")
    assert screen.answer == "The capital\nThe capital is Bern.\n"


def test_what_a_hook_made_of_the_answer_follows_what_was_streamed(screen: Screen) -> None:
    screen.piece("My key is 123")
    screen.show("response_text", text="My key is [hidden]")
    assert screen.answer == "My key is 123\nMy key is [hidden]\n"


def test_a_structured_answer_is_json(screen: Screen) -> None:
    screen.show("response_schema", partial=True, delta='{"a"', segment=0)
    screen.show("response_schema", type="Report", response={"title": "Größe"})
    assert screen.answer == '{\n  "title": "Größe"\n}\n'


def test_words_of_inner_agents_are_for_their_callers() -> None:
    screen = Screen(speaks=lambda agent: agent == "Main")
    screen.piece("sources…", agent="Researcher")
    screen.show("response_text", "Researcher", text="sources…")
    screen.show("response_schema", "Researcher", type="Found", response={})
    assert screen.answer == ""


def test_a_quiet_run_shows_the_answer_alone() -> None:
    screen = Screen(quiet=True)
    screen.show("tool_call", type="look", args={}, id="1")
    screen.show("response_text", text="Yes.")
    screen.text.over(RunOutcome(error=asyncio.CancelledError()))
    assert (screen.answer, screen.notes) == ("Yes.\n", [])


def test_an_interrupted_answer_ends_its_line(screen: Screen) -> None:
    screen.piece("One, two")
    screen.text.over(RunOutcome(error=asyncio.CancelledError()))
    assert screen.answer == "One, two\n"
    assert screen.notes == ["interrupted"]


def test_an_error_that_ends_the_run_is_left_to_whoever_catches_it(screen: Screen) -> None:
    screen.show("error", message="overloaded", kind="ProviderError")
    screen.text.over(RunOutcome(error=RuntimeError("overloaded")))
    assert screen.notes == []


def test_an_error_after_which_the_run_goes_on_is_noted(screen: Screen) -> None:
    screen.show("error", message="overloaded", kind="ProviderError")
    screen.show("response_text", text="Later.")
    assert screen.notes == ["! overloaded"]


def test_models_and_tools_cannot_command_the_terminal(screen: Screen) -> None:
    screen.piece("\x1b[2J")
    screen.piece("\x9b31m")
    screen.show("response_text", text="\x1b[2J\x9b31m")
    screen.show("tool_result", name="cat", args={}, result="\x1b]0;owned\x07", id="1")
    screen.show("Loud", reason="\x1b[31m")
    written = screen.answer + "".join(screen.notes)
    assert not {"\x1b", "\x9b", "\x07"} & set(written)
