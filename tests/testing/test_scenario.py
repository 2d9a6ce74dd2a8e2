"""An agent run from beginning to end, and all that could be seen of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from auwgent import ProviderError
from auwgent.testing import Clock, run_scenario, scripted


def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


SUM = {"tool_calls": [{"name": "add", "args": {"a": 40, "b": 2}}]}
CONFIG = {
    "middleware": [],
    "agent": {"model": "main", "prompt": "You add.", "tools": [add]},
    "models": {
        "main": {
            "use": "scripted/main",
            "retries": 0,
            "params": {"replies": [SUM, "It is {result}.", "Bye."]},
        }
    },
}


@pytest.mark.process
async def test_a_scenario_shows_what_was_asked_said_and_streamed() -> None:
    scenario = await run_scenario(CONFIG, "40 and 2?", "Thanks")
    called = ["model_call", "tool_call", "tool_result"]
    assert scenario.names == [*called, "model_call", "response_text", "model_call", "response_text"]
    assert scenario.of("tool_result")[0]["result"] == 42
    assert scenario.streamed == "It is 42.Bye."
    assert [(asked.agent, asked.system, asked.tools) for asked in scenario.asked] == [
        ("Main", "You add.", ("add",))
    ] * 3
    assert [turn.text for turn in scenario.asked[-1].turns][-1] == "Thanks"
    assert len(scenario.session.turns) == 6


async def test_without_streaming_nothing_is_streamed() -> None:
    scenario = await run_scenario(CONFIG, "40 and 2?", stream=False)
    assert scenario.partials == []
    assert scenario.session.text == "It is 42."


async def test_a_failed_run_is_noted_and_the_next_one_follows() -> None:
    replies = [{"when": "fail", "error": {"status": 503}}, "Fine."]
    models = {"main": {"use": "scripted/main", "retries": 0, "params": {"replies": replies}}}
    scenario = await run_scenario({**CONFIG, "models": models}, "fail", "go on")
    assert [type(error) for error in scenario.errors] == [ProviderError]
    assert [turn.text for turn in scenario.session.turns] == ["fail", "go on", "Fine."]


async def test_a_config_file_works_as_well(tmp_path: Path) -> None:
    file = tmp_path / "auwgent.toml"
    file.write_text('middleware = []\n[agent]\nmodel = "scripted/echo"\n')
    assert (await run_scenario(file, "Hi")).session.text == "You said: Hi"


async def test_a_clock_stamps_turns_and_intents() -> None:
    with Clock("2026-02-03T04:05:06+00:00", step=1) as clock:
        scenario = await run_scenario(CONFIG, "40 and 2?")
        later = clock.now
    stamps = [turn.created_at for turn in scenario.session.turns]
    assert stamps[0] == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert stamps == sorted(set(stamps))
    assert all(stamps[0] <= intent.time < later for intent in scenario.intents)
    clock.move(60)
    assert (await run_scenario(CONFIG, "40 and 2?")).session.turns[0].created_at != clock.now


async def test_a_scripted_model_can_be_held_in_the_hand() -> None:
    model = scripted("Hello.")
    assert model.spec.provider == "scripted"
    assert list(model.requests) == []
