"""Errors, and how a problem of a config is shown."""

import pytest

import auwgent
from auwgent import errors
from auwgent.errors import AuwgentError, ConfigError, LimitExceeded, MiddlewareError, Problem, ProviderError

PUBLIC = [
    "ConfigError",
    "LimitExceeded",
    "MiddlewareError",
    "ProviderError",
    "SessionConflict",
    "SessionNotFound",
    "ToolError",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_error_is_an_auwgent_error(name: str) -> None:
    assert issubclass(getattr(auwgent, name), AuwgentError)
    assert getattr(auwgent, name) is getattr(errors, name)


def test_the_tree_at_the_top_of_the_module_names_every_error() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, AuwgentError)
    }
    assert errors.__doc__ is not None
    assert {name for name in defined if name not in errors.__doc__} == set()


def test_a_problem_without_a_place_is_its_message() -> None:
    assert str(Problem("no such thing")) == "no such thing"


def test_a_problem_in_a_file_shows_the_place_the_line_and_a_caret() -> None:
    problem = Problem(
        "unknown key 'modle'",
        source="auwgent.toml",
        line=12,
        column=1,
        length=5,
        text='modle = "x"',
        hint="did you mean 'model'?",
    )
    assert str(problem).splitlines() == [
        "auwgent.toml:12:1: unknown key 'modle'",
        ' 12 | modle = "x"',
        "    | ^^^^^",
        "   = did you mean 'model'?",
    ]


def test_the_caret_stands_under_its_character_behind_tabs() -> None:
    problem = Problem("wrong", source="a.toml", line=1, column=4, text="\t\tx = 1")
    line, caret = str(problem).splitlines()[1:]
    assert line == " 1 | \t\tx = 1"
    assert caret == "   | \t\t ^"


def test_the_caret_stands_under_its_character_behind_wide_ones() -> None:
    problem = Problem("wrong", source="a.toml", line=1, column=6, length=2, text="x日e\u0301=本y")
    assert str(problem).splitlines()[2] == "   |      ^^^"


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    text = "a" * 500 + "HERE" + "b" * 500
    for at, shown in ((501, "a" * 53 + "HERE"), (1, "a" * 160), (1004, "b" * 160)):
        _, line, caret = str(
            Problem("wrong", source="a", line=1, column=at, length=4, text=text)
        ).splitlines()
        assert len(line) <= 160 + len(" 1 | ……")
        assert shown in line
        assert caret.endswith("^")
        assert line[caret.index("^")] == text[at - 1]


def test_a_problem_outside_of_a_file_names_its_source_alone() -> None:
    assert str(Problem("not a number", source="--set")) == "--set: not a number"
    assert str(Problem("not a number", source="--set", text="limits.usd=x")) == "--set: not a number"


def test_a_config_error_shows_all_its_problems() -> None:
    error = ConfigError([Problem("one"), Problem("two", hint="three")])
    assert str(error) == "one\n\ntwo\n   = three"
    assert [problem.message for problem in error.problems] == ["one", "two"]


def test_a_config_error_may_be_one_sentence() -> None:
    assert ConfigError("it is wrong").problems == (Problem("it is wrong"),)


def test_errors_say_what_a_program_wants_to_know() -> None:
    hook = MiddlewareError("no", middleware="Audit", hook="onIntent")
    assert (hook.middleware, hook.hook) == ("Audit", "onIntent")
    call = ProviderError(
        "no", provider="openai", model="openai/x", fault="rate_limit", status=429, retryable=True
    )
    assert (call.provider, call.model, call.status, call.retryable) == ("openai", "openai/x", 429, True)
    assert LimitExceeded("no", key="limits.usd").key == "limits.usd"


def test_an_error_has_no_session_until_a_run_gives_it_one() -> None:
    assert AuwgentError("no").session is None
