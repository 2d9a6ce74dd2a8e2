"""`auwgent memory`: what is remembered can be seen and deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Command

CONFIG = """
middleware = ["auwgent.middleware.Remember"]

[agent]
model = "main"
tools = ["auwgent.middleware.remember.remember"]

[models.main]
use = "scripted/main"
params.replies = [
  { result = true, text = "Noted." },
  { tool_calls = [
    { name = "remember", args = { fact = "Likes tea" } },
    { name = "remember", args = { fact = "Is Ada" } },
  ] },
]
"""


@pytest.fixture
def noted(auwgent: Command) -> Command:
    """Ada was here."""
    (auwgent.folder / "auwgent.toml").write_text(CONFIG)
    assert auwgent("run", "-u", "ada", "I am Ada and like tea").returncode == 0
    return auwgent


def facts(auwgent: Command, user: str = "ada") -> dict[int, str]:
    listed = json.loads(auwgent("memory", "list", "-u", user, "--json").stdout)
    return {fact["number"]: fact["text"] for fact in listed}


def test_facts_are_listed_with_their_numbers(noted: Command) -> None:
    lines = noted("memory", "list", "-u", "ada").stdout.splitlines()
    assert sorted(line.split("  ")[2] for line in lines) == ["Is Ada", "Likes tea"]
    assert sorted(facts(noted).values()) == ["Is Ada", "Likes tea"]
    assert facts(noted, "eve") == {}


def test_facts_are_deleted_by_number_or_all(noted: Command) -> None:
    first, second = facts(noted)
    assert noted("memory", "delete", "-u", "ada", str(first)).stderr == "deleted 1 fact\n"
    assert list(facts(noted)) == [second]
    assert noted("memory", "delete", "-u", "ada", "--all").returncode == 0
    assert facts(noted) == {}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-u", "ada"], 2, "or give --all"),
        (["-u", "ada", "--all", "1"], 2, "or give --all"),
        (["-u", "eve", "1"], 2, "there is no fact number 1 of user 'eve'"),
    ],
)
def test_what_cannot_be_deleted(noted: Command, args: list[str], code: int, words: str) -> None:
    done = noted("memory", "delete", *args)
    assert done.returncode == code
    assert words in done.stderr
    assert len(facts(noted)) == 2


def test_without_the_middleware_it_says_so(auwgent: Command, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    done = auwgent("memory", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not list auwgent.middleware.Remember" in done.stderr
