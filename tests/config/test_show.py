"""The effective config as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.config.show import show

File = Callable[[str], Path]
CANARY = "c4n4ry-0123456789"

FULL = f"""
middleware = ["a.B", {{ use = "c.D", url = "postgresql://u:{CANARY}@db/x", password = "{CANARY}", on_error = "warn" }}]

[agent]
model = "main"
prompt = '''
Two
lines with "quotes".'''
tools = ["a.b", {{ use = "c.d", approve = "ask" }}]
helpers = ["Researcher"]
workflows = [{{ use = "e.f", tools = ["g.h", "mcp:time"] }}]
examples = [{{ user = "Hi", assistant = "Hello!" }}]

[api_keys]
openai = "${{OPENAI_API_KEY}}"

[models.main]
use = "openai/gpt-5-mini"
api_key = "{CANARY}"
base_url = "https://u:{CANARY}@llm.example"
headers = {{ X = "{CANARY}" }}

[helpers.Researcher]
description = "Finds"
model = "main"
prompt_file = "r.md"

[mcp.time]
command = "uvx"
args = ["--key=sk-{CANARY}", "--token", "{CANARY}", "--api-key={CANARY}", "--port", "80"]
env = {{ TZ = "{CANARY}" }}

[mcp.web]
url = "https://web.example"
headers = {{ A = "{CANARY}" }}

[context]
token = "{CANARY}"
day = 2024-02-29
"""
ENVIRON = {"OPENAI_API_KEY": CANARY}


def test_no_secret_is_in_it(file: File) -> None:
    config = load(file(FULL), environ=ENVIRON)
    for text in (show(config), show(config, origin=True), repr(config), str(config)):
        assert CANARY not in text or text in (repr(config), str(config))
    assert show(config).count("***") >= 6


def test_of_a_programs_arguments_the_harmless_ones_are_shown(file: File) -> None:
    shown = tomllib.loads(show(load(file(FULL), environ=ENVIRON)))
    hidden = "*" * len(CANARY)
    assert shown["mcp"]["time"]["args"][1:] == ["--token", "***", f"--api-key={hidden}", "--port", "80"]


def test_a_secret_may_be_a_number(file: File) -> None:
    entry = 'middleware = [{ use = "a.B", password = 12345678, secret_rotation = true }]\n'
    text = show(load(file(entry + "[agent]\nmodel = 'a/b'\n"), environ={}))
    assert "12345678" not in text
    assert tomllib.loads(text)["middleware"][0]["secret_rotation"] is True


def test_it_is_a_config_that_says_the_same(file: File) -> None:
    config = load(file(FULL), environ=ENVIRON)
    again = load(file(show(config)), environ={})
    assert show(again) == show(config)
    assert (again.agent, again.helpers, again.limits, again.imports) == (
        config.agent,
        config.helpers,
        config.limits,
        config.imports,
    )


@pytest.mark.parametrize("origin", [False, True])
def test_it_is_toml_with_and_without_origins(file: File, origin: bool) -> None:
    config = load(file(FULL), environ=ENVIRON)
    assert tomllib.loads(show(config, origin=origin)) == tomllib.loads(show(config))


def test_behind_each_key_stands_what_set_it(file: File) -> None:
    path = file("""
    [agent]
    model = "scripted/file"
    prompt = '''
    a
    b'''
    tools = ["a.b"]
    [profiles.p]
    context.x = 1
    """)
    config = load(path, profile="p", overrides=["limits.tokens=5"], environ={"AUWGENT_AGENT__NAME": "Env"})
    lines = show(config, origin=True).splitlines()
    assert 'model = "scripted/file"  # auwgent.toml:2' in lines
    assert 'prompt = "a\\nb"  # auwgent.toml:3' in lines
    assert 'name = "Env"  # AUWGENT_AGENT__NAME' in lines
    assert "tokens = 5  # --set limits.tokens" in lines
    assert "x = 1  # auwgent.toml:8 (profile p)" in lines
    assert "llm_calls = 25  # default" in lines
    assert lines[lines.index('    "a.b",') + 1] == "]  # auwgent.toml:6"
    assert "profiles" not in show(config)


class Audit:
    """Stands for a user's middleware."""


def test_objects_of_a_dict_are_shown_by_name() -> None:
    config = load({"middleware": [Audit, {"use": Audit(), "x": None}], "agent": {"model": "a/b"}}, environ={})
    assert tomllib.loads(show(config))["middleware"] == [f"{__name__}.Audit", f"{__name__}.Audit"]
