"""One session, one line of the config edited between the commands: each provider goes on where the last one stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.aimock import Aimock
from tests.support.aimock import aimock as aimock
from tests.support.alone import alone as alone
from tests.support.command import Command

pytestmark = [pytest.mark.usefixtures("alone")]

TOOLS = '''
from pathlib import Path


def get_weather(city: str, days: int = 1) -> str:
    """The weather of a city."""
    with Path(__file__).with_name("asked.txt").open("a") as asked:
        print(city, file=asked)
    return f"sunny in {city}"
'''
CONFIG = """
[agent]
model = "{model}"
prompt = "You know the weather."
tools = ["weather.get_weather"]

[models.scripted]
use = "scripted/main"
[[models.scripted.params.replies]]
tool_calls = [{{ name = "get_weather", args = {{ city = "Oslo" }} }}]
[[models.scripted.params.replies]]
text = "Oslo: {{result}}."

[models.gpt]
use = "openai/gpt-4o-mini"
base_url = "{url}"
headers = {{ X-Test-Id = "{id}" }}

[models.claude]
use = "anthropic/claude-sonnet-4-5"
base_url = "{url}"
headers = {{ X-Test-Id = "{id}" }}

[api_keys]
openai = "sk-of-openai"
anthropic = "sk-of-anthropic"
"""


class Talk:
    """A session that is carried on by one command after another, each with the model that the file then names."""

    def __init__(self, folder: Path, aimock: Aimock) -> None:
        self.command, self.file, self.aimock = Command(folder, litellm=True), folder / "auwgent.toml", aimock
        self.id = folder.name
        (folder / "weather.py").write_text(TOOLS)

    def say(self, model: str, text: str) -> str:
        self.file.write_text(CONFIG.format(model=model, url=self.aimock.url, id=self.id))
        done = self.command("run", "-q", "-s", "trip", text)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    @property
    def bodies(self) -> list[Any]:
        """What the providers were sent, in the server's own form."""
        return [entry["body"] for entry in self.aimock.journal(self.id)]


@pytest.fixture
def talk(tmp_path: Path, aimock: Aimock) -> Talk:
    return Talk(tmp_path, aimock)


def calls(body: Any) -> Iterator[tuple[str, str]]:
    """Each call of a request with its result, in the form of OpenAI's chat."""
    results = {one["tool_call_id"]: one["content"] for one in body["messages"] if one["role"] == "tool"}
    for message in body["messages"]:
        for call in message.get("tool_calls") or ():
            yield json.loads(call["function"]["arguments"])["city"], results.pop(call["id"])
    assert not results


def test_a_session_is_carried_on_by_provider_after_provider(talk: Talk) -> None:
    assert talk.say("scripted", "How is Oslo?") == "Oslo: sunny in Oslo."
    assert talk.bodies == []

    assert talk.say("gpt", "And the weather in Paris?") == "It is sunny in Paris."
    asked, answered = talk.bodies
    assert [one["role"] for one in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert dict(calls(asked)) == {"Oslo": "sunny in Oslo"}
    assert dict(calls(answered)) == {"Oslo": "sunny in Oslo", "Paris": "sunny in Paris"}

    assert talk.say("claude", "Compare Paris and Rome") == "I look at both.\nRome is warmer than Paris."
    asked, answered = talk.bodies[2:]
    assert dict(calls(asked)) == {"Oslo": "sunny in Oslo", "Paris": "sunny in Paris"}
    assert list(calls(answered))[-2:] == [("Paris", "sunny in Paris"), ("Rome", "sunny in Rome")]
    assert "How is Oslo?" in json.dumps(asked)

    assert talk.say("gpt", "Say hello") == "Hello! What can I do for you today?"
    assert len(list(calls(talk.bodies[-1]))) == 4
    assert (talk.file.with_name("asked.txt")).read_text().split() == ["Oslo", "Paris", "Paris", "Rome"]
    shown = json.loads(talk.command("sessions", "show", "trip", "--json").stdout)
    answers = [turn["model"] for turn in shown["turns"] if turn["role"] == "assistant"]
    assert answers == [
        *["scripted/main"] * 2,
        *["openai/gpt-4o-mini"] * 2,
        *["anthropic/claude-sonnet-4-5"] * 2,
        "openai/gpt-4o-mini",
    ]
