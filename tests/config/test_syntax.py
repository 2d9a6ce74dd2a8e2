"""A text that is not TOML: the words, and the place they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
CANARY = "c4n4ry-word"


@pytest.mark.parametrize(
    ("text", "meant", "message"),
    [
        ('[agent]\nmodel = "a\nname = "b"\n', (2, 11, ""), "this string has no end"),
        ('[agent]\nmodel = \'a\nname = "b"\n', (2, 9, "'"), "this string has no end"),
        ('[agent]\nprompt = """\na\nb\n', (2, 10, '"""'), "this string has no end"),
        ("[agent]\nprompt = '''\na\nb\n", (2, 10, "'''"), "this string has no end"),
        ('[agent]\nprompt = """a"""\nmodel = "b', (3, 11, ""), "this string has no end"),
        ('[agent]\nname = "a"\nname = "b"\n', (3, 1, "name"), "this is set twice"),
        ('[agent]\nname = "a"\nname = [\n "b",\n]\n', (3, 1, "name"), "this is set twice"),
        ('[agent]\nname = "a"\n  name = "b"  # again\n', (3, 3, "name"), "this is set twice"),
        ('[agent]\r\nname = "a"\r\nname = "b"\r\n', (3, 1, "name"), "this is set twice"),
        ('[agent]\nname = "größe"\nname = "größe"\n', (3, 1, "name"), "this is set twice"),
        ("x = { a = 1, a = 2 }\n", (1, 14, "a"), "this is set twice"),
        ("[agent]\n[limits]\n[agent]\n", (3, 2, "agent"), "this is set twice"),
        ("[a.b]\n[a.b]\n", (2, 2, "a.b"), "this is set twice"),
        ("[agent]\nmodel = 1\n[agent.model]\n", (3, 2, "agent.model"), "this is set twice"),
        ('[agent]\nname = "a\\qb"\n', (2, 10, "\\q"), "unknown escape sequence"),
        ('[agent]\nname = "C:\\Users\\x"\n', (2, 11, "\\U"), "unknown escape sequence"),
        ('[agent]\nname = "\\u12"\n', (2, 9, "\\u"), "unknown escape sequence"),
        ("[agent]\n\tname\t= a\n", (2, 9, "a"), "this is not a TOML value"),
        ("[agent]\nname =\n", (2, 7, ""), "something is missing here: a value, or the end of a list"),
        ('tools = [\n "a",\n\n', (2, 6, ""), "something is missing here: a value, or the end of a list"),
        ('tools = ["a" "b"]\n', (1, 14, '"'), "a comma or a ] is missing here"),
        ('[agent]\nname = "日本" b\n', (2, 13, "b"), "the line should end here"),
        ("[agent]\nname: 1\n", (2, 5, ":"), "a = is missing here"),
        ("x = []\n[[x]]\n", (2, 4, ""), "a table in { … } or a list in [ … ] cannot be added to"),
        ("\ufeff[agent]\nname = a\n", (2, 8, "a"), "this is not a TOML value"),
    ],
)
def test_a_mistake_is_told_where_it_was_made(
    wrong: Wrong, text: str, meant: tuple[int, int, str], message: str
) -> None:
    [problem] = wrong(text)
    assert problem.message == message
    assert problem.text == text.lstrip("\ufeff").replace("\r", "").split("\n")[(problem.line or 0) - 1]
    line, column, under = meant
    assert (problem.line, problem.column) == (line, column)
    assert problem.text[column - 1 :].startswith(under)
    assert problem.length == max(1, len(under))


@pytest.mark.parametrize(
    "text",
    [
        f'middleware = [{{ use = "a.B", password = "{CANARY} }}]\n',
        f'middleware = [{{ use = "a.B", headers = {{ X = "{CANARY} }} }}]\n',
        f'[mcp.x]\nargs = ["--token", "{CANARY}]\n',
        f'[mcp.x]\nargs = [\n  "--token",\n  "{CANARY},\n]\n',
        f'[mcp.x]\nargs = ["--api-key={CANARY}]\n',
        f'[models.m]\napi_key = """\n{CANARY} \\q"""\n',
        f'[models.m.headers]\nX = [\n  "a",\n  {CANARY} ]\n',
        f'models.m.api_key = "{CANARY}\n',
    ],
)
def test_what_may_be_secret_is_hidden_in_a_line_that_does_not_parse(wrong: Wrong, text: str) -> None:
    [problem] = wrong(text)
    assert CANARY not in str(problem)
    assert "*****" in str(problem)


def test_a_text_that_is_no_toml_shows_no_secret_either(wrong: Wrong) -> None:
    for text in (
        f'[api_keys]\nopenai = "{CANARY}\n',
        f"[api_keys] # all of them\n\nopenai = {CANARY}\n",
        f"[models.main]\napi_key = {CANARY}\n",
        f"[models.main.headers]\nX = '{CANARY}\n",
        f"api_keys = {{ openai = {CANARY} }}\n",
        f"[mcp.x.env]\n{CANARY}\n",
        f"url = https://user:{CANARY}@host\n",
    ):
        assert CANARY not in "\n".join(map(str, wrong(text)))
