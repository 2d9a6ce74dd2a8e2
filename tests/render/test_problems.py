from auwgent.errors import Problem
from auwgent.render.terminal import problems_text

MISSPELT = Problem(
    "unknown key 'modle'",
    source="auwgent.toml",
    line=2,
    column=1,
    length=5,
    text='modle = "openai/gpt-5-mini"',
    hint="did you mean 'model'?",
)


def test_without_colours_it_reads_as_the_problem_does() -> None:
    assert problems_text([MISSPELT], colour=False) == str(MISSPELT)


def test_the_caret_is_red_and_the_place_stands_out() -> None:
    lines = problems_text([MISSPELT], colour=True).splitlines()
    assert lines[0] == "\x1b[1mauwgent.toml:2:1: unknown key 'modle'\x1b[0m"
    assert lines[2] == "   | \x1b[31;1m^^^^^\x1b[0m"
    assert lines[3] == "\x1b[36m   = did you mean 'model'?\x1b[0m"


def test_a_problem_without_a_place_says_that_it_is_an_error() -> None:
    assert problems_text([Problem("no session yet")], colour=False) == "error: no session yet"


def test_problems_are_apart() -> None:
    two = problems_text([Problem("one", source="--set"), Problem("two", source="--set")], colour=False)
    assert two == "--set: one\n\n--set: two"


def test_a_config_cannot_send_escapes_to_the_terminal() -> None:
    hostile = Problem("no", source="a.toml", line=1, column=1, text="x = '\x1b]0;owned\x07'")
    assert "\x1b" not in problems_text([hostile], colour=False)
