"""Redact with Presidio: what an analyzer finds becomes a placeholder, beside what patterns find."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from auwgent import ConfigError, auwgent
from auwgent.errors import MiddlewareError
from auwgent.middleware import Redact
from tests.support.bench import bench, calls


class Analyzer:
    """Answers as Presidio's does: begin, end, kind and score of each find."""

    def __init__(self, **scores: float) -> None:
        self.asked: list[str] = []
        self.scores = {"Ada": 0.85, "Ada Lovelace": 0.85, "London": 0.85, **scores}

    def analyze(self, *, text: str, language: str, entities: Sequence[str]) -> list[Any]:
        assert language == "en"
        self.asked.append(text)
        kinds = {"London": "LOCATION"}
        return [
            SimpleNamespace(start=found.start(), end=found.end(), entity_type=kind, score=score)
            for words, score in self.scores.items()
            if (kind := kinds.get(words, "PERSON")) in entities
            for found in re.finditer(re.escape(words), text)
        ]


async def test_names_and_places_are_redacted_as_all_else_is() -> None:
    agent = bench(["Hello Ada Lovelace of London!"], middleware=[Redact(presidio={"analyzer": Analyzer()})])
    session = await agent.ask("I am Ada Lovelace, ada@example.com, from London", stream=True)
    asked = "I am [PERSON_1], [EMAIL_1], from [LOCATION_1]"
    assert agent.requests()[0].turns[-1].text == asked
    assert [turn.text for turn in session.turns] == [asked, "Hello [PERSON_1] of [LOCATION_1]!"]
    assert "".join(piece.value["delta"] for piece in agent.partials) == "Hello [PERSON_1] of [LOCATION_1]!"


async def test_arguments_too_and_a_tool_of_restore_gets_them() -> None:
    written: list[str] = []

    def send(to: str, note: str) -> str:
        """Send a note."""
        written.append(f"{to}: {note}")
        return "Sent to Ada Lovelace"

    analyzer = Analyzer()
    redact = Redact(restore=["send"], presidio={"analyzer": analyzer})
    script = [calls("send", ("send", {"to": "[PERSON_1]", "note": "Meet Ada Lovelace"})), "Done."]
    agent = bench(script, middleware=[redact], tools=[send])
    session = await agent.ask("I am Ada Lovelace", stream=True)
    assert written == ["Ada Lovelace: Meet Ada Lovelace"]
    assert "Ada" not in json.dumps(session.model_dump(mode="json"))
    assert len(analyzer.asked) == len(set(analyzer.asked))  # each text once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada ada@example.com", "[PERSON_1] [EMAIL_1]"),  # a find over more than a name
        ("See [EMAIL_1] of Ada", "See [EMAIL_1] of [PERSON_1]"),
        ("Rob and Ada", "Rob and [PERSON_1]"),  # below the score
    ],
)
async def test_patterns_and_placeholders_come_first(text: str, shown: str) -> None:
    analyzer = Analyzer(Rob=0.3, **{"Ada ada@exa": 0.9, "EMAIL_1": 0.9})
    agent = bench(["ok"], middleware=[Redact(presidio={"analyzer": lambda: analyzer})])
    await agent.ask(text)
    assert agent.requests()[0].turns[-1].text == shown


async def test_data_that_is_streamed_shows_no_part_of_a_name() -> None:
    text = json.dumps({"who": "Ada Lovelace", "at": ["London", 1]})
    agent = bench([text], output={"type": "object"}, middleware=[Redact(presidio={"analyzer": Analyzer()})])
    agent.model().script = agent.model().script.model_copy(update={"chunk": 3})
    session = await agent.ask("Who?", stream=True)
    assert json.loads(session.text) == {"who": "[PERSON_1]", "at": ["[LOCATION_1]", 1]}
    assert "Ada" not in json.dumps([piece.as_json() for piece in agent.partials])
    assert "Lon" not in json.dumps([piece.as_json() for piece in agent.partials])


async def test_an_analyzer_that_fails_lets_nothing_pass() -> None:
    class Broken:
        def analyze(self, **_: Any) -> Any:
            raise OSError("no model")

    agent = bench(["ok"], middleware=[Redact(presidio={"analyzer": Broken()})])
    with pytest.raises(MiddlewareError, match="no model"):
        await agent.ask("I am Ada")
    assert agent.requests() == []


async def test_what_to_keep_stays() -> None:
    analyzer = Analyzer()
    agent = bench(["ok"], middleware=[Redact(keep=["London"], presidio={"analyzer": analyzer})])
    await agent.ask("Ada in London")
    assert agent.requests()[0].turns[-1].text == "[PERSON_1] in London"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"score": 2}, "`presidio.score` should be less than or equal to 1"),
        ({"languages": "en"}, "`presidio.languages`"),
        ({"analyzer": "nowhere.analyzer"}, "presidio.analyzer"),
        ("yes", "`presidio`"),
        (True, "pip install 'auwgent[presidio]'"),
    ],
)
def test_what_is_wrong_or_missing_is_a_config_error(wanted: Any, words: str) -> None:
    redact = {"use": "auwgent.middleware.Redact", "presidio": wanted}
    with pytest.raises(ConfigError) as caught:
        auwgent({"middleware": [redact], "agent": {"model": "scripted/echo"}})
    assert words in str(caught.value)
