"""Tools that the caller brings along: the run pauses for them, and goes on with what they gave."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import ConfigError
from tests.support.bench import Hook, check_history
from tests.support.till import FETCH, FETCHING, Till, outcomes, texts


@pytest.mark.parametrize(
    ("answer", "outcome", "text"),
    [
        ({"result": "cold milk"}, "ok", "cold milk"),
        ({"result": {"litres": 2}}, "ok", '{"litres":2}'),
        ({"result": None}, "ok", "null"),
        ({"error": "sold out"}, "error", "Error: sold out"),
        (False, "denied", "was denied"),
    ],
)
async def test_the_caller_runs_its_own_tools(url: str, answer: Any, outcome: str, text: str) -> None:
    async with Till(url, FETCHING) as till:
        intents = await till.heard("Please get it", session_id="s1", caller_tools=[FETCH])
        assert [name for name, _ in intents] == ["tool_call", "paused"]
        [call] = intents[-1][1]["calls"]
        assert (call["kind"], call["type"], call["args"]) == ("tool", "fetch", {"what": "milk"})
    async with Till(url, FETCHING) as other:
        session = await other.agent.run(None, session_id="s1", answers={"f1": answer})
        assert outcomes(session) == {"f1": outcome}
        assert text in texts(session)["f1"]
        assert session.status == "completed"
        check_history(session.turns)


async def test_the_model_is_told_of_them_in_each_leg(url: str) -> None:
    specs: list[Any] = []
    hook = Hook(onLLMStart=lambda prompt, ctx: specs.append([one["name"] for one in ctx.toolSpecs]))
    async with Till(url, FETCHING, behind=[hook]) as till:
        await till.agent.run("Please get it", session_id="s1", caller_tools=[FETCH])
        await till.agent.run(None, session_id="s1", answers={"f1": {"result": "milk"}})
        await till.agent.run("Hello", session_id="s1")
    assert ["fetch" in names for names in specs] == [True, True, False]


@pytest.mark.parametrize(
    "wrong", [True, "yes", {"result": 1, "error": "x"}, {"error": 1}, {"gave": 1}, {}, {"result": {1, 2}}]
)
async def test_what_is_not_the_result_of_a_tool_is_refused(url: str, wrong: Any) -> None:
    async with Till(url, FETCHING) as till:
        await till.agent.run("Please get it", session_id="s1", caller_tools=[FETCH])
        with pytest.raises(ConfigError, match=r'takes \{"result"'):
            await till.agent.run(None, session_id="s1", answers={"f1": wrong})
        assert (await till.store.get("", "s1")).status == "paused"


async def test_arguments_that_do_not_fit_are_the_models_to_mend(url: str) -> None:
    replies = [{"when": "get", "tool_calls": [{"id": "f1", "name": "fetch", "args": {"who": 1}}]}, "Hm."]
    async with Till(url, replies) as till:
        session = await till.agent.run("Please get it", session_id="s1", caller_tools=[FETCH])
        assert (session.status, outcomes(session)) == ("completed", {"f1": "error"})
        assert "'what' is a required property" in texts(session)["f1"]


async def test_without_a_store_a_tool_of_the_callers_is_a_no() -> None:
    async with Till(None, FETCHING) as till:
        session = await till.agent.run("Please get it", caller_tools=[FETCH])
        assert (session.status, outcomes(session)) == ("", {"f1": "denied"})


def fetch(what: str) -> str:
    """Fetch."""
    return what


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{**FETCH, "name": "pay"}], "'pay' already"),
        ([{**FETCH, "name": "Scout"}], "'Scout' already"),
        ([{**FETCH, "name": "Main"}], "'Main' already"),
        ([{**FETCH, "name": "Loud"}], "'Loud' already"),
        ([{**FETCH, "name": "read_result"}], "'read_result' already"),
        ([{**FETCH, "name": "final_answer"}], "'final_answer' already"),
        ([FETCH, FETCH], "two tools 'fetch'"),
        ([fetch], r"auwgent\(tools=…\)"),
        ([{**FETCH, "name": "a b"}], "cannot be the name of a tool"),
        ([{"description": "x"}], "a text `name`"),
        ([{**FETCH, "parameter": {}}], "did you mean `parameters`"),
        ([{**FETCH, "parameters": {"type": "string"}}], 'type "object"'),
        ([{**FETCH, "parameters": {"type": "nothing"}}], "object"),
        (["fetch"], "not str"),
        ("fetch", "should be a list"),
        (FETCH, "should be a list"),
    ],
)
async def test_what_cannot_be_a_tool_of_the_callers(url: str, tools: Any, words: str) -> None:
    more: dict[str, Any] = {
        "helpers": {"Scout": {}},
        "intents": {"Loud": {"description": "x", "fields": {"a": "string"}}},
    }
    async with Till(url, {"main": FETCHING, "Scout": ["x"]}, agent={"intents": ["Loud"]}, **more) as till:
        with pytest.raises(ConfigError, match=words):
            await till.agent.run("Please get it", caller_tools=tools)


async def test_helpers_do_not_have_them(url: str) -> None:
    scripts = {
        "main": [
            {"when": "get", "tool_calls": [{"id": "h1", "name": "Scout", "args": {"input": "get it"}}]},
            "Well.",
        ],
        "Scout": FETCHING,
    }
    async with Till(url, scripts, helpers={"Scout": {"inherit_tools": True}}) as till:
        session = await till.agent.run("Please get it", session_id="s1", caller_tools=[FETCH])
        assert session.status == "completed"
        assert "there is no tool 'fetch'" in texts(session)["f1"]


async def test_a_run_may_wait_for_both_kinds_at_once(url: str) -> None:
    fetch_it = {"id": "f1", "name": "fetch", "args": {"what": "milk"}}
    pay_it = {"id": "p1", "name": "pay", "args": {"euro": 2}}
    replies = [{"when": "get", "tool_calls": [fetch_it, pay_it]}, "Done."]
    async with Till(url, replies) as till:
        session = await till.agent.run("Please get it", session_id="s1", caller_tools=[FETCH])
        assert [(call["id"], call["kind"]) for call in session.pending] == [
            ("f1", "tool"),
            ("p1", "approval"),
        ]
        session = await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert (session.status, till.done) == ("paused", [])
        session = await till.agent.run(None, session_id="s1", answers={"f1": {"result": "milk"}})
        assert (outcomes(session), till.done) == ({"f1": "ok", "p1": "ok"}, [2])
