"""A source line that an error shows: nothing that is secret is in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
CANARY = "c4n4ry-word"


@pytest.mark.process
@pytest.mark.parametrize(
    "line",
    [
        f'{{ use = "auwgent.middleware.Trace", headers = {{ a = "{CANARY}" }}, on_error = "x" }}',
        f'{{ use = "auwgent.middleware.Trace", endpoint = "http://u:{CANARY}@host", on_error = "x" }}',
        f'{{ use = "a.B", api_key = "{CANARY}", nested = {{ auth = "{CANARY}" }}, on_error = "x" }}',
        f'{{ use = "a.B", headers = ["Authorization: Bearer {CANARY}"], on_error = "x" }}',
        f'{{ use = "a.B", args = ["--token", "{CANARY}", "--key=sk-{CANARY}-1234"], on_error = "x" }}',
    ],
)
def test_a_middleware_with_a_mistake_is_shown_without_its_secrets(wrong: Wrong, line: str) -> None:
    [problem] = wrong(f"middleware = [{line}]\n[agent]\nmodel = 'scripted/echo'\n")
    assert problem.message.startswith("`middleware[0].on_error`")
    assert CANARY not in str(problem)
    assert "*****" in problem.text
    assert problem.text.endswith('on_error = "x" }]')


def test_arguments_of_a_program_that_stand_below_one_another(wrong: Wrong) -> None:
    args = f'args = [\n  "--token",\n  "{CANARY}", 3,\n]\n'
    [problem] = wrong(f"[agent]\nmodel = 'scripted/echo'\n[mcp.x]\ncommand = 'c'\n{args}")
    assert (problem.line, problem.column) == (7, 18)
    assert problem.text == '  "***********", 3,'
