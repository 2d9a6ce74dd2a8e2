"""A helper that asks, or whose process dies, goes on inside itself with the turns it has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent import LimitExceeded
from auwgent.middleware import Approve
from auwgent.session import LEFT_OPEN, NEVER_BEGUN
from tests.support.bench import Hook, check_history
from tests.support.till import Till, outcomes, texts


def calls(*names: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"id": f"{name}-1", "name": name, "args": args} for name in names]}


def call(call_id: str, name: str, **args: Any) -> dict[str, Any]:
    return {"id": call_id, "name": name, "args": args}


NESTED = {
    "main": [{"tool_calls": [call("s1", "Scout", input="find out"), call("l1", "look")]}, "Main: {result}"],
    "Scout": [{"tool_calls": [call("m1", "Miner", input="dig"), call("l2", "look")]}, "Scout: {result}"],
    "Miner": [
        {"tool_calls": [call("l3", "look"), call("p1", "pay", euro=7)]},
        {"tool_calls": [call("p2", "pay", euro=8)]},
        "Miner: {result}",
    ],
}
TABLES = {"Scout": {"helpers": ["Miner"], "tools": ["look"]}, "Miner": {"tools": ["look", "pay"]}}


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_helpers_helper_that_asks_goes_on_inside_itself(url: str, elsewhere: bool) -> None:
    till = Till(url, NESTED, helpers=TABLES, calls=["Scout"])
    async with till:
        session = await till.agent.run("Go", session_id="s1")
        assert [(one["id"], one["agent"]) for one in session.pending] == [("p1", "Miner")]
        assert outcomes(session) == {"l1": "ok", "l2": "ok", "l3": "ok"}
        assert till.done == ["look"] * 3
    before = len(session.turns)
    other = Till(url, NESTED, helpers=TABLES, calls=["Scout"]) if elsewhere else till
    async with other:
        other.done.clear()
        session = await other.agent.run(None, session_id="s1", answers={"p1": True})
        assert [(one["id"], one["agent"]) for one in session.pending] == [("p2", "Miner")]
        intents = await other.heard(None, session_id="s1", answers={"p2": False})
        session = await other.store.get("", "s1")
    assert [name for name, _ in intents] == [
        "tool_skipped", "response_text", "helper_result", "response_text", "helper_result", "response_text"
    ]  # fmt: skip
    assert other.done == [7]
    assert outcomes(session) == {
        "s1": "ok", "l1": "ok", "m1": "ok", "l2": "ok", "l3": "ok", "p1": "ok", "p2": "denied"
    }  # fmt: skip
    tasks = [turn.text for turn in session.turns if turn.role == "user"]
    assert tasks == ["Go", "find out", "dig"]
    assert len(session.turns) == before + 8
    assert session.text.startswith("Main: ")
    check_history(session.turns)


async def test_two_of_the_same_helper_side_by_side_keep_their_turns_apart(url: str) -> None:
    scripts: dict[str, list[Any]] = {
        "main": [
            {"tool_calls": [call("s1", "Scout", input="pay 1"), call("s2", "Scout", input="pay 2")]},
            "Main: {results}",
        ],
        "Scout": [
            {"when": "pay 1", "tool_calls": [call("p1", "pay", euro=1)]},
            {"when": "pay 2", "tool_calls": [call("p2", "pay", euro=2)]},
            {"result": "paid", "text": "Scout: {result}"},
            {"result": "denied", "text": "Scout: {result}"},
        ],
    }
    seen: list[list[str]] = []

    def look(prompt: str, ctx: Any) -> None:
        if ctx.activeAgent == "Scout":
            seen.append([turn.text for turn in ctx.messages if turn.role == "user"])

    till = Till(url, scripts, helpers={"Scout": {"tools": ["pay"]}}, behind=[Hook(onLLMStart=look)])
    async with till:
        session = await till.agent.run("Go", session_id="s1")
        assert [one["id"] for one in session.pending] == ["p1", "p2"]
        await till.agent.run(None, session_id="s1", answers={"p2": True})
        seen.clear()
        session = await till.agent.run(None, session_id="s1", answers={"p1": "no"})
    assert sorted(seen) == [["pay 1"], ["pay 2"]]
    assert till.done == [2]
    assert "no" in texts(session)["p1"]
    assert texts(session)["s2"] == "Scout: paid"
    check_history(session.turns)


@pytest.mark.parametrize("answer", [True, False])
async def test_a_sibling_helper_that_hands_over_still_does_once_the_question_is_answered(
    url: str, answer: bool
) -> None:
    scripts: dict[str, list[Any]] = {
        "main": [{"tool_calls": [call("j1", "Joker", input="a joke"), call("p1", "pay", euro=7)]}, "Main."],
        "Joker": ["Knock knock, who is there?", "Joker again."],
    }
    till = Till(url, scripts, helpers={"Joker": {"handoff": "user"}})
    async with till:
        session = await till.agent.run("Go", session_id="s1")
        assert (session.status, outcomes(session)) == ("paused", {"j1": "ok"})
        session = await till.agent.run(None, session_id="s1", answers={"p1": answer})
        assert session.stack == ["Main", "Joker"]
        assert outcomes(session) == {"j1": "ok", "p1": "ok" if answer else "denied"}
        session = await till.agent.run("Nobody", session_id="s1")
        assert session.turns[-1].agent == "Joker"
        check_history(session.turns)


async def test_a_helper_that_is_gone_is_an_error_in_its_caller(url: str) -> None:
    async with Till(url, NESTED, helpers=TABLES, calls=["Scout"]) as till:
        await till.agent.run("Go", session_id="s1")
    async with Till(url, NESTED, helpers={"Miner": TABLES["Miner"]}, calls=[]) as changed:
        session = await changed.agent.run(None, session_id="s1", answers={"p1": True})
        assert changed.done == []
        assert {key: outcomes(session)[key] for key in ("s1", "m1", "p1")} == {
            "s1": "error", "m1": "unknown", "p1": "skipped"
        }  # fmt: skip
        check_history(session.turns)
        assert session.status == "completed"


async def test_the_user_may_be_talking_to_a_helper_that_asks(url: str) -> None:
    scripts: dict[str, list[Any]] = {
        "main": [{"tool_calls": [call("j1", "Joker", input="hello")]}, "Main."],
        "Joker": ["Yes?", {"tool_calls": [call("p1", "pay", euro=7)]}, "Was it funny?"],
    }
    helpers = {"Joker": {"handoff": "user", "tools": ["pay"]}}
    async with Till(url, scripts, helpers=helpers) as till:
        session = await till.agent.run("Go", session_id="s1")
        assert session.stack == ["Main", "Joker"]
        session = await till.agent.run("Pay", session_id="s1")
        assert [one["agent"] for one in session.pending] == ["Joker"]
        session = await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert (till.done, session.text, session.stack) == ([7], "Was it funny?", ["Main", "Joker"])


async def test_limits_are_of_the_run_over_its_legs(url: str) -> None:
    replies = [{"tool_calls": [call("p1", "pay", euro=7)]}]
    async with Till(url, replies, limits={"llm_calls": 3, "repeats": 9}) as till:
        session = await till.agent.run("Go", session_id="s1", run_id="r1")
        for _ in range(2):
            session = await till.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
        with pytest.raises(LimitExceeded, match=r"`limits.llm_calls` = 3"):
            await till.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
        run = await till.store.run("", "r1")
        assert (run.status, run.leg, run.usage.input_tokens > 0) == ("failed", 4, True)
        session = await till.store.get("", "s1")
        assert session.usage == run.usage


async def test_the_same_call_over_and_over_is_a_loop_also_over_legs(url: str) -> None:
    replies = [{"tool_calls": [call("p1", "pay", euro=7)]}]
    async with Till(url, replies, limits={"repeats": 2}) as till:
        session = await till.agent.run("Go", session_id="s1")
        session = await till.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
        with pytest.raises(LimitExceeded, match=r"`limits.repeats`"):
            await till.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
        assert till.done == [7, 7]


async def test_seconds_count_time_at_work(url: str) -> None:
    replies = [{"tool_calls": [call("p1", "pay", euro=7)]}]
    more = {"repeats": 9}
    async with Till(url, replies, takes=1.0, limits={"seconds": 100, **more}) as till:
        session = await till.agent.run("Go", session_id="s1", run_id="r1")
        await asyncio.sleep(3)
        for _ in range(2):
            session = await till.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
    async with Till(url, replies, limits={"seconds": 2, **more}) as short:
        with pytest.raises(LimitExceeded, match=r"`limits.seconds` = 2"):
            await short.agent.run(None, session_id="s1", answers={session.pending[0]["id"]: True})
        assert (await short.store.run("", "r1")).status == "failed"
        assert short.done == []


@pytest.mark.parametrize("by", ["entry", "rules"])
async def test_before_a_workflow_is_asked_and_inside_it_is_a_no(url: str, by: str) -> None:
    inside: list[str] = []

    async def sweep(ctx: Any) -> str:
        """Sweeps."""
        try:
            await ctx.call_tool("pay", {"euro": 7})
        except Exception as error:
            inside.append(str(error))
        return "swept"

    replies = [{"tool_calls": [call("w1", "sweep")]}, "Done: {result}"]
    till = Till(None, replies)
    flow: dict[str, Any] = {"use": sweep, "tools": [{"use": till.pay, "approve": "ask"}]}
    rules = [Approve([{"tools": "sweep", "then": "ask"}], default="allow")] if by == "rules" else []
    if by == "entry":
        flow["approve"] = "ask"
    async with Till(url, replies, agent={"workflows": [flow]}, behind=rules) as asks:
        session = await asks.agent.run("Go", session_id="s1")
        assert [(one["type"], one["kind"]) for one in session.pending] == [("sweep", "approval")]
        assert inside == []
        session = await asks.agent.run(None, session_id="s1", answers={"w1": True})
        assert (outcomes(session), session.text, till.done) == ({"w1": "ok"}, "Done: swept", [])
        assert len(inside) == 1
        assert "did not approve" in inside[0]


@pytest.mark.parametrize("how", ["fork", "put", "cancel", "keep"])
async def test_whoever_does_not_go_on_with_a_helper_is_told_that_it_had_begun(url: str, how: str) -> None:
    """Of a helper that waits nobody says that it was not called, wherever its call is closed."""
    async with Till(url, NESTED, helpers=TABLES, calls=["Scout"]) as till:
        await till.agent.run("Go", session_id="s1", run_id="r1")
        before = await till.store.get("", "s1")
        if how == "fork":
            await till.store.fork("", "s1", "s2")
        elif how == "put":
            await till.store.put(before.model_copy(update={"id": "s2"}))
        elif how == "cancel":
            await till.agent.cancel("r1")
        if how == "keep":
            read = await till.agent.run("And now?", session_id="s1", keep=False)
        else:
            read = await till.store.get("", "s1" if how == "cancel" else "s2")
        closed = {one: outcomes(read)[one] for one in ("s1", "m1", "p1")}
        assert closed == dict.fromkeys(("s1", "m1", "p1"), "skipped")
        told = {one: texts(read)[one] for one in closed}
        assert told == {"s1": LEFT_OPEN, "m1": LEFT_OPEN, "p1": NEVER_BEGUN}
        check_history(read.turns)
        assert 7 not in till.done
