"""`AUWGENT_…` variables and `--set`: how their text is read, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from auwgent.config import Config, load
from auwgent.errors import ConfigError, Problem

Wrong = Callable[..., list[Problem]]
File = Callable[[str], Path]
AGENT = '[agent]\nmodel = "scripted/echo"\n'
MORE = AGENT + '[models.main]\nuse = "openai/x"\n[helpers.Researcher]\ndescription = "d"\nmodel = "main"\n'


def test_a_key_that_is_not_utf8_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        load({"agent": {"model": "scripted/echo"}}, overrides=["a\ud800b=1"])


@pytest.fixture
def with_set(file: File) -> Callable[..., Config]:
    """The config with `--set` texts laid over it."""
    return lambda *texts: load(file(MORE), environ={}, overrides=texts)


@pytest.fixture
def with_variables(file: File) -> Callable[..., Config]:
    """The config with variables laid over it."""
    return lambda **variables: load(file(MORE), environ=variables)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("agent.model=openai/gpt-5-mini", "agent.model", "openai/gpt-5-mini"),
        ("agent.prompt=a=b, c", "agent.prompt", "a=b, c"),
        ("agent.prompt=", "agent.prompt", ""),
        ("agent.prompt=123", "agent.prompt", "123"),
        ("agent.prompt=true", "agent.prompt", "true"),
        ('agent.prompt="quoted"', "agent.prompt", "quoted"),
        ("agent.prompt=one\ntwo = 2", "agent.prompt", "one\ntwo = 2"),
        ("models.main.api_key=123", "models.main.api_key", SecretStr("123")),
        ("models.main.api_key=2024-01-01", "models.main.api_key", SecretStr("2024-01-01")),
        ("models.main.headers.X=1.5", "models.main.headers", {"X": SecretStr("1.5")}),
        ("limits.seconds=60", "limits.seconds", 60),
        ("limits.tokens=200_000", "limits.tokens", 200_000),
        ("models.main.cache=true", "models.main.cache", True),
        ("models.main.params.temperature=0.5", "models.main.params", {"temperature": 0.5}),
        ("models.main.params={top_p = 1, stop = ['a']}", "models.main.params", {"top_p": 1, "stop": ["a"]}),
        ('models.main.params={"top_p": 1, "stop": ["a"]}', "models.main.params", {"top_p": 1, "stop": ["a"]}),
        ("models.main.fallbacks=['groq/y']", "models.main.fallbacks", ("groq/y",)),
        ("context.day=monday", "context", {"day": "monday"}),
        ("context.day=3", "context", {"day": 3}),
        ('context."a.b"=3', "context", {"a.b": 3}),
        ("context.größe=3", "context", {"größe": 3}),
        ("helpers.Researcher.inherit_tools=true", "helpers.Researcher.inherit_tools", True),
        ("helpers.Researcher.inherit_tools=['a']", "helpers.Researcher.inherit_tools", ("a",)),
    ],
)
def test_a_text_becomes_what_its_key_wants(
    with_set: Callable[..., Config], text: str, key: str, value: object
) -> None:
    found: Any = with_set(text)
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_the_last_of_two_texts_wins(with_set: Callable[..., Config]) -> None:
    assert with_set("agent.name=A", "agent.name=B").agent.name == "B"


def test_a_new_table_can_be_set(with_set: Callable[..., Config]) -> None:
    config = with_set("models.new.use=openai/y", "models.new.retries=0", "agent.model=new")
    assert (config.models["new"].use, config.models["new"].retries) == ("openai/y", 0)


def test_a_list_can_be_set_as_a_whole(with_set: Callable[..., Config]) -> None:
    config = with_set('middleware=["a.B", { use = "c.D", size = 3 }]')
    assert [(entry.use, entry.options) for entry in config.middleware] == [("a.B", {}), ("c.D", {"size": 3})]


def test_a_variable_finds_its_key_whatever_the_case(with_variables: Callable[..., Config]) -> None:
    config = with_variables(
        AUWGENT_AGENT__MODEL="openai/y",
        AUWGENT_HELPERS__RESEARCHER__MODEL="groq/z",
        AUWGENT_MODELS__MAIN__BASE_URL="http://localhost",
        AUWGENT_LIMITS='{"seconds": 5}',
        AUWGENT_LIMITS__TOKENS="7",
        AUWGENT_API_KEYS__OPENAI="123",
    )
    assert (config.agent.model, config.helpers["Researcher"].model) == ("openai/y", "groq/z")
    assert config.models["main"].base_url == "http://localhost"
    assert (config.limits.seconds, config.limits.tokens) == (5, 7)
    assert config.api_keys == {"openai": SecretStr("123")}


def test_other_variables_with_the_prefix_are_no_keys(with_variables: Callable[..., Config]) -> None:
    config = with_variables(
        AUWGENT_CONFIG="x", AUWGENT_CACHE="y", AUWGENT_MODEL="z", AUWGENT_NO_UV="1", OTHER__X="1"
    )
    assert config.agent.model == "scripted/echo"


def test_values_from_outside_are_not_expanded(with_set: Callable[..., Config]) -> None:
    assert with_set("agent.prompt=${HOME}").agent.prompt == "${HOME}"


def test_a_misspelt_variable_is_named_as_the_source(wrong: Wrong) -> None:
    (problem,) = wrong(MORE, environ={"AUWGENT_AGNET__MODEL": "x"})
    assert str(problem) == "AUWGENT_AGNET__MODEL: unknown key `agnet`\n   = did you mean `agent`?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agent.modle=x", "--set agent.modle: unknown key `modle` in [agent]\n   = did you mean `model`?"),
        ("limits.tokens=many", "--set limits.tokens: `limits.tokens` should be a whole number, not a string"),
        ("limits.tokens=0", "--set limits.tokens: `limits.tokens` should be greater than 0"),
        (
            "agent.model=mian",
            "--set agent.model: `agent.model`: there is no model 'mian'\n   = did you mean `main`?",
        ),
        ("agent", "--set agent: should be KEY=VALUE, as in agent.model=openai/gpt-5"),
        ("=x", "--set : should be KEY=VALUE, as in agent.model=openai/gpt-5"),
        ("a..b=x", "--set a..b: should be KEY=VALUE, as in agent.model=openai/gpt-5"),
        ("profiles.p.agent.name=x", "--set profiles.p.agent.name: profiles can be changed in the file only"),
        (
            "middleware.0.use=x",
            (
                "--set middleware.0.use: cannot set `middleware.0.use`: `middleware` is not a table\n"
                """   = a list is replaced as a whole, as in KEY='["one", "two"]'"""
            ),
        ),
    ],
)
def test_a_wrong_text_is_told_with_its_source(wrong: Wrong, text: str, expected: str) -> None:
    assert [str(problem) for problem in wrong(MORE, overrides=[text])] == [expected]


def test_a_key_cannot_stand_below_a_value(wrong: Wrong) -> None:
    (problem,) = wrong(MORE, overrides=["context.a=1", "context.a.b=2"])
    assert problem.message == "cannot set `context.a.b`: `context.a` is not a table"


def test_a_secret_that_does_not_fit_is_not_shown(wrong: Wrong) -> None:
    problems = wrong(
        MORE,
        overrides=["models.main.timeout=a-very-secret-key"],
        environ={"AUWGENT_API_KEYS": "a-very-secret-key"},
    )
    assert "a-very-secret-key" not in "\n".join(map(str, problems))
    assert [problem.source for problem in problems] == ["AUWGENT_API_KEYS", "--set models.main.timeout"]


def test_a_stray_key_is_told_wherever_it_stands(wrong: Wrong) -> None:
    problems = wrong(MORE + "[agnet]\nx = 1", environ={"AUWGENT_AGNET__MODEL": "x"})
    assert [problem.source for problem in problems] == ["auwgent.toml", "AUWGENT_AGNET__MODEL"]
