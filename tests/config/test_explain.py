"""What is wrong with a config, as people read it. Here the whole text counts, so it is written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.errors import ConfigError, Problem
from auwgent.limits import Limits

Wrong = Callable[..., list[Problem]]
SNAPSHOTS = Path(__file__).parent / "snapshots"
AGENT = '[agent]\nmodel = "scripted/echo"\n'


def said(problems: list[Problem]) -> str:
    return "\n\n".join(map(str, problems))


@pytest.mark.parametrize("name", sorted(path.stem for path in SNAPSHOTS.glob("*.toml")))
def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(wrong: Wrong, name: str) -> None:
    problems = wrong((SNAPSHOTS / f"{name}.toml").read_text(encoding="utf-8"))
    assert said(problems) + "\n" == (SNAPSHOTS / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (
            'middleware = ["a.B"]',
            "`middleware` is a key of the file's root; in TOML it must stand above the first [table]",
        ),
        (
            "limits = { llm_calls = 3 }",
            (
                "`limits` is a key of the file's root; in TOML it must stand above the first [table], "
                "or be a table [limits] of its own"
            ),
        ),
    ],
)
@pytest.mark.parametrize(
    "table", ["agent", "limits", "models.main", "helpers.H", "mcp.x", "embedding", "imports"]
)
def test_a_root_key_below_a_table_gets_its_own_hint(wrong: Wrong, table: str, key: str, hint: str) -> None:
    start = "" if table == "agent" else AGENT
    problems = wrong(f"{start}[{table}]\n{key}\n")
    (found,) = (problem for problem in problems if problem.message.startswith("unknown key"))
    assert found.hint == hint


def test_a_root_key_below_api_keys_gets_the_hint_as_well(wrong: Wrong) -> None:
    (problem,) = wrong(AGENT + '[api_keys]\nmiddleware = ["a.B"]')
    assert problem.message == "`api_keys.middleware` should be a string, not a list"
    assert problem.hint.startswith("`middleware` is a key of the file's root")


def test_middleware_below_context_does_not_silently_become_a_value(wrong: Wrong) -> None:
    (problem,) = wrong(AGENT + '[context]\nuser = "Ada"\nmiddleware = ["a.B"]')
    assert (problem.line, problem.message) == (5, "`middleware` is in [context]")
    assert problem.hint.startswith("`middleware` is a key of the file's root")


def test_a_key_like_no_other_lists_what_there_is(wrong: Wrong) -> None:
    (problem,) = wrong(AGENT + "[limits]\nzzz = 1")
    assert problem.hint == f"known here: {', '.join(sorted(Limits.model_fields))}"


def test_a_near_name_may_differ_in_case_and_hyphens(wrong: Wrong) -> None:
    assert [problem.hint for problem in wrong(AGENT + "[apiKeys]\n[Limits]\nllm-calls = 1")] == [
        "did you mean `api_keys`?",
        "did you mean `limits`?",
    ]


def test_a_config_without_an_agent_says_so(wrong: Wrong) -> None:
    (problem,) = wrong("[limits]\nllm_calls = 3")
    assert (problem.line, problem.column, problem.message) == (1, 1, "there is no [agent] table")


def test_an_empty_file_says_so_too(wrong: Wrong) -> None:
    assert said(wrong("")) == (
        "auwgent.toml:1:1: there is no [agent] table\n"
        '   = it needs at least a model: model = "provider/model"'
    )


def test_what_lacks_a_key_is_shown_where_the_key_would_go(wrong: Wrong) -> None:
    problems = wrong("""
        [agent]
        prompt = "x"
        [[agent.examples]]
        user = "Hi"
        [agent.extra]
    """)
    assert [(problem.line, problem.message) for problem in problems] == [
        (1, "[agent] needs `model`"),
        (3, "`agent.examples[0]` needs `assistant`"),
        (5, "unknown key `extra` in [agent]"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[agent]\nmodel = true", "`agent.model` should be a string, not true"),
        ("[agent]\nmodel = 1979-05-27", "`agent.model` should be a string, not a date or time"),
        ('[agent]\nmodel = ""', "`agent.model` may not be empty"),
        ('agent = "x"', "`agent` should be a table, not a string"),
        ("models = 3\n" + AGENT, "`models` should be a table, not a whole number"),
        ("middleware = 'a.B'\n" + AGENT, "`middleware` should be a list, not a string"),
        ("middleware = ['']\n" + AGENT, "`middleware[0]` should be a dotted path"),
        ("middleware = [1979-05-27]\n" + AGENT, "`middleware[0]` should be a dotted path"),
        ("middleware = [{ path = 'x' }]\n" + AGENT, "`middleware[0]` needs `use`"),
        ("middleware = [{ use = 3 }]\n" + AGENT, "`middleware[0]` should be a dotted path"),
        (
            "middleware = [{ use = 'a.B', target = 3 }]\n" + AGENT,
            "`middleware[0].target` should be the name of an agent",
        ),
        (
            "middleware = [{ use = 'a.B', on_error = 'ignore' }]\n" + AGENT,
            "`middleware[0].on_error` should be 'raise' or",
        ),
        (
            AGENT + "tools = ['x:y', { use = 'a.b', timeout = 0 }]",
            "`agent.tools[1].timeout` should be greater than 0",
        ),
        (
            AGENT + "tools = [{ use = 'a.b', timeout = inf }]",
            "`agent.tools[0].timeout` should be a finite number",
        ),
        (
            AGENT + "tools = [{ use = 'a.b', idempotent = 1 }]",
            "`agent.tools[0].idempotent` should be true or false",
        ),
        (
            AGENT + "prompt = ['a', 3]",
            "`agent.prompt[1]` should be a string, or a table { file = … }, not a whole",
        ),
        (AGENT + "prompt = [{ file = 'a', fil = 'x' }]", "unknown key `fil` in `agent.prompt[0]`"),
        (AGENT + "prompt = 'a'\nprompt_file = 'b'", "`agent` takes `prompt` or `prompt_file`, not both"),
        (
            AGENT + "output = [3]",
            "`agent.output[0]` should be the dotted path of a Pydantic model, not a whole number",
        ),
        (AGENT + "examples = [['a', 'b']]", "`agent.examples[0]` should be a table, not a list"),
        (
            AGENT + "workflows = [{ use = 'a.b', tools = 'c.d' }]",
            "`agent.workflows[0].tools` should be a list",
        ),
        (AGENT + "[models.m]\nuse = 'a/b'\nheaders = { X = 1 }", "`models.m.headers.X` should be a string"),
        (
            AGENT + "[models.m]\nuse = 'a/b'\nvia = 'direkt'",
            "`models.m.via` should be 'litellm', 'direct' or 'auto'",
        ),
        (AGENT + "[mcp.x]", "`mcp.x` needs exactly one of `command` and `url`"),
        (
            AGENT + "[mcp.x]\ncommand = 'c'\nheaders = { A = 'b' }",
            "`mcp.x` has `headers`, which goes with `url` only",
        ),
        (
            AGENT + "[mcp.x]\nurl = 'u'\nenv = { A = 'b' }",
            "`mcp.x` has `env`, which goes with `command` only",
        ),
        (AGENT + "[limits]\nusd = -1", "`limits.usd` should be greater than 0"),
        (AGENT + "[imports]\npath = '.'", "`imports.path` should be a list, not a string"),
        (AGENT + "[profiles]\nx = 1", "`profiles.x` should be a table, not a whole number"),
        (AGENT + '[models."a b"]\nuse = "a/b"\nx = 1', 'unknown key `x` in [models."a b"]'),
    ],
)
def test_one_wrong_value_gives_one_message(wrong: Wrong, text: str, message: str) -> None:
    (problem,) = wrong(text)
    assert problem.message[: len(message)] == message


# TOML that is none


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[agent]\nmodel = openai/gpt-5\n",
            (
                "auwgent.toml:2:9: this is not a TOML value\n"
                " 2 | model = openai/gpt-5\n"
                "   |         ^\n"
                '   = strings need quotation marks: key = "value"'
            ),
        ),
        (
            '[agent]\nmodel = "a/b"\nmodel = "c/d"\n',
            'auwgent.toml:3:1: this is set twice\n 3 | model = "c/d"\n   | ^^^^^',
        ),
        (
            '[agent]\nmodel = "a/b',
            (
                'auwgent.toml:2:13: this string has no end\n 2 | model = "a/b\n   |             ^\n'
                "   = close it with the quotation mark it began with"
            ),
        ),
        (
            "[agent\n",
            "auwgent.toml:1:7: expected ']' at the end of a table declaration\n 1 | [agent\n   |       ^",
        ),
    ],
)
def test_a_syntax_error_has_its_place(wrong: Wrong, text: str, expected: str) -> None:
    assert said(wrong(text)) == expected


def test_nesting_without_end_is_refused(wrong: Wrong) -> None:
    assert said(wrong("x = " + "[" * 100_000)) == "auwgent.toml: lists and tables are nested too deeply"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("no.toml", "no.toml: there is no such file\n   = `auwgent init no.toml` writes one to start from"),
        (".", ".: cannot be read: Is a directory"),
        ("a\0b", "a\0b: cannot be read: embedded null byte"),
    ],
)
def test_a_file_that_cannot_be_read_is_no_traceback(
    source: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(source, environ={})
    assert str(caught.value) == expected


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(AGENT.encode() + "prompt = 'größer'".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml:3:1: this is not UTF-8"):
        load(path, environ={})
