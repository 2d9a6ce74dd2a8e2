import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent.render.terminal import harmless, paint, wants_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_escape_sequence_is_shown_instead_of_obeyed() -> None:
    assert harmless("\x1b[2Jgone\x07") == "␛[2Jgone␇"


def test_a_carriage_return_cannot_write_over_what_was_said() -> None:
    assert harmless("rm -rf /\rls\r\n") == "rm -rf /ls\n"


def test_marks_that_turn_the_reading_direction_are_shown() -> None:
    assert harmless("user\u202enimda") == "user\ufffdnimda"


@given(st.text())
def test_no_control_character_but_tab_and_newline_comes_through(text: str) -> None:
    assert all(char in "\t\n" or char.isprintable() or ord(char) >= 0xA0 for char in harmless(text))


@given(st.text(), st.text())
def test_pieces_are_as_harmless_as_the_whole(one: str, other: str) -> None:
    assert harmless(one) + harmless(other) == harmless(one + other)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(Terminal()) is coloured
    assert not wants_colour(io.StringIO())


def test_paint_puts_nothing_around_text_without_colours() -> None:
    assert paint("red", "red", "bold", on=False) == "red"
    assert paint("red", "red", "bold", on=True) == "\x1b[31;1mred\x1b[0m"
    assert paint("", "red", on=True) == ""
