"""A stored conversation again: with other models, with its past in place of tools, and as a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auwgent import ConfigError, Runtime, SessionNotFound
from auwgent.config import load
from auwgent.replay import replay, word_diff
from auwgent.store.base import SessionStore
from auwgent.testing.complaint import as_test
from auwgent.testing.suite import collected
from auwgent.testing.trial import How, run_all

TOOLS: list[str] = []


def find_order(number: int) -> str:
    """Find an order."""
    TOOLS.append(f"find {number}")
    return f"order {number}: 12.50 EUR"


def scripted(*replies: Any) -> dict[str, Any]:
    return {"use": "scripted/one", "params": {"replies": list(replies), "restart": True}}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    TOOLS.clear()
    call = {"when": "order", "tool_calls": [{"name": "find_order", "args": {"number": 7}}]}
    other = {"when": "order", "tool_calls": [{"name": "find_order", "args": {"number": 8}}]}
    done = {"result": True, "text": "It is {result}."}
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path / 'sessions.db'}"}
    return {
        "middleware": [store],
        "agent": {"model": "main", "prompt": "You help.", "tools": [find_order]},
        "models": {
            "main": scripted(call, done, "Hello."),
            "same": scripted(call, {"result": True, "text": "Well, it is {result}."}, "Hi."),
            "other": scripted(other, done, "Hi."),
        },
    }


def stored(agent: Runtime[Any]) -> SessionStore:
    assert agent.store is not None
    return agent.store


async def talk(agent: Any) -> Any:
    await agent.run("Hello", session_id="s")
    return await agent.run("Which order?", session_id="s")


async def test_models_are_compared_and_the_session_stays_as_it_is(config: dict[str, Any]) -> None:
    async with Runtime(config) as agent:
        session = await talk(agent)
        found = await agent.replay("s", models=["same", "other"])
        assert (await stored(agent).get("", "s")).turns == session.turns
        assert [one.id for one in await stored(agent).list_sessions("")] == ["s"]
    assert TOOLS == ["find 7"]
    assert found.stored.text == "It is order 7: 12.50 EUR."
    same, other = found.takes
    assert (same.status, same.calls, same.text) == (
        "completed",
        ["find_order"],
        "Well, it is order 7: 12.50 EUR.",
    )
    assert same.ends == ["tool_calls", "stop"]
    assert other.status == "failed"
    assert "the past of this session knows no call find_order" in other.error


async def test_live_tools_run_and_forks_are_kept_where_that_is_wanted(config: dict[str, Any]) -> None:
    async with Runtime(config) as agent:
        session = await talk(agent)
        found = await replay(agent, "s", at=session.turns[2].id, models=["other"], tools="live", keep=True)
        (take,) = found.takes
        assert take.session is not None
        kept = await stored(agent).get("", take.session.id)
    assert TOOLS == ["find 7", "find 8"]
    assert kept.text == take.text == "It is order 8: 12.50 EUR."


async def test_it_goes_on_behind_a_turn_with_calls(config: dict[str, Any]) -> None:
    async with Runtime(config) as agent:
        session = await talk(agent)
        calling = next(turn for turn in session.turns if turn.tool_calls)
        found = await agent.replay("s", at=calling.id[:12], models=["same"])
        assert (found.takes[0].calls, found.takes[0].text) == ([], "Well, it is order 7: 12.50 EUR.")
        with pytest.raises(SessionNotFound, match="has no turn 'nowhere'"):
            await agent.replay("s", at="nowhere")


async def test_a_conversation_becomes_a_test_that_passes_without_any_tool(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Runtime(config) as agent:
        session = await talk(agent)
        file = await as_test(agent, session, "which order")
        with pytest.raises(ConfigError, match="is there already"):
            await as_test(agent, session, "which order")
    TOOLS.clear()
    loaded = load(config)
    trials = collected(loaded, [file])
    assert trials[0].table.session == "sessions/which-order.json"
    (result,) = await run_all(config, loaded, trials, How(), lambda _: None)
    assert result.problems == []
    assert TOOLS == []


def test_words_of_two_answers_are_compared() -> None:
    assert word_diff("a b c", "a x c") == [("=", "a "), ("-", "b"), ("+", "x"), ("=", " c")]


async def test_a_model_that_cannot_be_asked_is_told_as_a_model(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    async with Runtime(config) as agent:
        await talk(agent)
        with pytest.raises(ConfigError, match=r"(?m)^model: mistral/large needs an API key"):
            await agent.replay("s", models=["mistral/large"])
