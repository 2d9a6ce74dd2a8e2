"""Keys, headers and addresses as they come out of files and variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent import ConfigError, auwgent
from auwgent.config import load
from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
TABLES = """
[agent]
model = "m"

[models.m]
use = "openai/m"
api_key = "${KEY}"
base_url = "${URL}"
headers = { X-Team = "${HEADER}" }
"""
FINE = {"KEY": "sk-abc", "URL": "http://127.0.0.1:1", "HEADER": "blue"}


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t", " \n \n"])
def test_white_space_around_a_key_is_taken_off(around: str, file: Callable[[str], Path]) -> None:
    config = load(file(TABLES), environ={name: f"{around}{value}{around}" for name, value in FINE.items()})
    model = config.models["m"]
    assert model.api_key is not None
    assert model.api_key.get_secret_value() == "sk-abc"
    assert model.base_url == "http://127.0.0.1:1"
    assert model.headers["X-Team"].get_secret_value() == "blue"


@pytest.mark.parametrize(
    ("name", "key"),
    [("KEY", "models.m.api_key"), ("URL", "models.m.base_url"), ("HEADER", "models.m.headers.X-Team")],
)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\nb", "holds a line break"),
        ("a\r\n.", "holds a line break"),
        ("\ufeffabc", "holds a byte order mark"),
        ("a\x00b", "holds the character U+0000"),
        ("\u201csk-abc\u201d", "holds the character U+201C"),
    ],
)
def test_what_cannot_be_sent_is_told_at_its_place(
    name: str, key: str, value: str, words: str, file: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file(TABLES), environ=FINE | {name: value})
    (problem,) = caught.value.problems
    assert (problem.key, problem.line is not None) == (key, True)
    assert words in problem.message
    assert "abc" not in str(problem)


def test_a_header_has_the_name_of_one(wrong: Wrong) -> None:
    (problem,) = wrong(
        '[agent]\nmodel = "m"\n[models.m]\nuse = "openai/m"\nheaders = { "X Team:" = "blue" }\n'
    )
    assert "has the header 'X Team:', which is not the name of a header" in problem.message


@pytest.mark.parametrize("value", ["sk-a\nb", "\ufeffsk-a"])
async def test_a_key_of_the_environment_is_told_too(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    agent = auwgent({"middleware": [], "agent": {"model": "openai/gpt-5-mini"}})
    with pytest.raises(ConfigError, match=r"the API key of openai/gpt-5-mini holds a .*OPENAI_API_KEY"):
        await agent.run("Hi")
