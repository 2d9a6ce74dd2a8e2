"""Whatever a config holds, `load` gives a `Config` or a `ConfigError`, and soon."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auwgent.config import (
    AgentConfig,
    Config,
    HelperConfig,
    Imports,
    IntentConfig,
    Limits,
    McpConfig,
    MiddlewareEntry,
    ModelConfig,
    ToolEntry,
    load,
)
from auwgent.config.show import show
from auwgent.errors import ConfigError, Problem

QUICK = settings(
    deadline=timedelta(seconds=2),
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)

TABLES_OF_CONFIG = (
    Config,
    AgentConfig,
    HelperConfig,
    MiddlewareEntry,
    ToolEntry,
    ModelConfig,
    McpConfig,
    IntentConfig,
    Limits,
    Imports,
)
WORDS = sorted(
    {name for table in TABLES_OF_CONFIG for name in table.model_fields} | {"main", "modle", "apiKeys"}
)
NAMES = st.one_of(st.sampled_from(WORDS), st.text(max_size=4))
TEXTS = st.one_of(
    st.sampled_from(
        ["main", "openai/x", "mcp:x", "a.B", "a:b", "${X}", "${X:-y}", "$", "${", "$$", "", "ask", "return"]
    ),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    TEXTS,
    st.integers(),
    st.booleans(),
    st.floats(),
    st.dates(),
    st.just(date.min),
    st.integers(-(2**70), 2**70),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=5)
# Half of them near enough to a config to come past the first checks.
TREES = st.one_of(
    TABLES,
    st.builds(lambda tree, agent: {**tree, "agent": {"model": "main", **agent}}, TABLES, TABLES),
    st.builds(
        lambda tables: {
            "agent": {"model": "a/b"},
            **{name: {"main": table} for name, table in tables.items()},
        },
        st.dictionaries(st.sampled_from(["models", "helpers", "mcp", "intents", "profiles"]), TABLES),
    ),
)
KEYS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(alphabet="ab.\"'=é \n", max_size=3)), max_size=4)


def outcome(source: Any, **options: Any) -> tuple[Problem, ...]:
    """What is wrong with it, which may be nothing; then it can be shown. Anything but `ConfigError` comes out."""
    try:
        config = load(source, **{"environ": {}, **options})
    except ConfigError as error:
        return error.problems or (Problem("a ConfigError that says nothing"),)
    show(config, origin=True)
    return ()


@QUICK
@given(TREES)
def test_any_dict(tree: dict[str, Any]) -> None:
    assert all(problem.source == "dict" and problem.message for problem in outcome(tree))


@QUICK
@given(TREES)
def test_any_tree_in_a_file_has_every_problem_placed(tree: dict[str, Any]) -> None:
    with suppress(UnicodeEncodeError), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.toml"
        path.write_bytes(tomli_w.dumps(tree).encode())
        assert all(problem.line and problem.column and str(problem) for problem in outcome(path))


MARKS = "[]{}=\"'#\n\r\t.,a1_-\\é\x00"


@QUICK
@given(st.one_of(st.binary(max_size=60), st.text(alphabet=MARKS, max_size=60).map(str.encode)))
def test_any_bytes_in_a_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.toml"
        path.write_bytes(data)
        problems = outcome(path)
        assert problems
        assert all(problem.source == str(path) and str(problem) for problem in problems)


@QUICK
@given(
    st.lists(
        st.one_of(st.text(max_size=20), st.builds("{}={}".format, KEYS.map(".".join), TEXTS)), max_size=3
    )
)
def test_any_set_texts(texts: list[str]) -> None:
    source = {"agent": {"model": "a/b", "tools": ["x"]}, "models": {"main": {"use": "a/b"}}}
    assert all(problem.source.startswith(("--set", "dict")) for problem in outcome(source, overrides=texts))


@QUICK
@given(st.dictionaries(KEYS.map(lambda parts: "AUWGENT_" + "__".join(parts).upper()), TEXTS, max_size=3))
def test_any_variables(environ: dict[str, str]) -> None:
    source = {"agent": {"model": "a/b"}, "models": {"main": {"use": "a/b"}}}
    assert all(problem.source in (*environ, "dict") for problem in outcome(source, environ=environ))


@QUICK
@given(TEXTS)
def test_any_profile_name(name: str) -> None:
    problems = outcome({"agent": {"model": "a/b"}, "profiles": {"main": {}}}, profile=name)
    expected = [] if name == "main" else [f"there is no profile {name!r}"]
    assert [problem.message for problem in problems] == expected
