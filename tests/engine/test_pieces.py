"""What is streamed: its names, ids and thoughts, and that what repeats is made only when looked at."""

from __future__ import annotations

import copy
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from auwgent.intents import Intent
from auwgent.session import Turn
from tests.support.bench import Hook, bench, calls

THOUGHT = {"text": "Four.", "reasoning": "Two and two…"}


def ping(x: int = 1) -> str:
    "Ping."
    return "pong"


async def test_each_model_call_is_told_with_its_cost_and_its_end() -> None:
    agent = bench([calls("ping"), {"text": "Cut", "finish_reason": "length"}], tools=[ping])
    session = await agent.ask()
    told = [intent.value for intent in agent.model_calls]
    assert [(value["model"], value["finish_reason"]) for value in told] == [
        ("scripted/main", "tool_calls"),
        ("scripted/main", "length"),
    ]
    assert all(value["seconds"] >= 0 and value["usage"]["input_tokens"] > 0 for value in told)
    assert [turn.finish_reason for turn in session.turns if turn.role == "assistant"] == [
        "tool_calls",
        "length",
    ]
    json.dumps(told)


async def test_thoughts_are_streamed_and_never_stored() -> None:
    seen: list[Any] = []
    hook = Hook(onIntentPartial=lambda name, value, ctx: seen.append((name, value["delta"])))
    agent = bench([THOUGHT], middleware=[hook])
    session = await agent.ask()
    thoughts = [intent.value for intent in agent.partials if intent.name == "reasoning"]
    assert "".join(value["delta"] for value in thoughts) == "Two and two…"
    assert thoughts[-1]["snapshot"] == {"text": "Two and two…"}
    assert "".join(delta for name, delta in seen if name == "reasoning") == "Two and two…"
    assert "Two and" not in session.model_dump_json()
    assert session.text == "Four."


async def test_a_call_has_its_id_from_the_first_piece_on() -> None:
    agent = bench([calls("ping", ("ping", {"x": 2})), "ok"], tools=[ping])
    session = await agent.ask()
    recorded = [call.id for call in session.turns[1].tool_calls or ()]
    shown = dict.fromkeys(intent.value["id"] for intent in agent.partials if intent.name == "tool_call")
    assert list(shown) == recorded
    assert [intent.value["id"] for intent in agent.intents if intent.name == "tool_call"] == recorded


async def test_an_id_that_the_session_has_already_is_another_one_from_the_first_piece_on() -> None:
    script = {"tool_calls": [{"name": "ping", "args": {}, "id": "call_1"}]}
    agent = bench([script, script, "ok"], tools=[ping])
    session = await agent.ask()
    recorded = [call.id for turn in session.turns for call in turn.tool_calls or ()]
    assert len(set(recorded)) == 2
    assert recorded[0] == "call_1"
    shown = dict.fromkeys(intent.value["id"] for intent in agent.partials if intent.name == "tool_call")
    assert list(shown) == recorded


async def test_a_piece_tells_what_had_come_when_it_came_however_late_it_is_looked_at() -> None:
    agent = bench(["One two three."])
    await agent.ask()
    texts = [intent.value for intent in agent.partials]
    so_far = ""
    for value in reversed(texts):
        assert texts[-1]["raw"].startswith(value["raw"])
    for value in texts:
        so_far += value["delta"]
        assert (value["raw"], value["snapshot"]) == (so_far, {"text": so_far})


async def test_a_piece_is_a_dict_in_every_way() -> None:
    ways: list[Callable[[Any], Any]] = [
        dict,
        lambda value: {**value},
        lambda value: json.loads(json.dumps(value)),
        copy.copy,
        copy.deepcopy,
        lambda value: value.copy(),
        lambda value: value | {},
        lambda value: dict(value.items()),
        lambda value: dict(zip(value, value.values(), strict=True)),
        lambda value: {key: value[key] for key in value},
        lambda value: {key: value.get(key) for key in value},
    ]
    expected = {
        "partial": True,
        "complete": False,
        "mode": "text",
        "segment": 0,
        "snapshot": {"text": "Hi"},
        "raw": "Hi",
        "delta": "Hi",
    }
    for way in ways:
        agent = bench(["Hi"])
        await agent.ask()
        [piece] = agent.partials
        assert way(piece.value) == expected
        assert piece.value == expected
        assert repr(piece.value) == repr(expected)


async def test_what_a_hook_puts_into_a_piece_holds() -> None:
    def hide(name: str, value: dict[str, Any], ctx: Any) -> None:
        value["raw"] = value["delta"] = "***"
        value.update(snapshot={"text": "***"})

    agent = bench(["Hi"], middleware=[Hook(onIntentPartial=hide)])
    await agent.ask()
    assert [(one.value["raw"], one.value["snapshot"]) for one in agent.partials] == [("***", {"text": "***"})]


@pytest.mark.clock
async def test_the_cost_of_a_piece_does_not_grow_with_the_answer() -> None:
    async def seconds(words: int) -> float:
        pieces: list[Intent] = []
        agent = bench([{"text": "word " * words}], partial_handler=lambda *_: pieces)
        began = time.process_time()
        await agent.ask()
        assert len(agent.partials) >= words
        return time.process_time() - began

    await seconds(100)
    gc.freeze()  # else what other tests have left is looked through again and again
    try:
        short, long = [min([await seconds(words) for _ in range(2)]) for words in (2000, 20_000)]
    finally:
        gc.unfreeze()
    assert long < 30 * short


async def test_the_message_is_stored_before_its_calls_are_shown_asked_about_or_made() -> None:
    stored: list[Turn] = []
    seen: list[tuple[str, bool]] = []

    def keep(session: Any, ctx: Any) -> None:
        stored[:] = [turn.model_copy() for turn in session.turns]

    def note(what: str) -> bool:
        seen.append((what, any(turn.tool_calls for turn in stored)))
        return True

    def pay() -> str:
        "Pay."
        note("made")
        return "paid"

    def hook(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            note("hook")

    agent = bench(
        [calls("pay"), "ok"],
        tools=[{"use": pay, "approve": "ask"}],
        approver=lambda request: note("asked"),
        middleware=[Hook(onCheckpoint=keep, onIntent=hook)],
        handler=lambda name, value, agent: seen.extend([("shown", bool(stored[1:]))] * (name == "tool_call")),
    )
    await agent.ask()
    assert seen == [("hook", True), ("shown", True), ("asked", True), ("made", True)]
