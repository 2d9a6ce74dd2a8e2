"""`${NAME}` in a config: what it becomes, and when a missing one is a problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.config.variables import Unset, expand
from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
File = Callable[[str], Path]
AGENT = '[agent]\nmodel = "scripted/echo"\n'


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "1"),
        ("x${A}y${B:-z}", "x1yz"),
        ("${A:-z}", "1"),
        ("${EMPTY:-z}", "z"),
        ("${EMPTY:-}", ""),
        ("${NO:-a b:-c}", "a b:-c"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$", "$"),
        ("$A costs $5", "$A costs $5"),
        ("${{ ctx.price }}", "${{ ctx.price }}"),
        ("${NO}", Unset(("NO",))),
        ("${EMPTY}", Unset(("EMPTY",))),
        ("${NO} ${A} ${NEVER} ${NO}", Unset(("NO", "NEVER"))),
        ("${A B}", Unset(("",))),
        ("${A", Unset(("",))),
        ("${NO:-${A}}", Unset(("",))),
    ],
)
def test_a_string_is_filled_in(text: str, expanded: object) -> None:
    assert expand(text, {"A": "1", "EMPTY": ""}) == expanded


def test_a_value_is_not_expanded_again() -> None:
    assert expand("${A}", {"A": "${B}", "B": "no"}) == "${B}"


def test_strings_are_filled_in_at_every_depth_and_nothing_else_is_touched() -> None:
    thing = object()
    tree = {"a": ["${A}", {"${A}": "${A}"}], "n": 1, "o": thing}
    assert expand(tree, {"A": "1"}) == {"a": ["1", {"${A}": "1"}], "n": 1, "o": thing}


def test_every_missing_variable_is_named_with_its_key_and_place(wrong: Wrong) -> None:
    problems = wrong("""
        middleware = [{ use = "a.B", url = "${DB_URL}" }]
        [agent]
        model = "main"
        prompt = ["${ONE} and ${TWO}"]
        [api_keys]
        openai = "${OPENAI_API_KEY}"
        [models.main]
        use = "openai/gpt-5-mini"
        headers = { X = "${X}" }
    """)
    assert [(problem.line, problem.key, problem.message.partition(" needs ")[2]) for problem in problems] == [
        (1, "middleware[0].url", "the environment variable DB_URL"),
        (4, "agent.prompt[0]", "the environment variables ONE, TWO"),
        (6, "api_keys.openai", "the environment variable OPENAI_API_KEY"),
        (9, "models.main.headers.X", "the environment variable X"),
    ]
    assert problems[0].hint == "set it, or give a default: ${DB_URL:-…}"


def test_a_dollar_and_brace_that_is_no_variable_is_a_problem(wrong: Wrong) -> None:
    (problem,) = wrong(AGENT + 'prompt = "use ${array[@]} here"')
    assert problem.message == "`agent.prompt` holds a `${` that does not begin a variable"
    assert problem.hint == "write ${NAME} or ${NAME:-default}, and $$ for a plain dollar sign"


def test_a_missing_variable_of_a_required_key_is_told_once(wrong: Wrong) -> None:
    problems = wrong("""
        [agent]
        model = "${MODEL}"
        tools = ["mcp:time"]
        [mcp.time]
        command = "${COMMAND}"
    """)
    assert [problem.key for problem in problems] == ["agent.model", "mcp.time.command"]


def test_what_is_not_in_use_needs_no_variables(file: File) -> None:
    config = load(
        file("""
        [agent]
        model = "main"
        [api_keys]
        openai = "${OPENAI_API_KEY}"
        anthropic = "${ANTHROPIC_API_KEY}"
        groq = "${GROQ_API_KEY}"
        [models.main]
        use = "anthropic/claude-sonnet-4-5"
        api_key = "own"
        [models.idle]
        use = "openai/gpt-5-mini"
        api_key = "${IDLE_KEY}"
        headers = { X = "${X}", Y = "y" }
        [models.unnamed]
        use = "${NO_MODEL}"
        [helpers.Idle]
        description = "${WORDS}"
        model = "idle"
        helpers = ["Other"]
        [helpers.Other]
        description = "d"
        model = "${OTHER}"
        [mcp.idle]
        command = "x"
        args = ["a", "${ARG}"]
        env = { TOKEN = "${TOKEN}" }
        [profiles.later]
        agent.model = "${LATER}"
        """),
        environ={"OPENAI_API_KEY": "o"},
    )
    assert list(config.api_keys) == ["openai"]
    assert config.models["idle"].api_key is None
    assert list(config.models["idle"].headers) == ["Y"]
    assert list(config.models) == ["main", "idle"]
    assert config.helpers == {}
    assert (config.mcp["idle"].args, config.mcp["idle"].env) == ((), {})


@pytest.mark.parametrize(
    "use",
    [
        'model = "openai/x"',
        'model = "scripted/echo"\n[embedding]\nmodel = "openai/x"',
        'model = "m"\n[models.m]\nuse = "groq/x"\nfallbacks = ["openai/y"]',
        'model = "m"\n[models.m]\nuse = "openai/x"',
        'model = "scripted/echo"\nhelpers = ["H"]\n[helpers.H]\ndescription = "d"\nmodel = "openai/x"',
    ],
)
def test_a_key_is_needed_wherever_its_provider_is_used(wrong: Wrong, use: str) -> None:
    (problem,) = wrong(f'[api_keys]\nopenai = "${{OPENAI_API_KEY}}"\n[agent]\n{use}')
    assert problem.key == "api_keys.openai"


def test_a_variable_that_another_layer_makes_needless_may_be_missing(file: File) -> None:
    path = file('[agent]\nmodel = "${MODEL}"\n[profiles.p]\nagent.model = "scripted/profile"')
    assert load(path, environ={}, overrides=["agent.model=scripted/set"]).agent.model == "scripted/set"
    assert load(path, environ={}, profile="p").agent.model == "scripted/profile"


def test_a_profile_that_is_selected_needs_its_variables(wrong: Wrong) -> None:
    (problem,) = wrong(AGENT + '[profiles.p]\nagent.prompt = "${WORDS}"', profile="p")
    assert (problem.line, problem.message) == (4, "`agent.prompt` needs the environment variable WORDS")
