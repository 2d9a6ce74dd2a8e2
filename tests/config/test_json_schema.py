"""The published JSON Schema agrees with what `load` takes and refuses."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from auwgent.config.json_schema import schema
from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
ROOT = Path(__file__).parents[2]
AGENT = '[agent]\nmodel = "scripted/echo"\n'
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_has_a_description() -> None:
    tables = schema()["$defs"]
    for name, node in properties(schema(), ""):
        table = tables[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else {}
        assert node.get("description") or table["description"], name


def properties(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All properties in a schema, by where they stand."""
    if isinstance(node, list):
        for item in node:
            yield from properties(item, path)
    elif isinstance(node, dict):
        for name, child in node.get("properties", {}).items():
            yield f"{path}/{name}", child
        for name, child in node.items():
            yield from properties(child, f"{path}/{name}")


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.toml")), ids=lambda path: path.name)
def test_the_configs_of_the_project_match_it(file: Path) -> None:
    VALIDATOR.validate(tomllib.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        'middleware = ["a.B", { use = "c.D", target = ["Main"], on_error = "warn", any = { thing = 1 } }]\n'
        + AGENT,
        AGENT
        + 'prompt = ["a", { file = "b" }]\ntools = ["a.b", { use = "c.d", approve = "ask", timeout = 3 }]',
        AGENT + 'output = { type = "object", properties = { a = { type = "string" } } }',
        AGENT + 'output = ["a.B", "c.D"]\nworkflows = ["a.b", { use = "c.d", tools = ["e.f"] }]',
        AGENT
        + '[models.m]\nuse = "a/b"\ntimeout = 1\nprice = { input = 1, output = 2.5 }\nparams = { a = { b = 1 } }',
        AGENT + '[helpers.H]\ndescription = "d"\nmodel = "a/b"\ninherit_tools = ["x"]',
        AGENT
        + '[profiles.p]\nagent.prompt = "x"\nhelpers.H.model = "a/b"\nlimits.tokens = 3\nmiddleware = []',
    ],
)
def test_what_load_takes_it_takes(text: str) -> None:
    VALIDATOR.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" + AGENT,
        "[agent]",
        "[agent]\nmodel = 3",
        AGENT + "tools = [3]",
        AGENT + 'tools = [{ approve = "ask" }]',
        AGENT + 'tools = [{ use = "a.b", aprove = "ask" }]',
        AGENT + "prompt = 3",
        AGENT + "[limits]\nllm_calls = 0",
        AGENT + "[limits]\nseconds = '3'",
        AGENT + "[models.m]\ntimeout = 3",
        AGENT + "[models.m]\nuse = 'a/b'\nvia = 'x'",
        AGENT + "[helpers.H]\nmodel = 'a/b'",
        AGENT + "[api_keys]\nopenai = 3",
        AGENT + "[profiles.p]\nagent.promt = 'x'",
        AGENT + "[profiles.p]\nagent.tools = [{ approve = 'ask' }]",
        AGENT + "[profiles.p.profiles.q]",
    ],
)
def test_what_load_refuses_it_refuses(wrong: Wrong, text: str) -> None:
    assert wrong(text)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(tomllib.loads(text))


def test_the_page_about_the_config_names_every_key() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    names = {name.rpartition("/")[2] for name, _ in properties(schema(), "")}
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()
