"""A copy of a session up to any turn is a valid history."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent import auwgent
from auwgent.errors import ConfigError, SessionNotFound
from auwgent.middleware import SQLModelSessions
from auwgent.pairing import paired
from auwgent.session import LEFT_OPEN, NEVER_BEGUN, UNKNOWN, Session, ToolCall, Turn
from auwgent.store.history import copied
from auwgent.testing.runs import StoreRun

# A message of the user, or one of the agent with so many calls, and whether a helper speaks before the results come.
STEPS = st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=1, max_size=6)


def history(steps: list[tuple[int, bool]], *, unique: bool) -> list[Turn]:
    numbers, turns = count(), list[Turn]()
    for calls, has_helper in steps:
        if calls < 0:
            turns.append(Turn(role="user", content="Hi", agent="Main"))
            continue
        asked = [ToolCall(id=f"c{next(numbers) if unique else number}", name="f") for number in range(calls)]
        turns.append(Turn(role="assistant", content="Well.", agent="Main", tool_calls=asked or None))
        if has_helper:
            turns.append(Turn(role="assistant", content="Found.", agent="Helper"))
        turns += [
            Turn(role="tool", content="ok", agent="Main", tool_call_id=call.id, name="f", outcome="ok")
            for call in asked
        ]
    return turns


@given(STEPS, st.booleans(), st.data())
def test_it_ends_with_that_turn_and_has_all_results_of_its_calls(
    steps: list[tuple[int, bool]], unique: bool, data: st.DataObject
) -> None:
    turns = history(steps, unique=unique)
    at = data.draw(st.sampled_from(turns))
    wanted = copied(turns, at.id)
    assert wanted is not None
    kept = [turn for turn in turns if turn.id in wanted]
    place = turns.index(at)
    assert kept[: place + 1] == turns[: place + 1]
    assert all(turn.role == "tool" for turn in kept[place + 1 :])
    healed = paired(kept, where_said=True)
    assert paired(healed, where_said=True) == healed
    # Its own calls are answered as they were; only the call of a helper that was still at work is not.
    closed = [turn for turn in healed if turn not in kept]
    assert not closed or (at.agent == "Helper" and {turn.outcome for turn in closed} == {"unknown"})


async def test_a_copy_says_where_it_came_from_and_goes_on(store: SQLModelSessions) -> None:
    call = ToolCall(id="1", name="f")
    turns = [
        Turn(role="user", content="one", agent="Main"),
        Turn(
            role="assistant", content="", agent="Main", tool_calls=[call, call.model_copy(update={"id": "2"})]
        ),
        Turn(role="tool", content="a", agent="Main", tool_call_id="1", name="f", outcome="ok"),
        Turn(role="tool", content="b", agent="Main", tool_call_id="2", name="f", outcome="ok"),
        Turn(role="user", content="two", agent="Main"),
    ]
    await store.put(Session(id="s1", user_id="u1", stack=["Main", "Joker"], turns=turns))
    for at, length in ((0, 1), (1, 4), (2, 4), (3, 4), (4, 5)):
        await store.fork("u1", "s1", f"at-{at}", at=turns[at].id)
        assert (await store.get("u1", f"at-{at}")).turns == turns[:length]
    assert (await store.get("u1", "at-1")).stack == ["Main"]
    assert {info.forked_from for info in await store.list_sessions("u1") if info.id != "s1"} == {"s1"}
    with pytest.raises(SessionNotFound, match="has no turn 'nothing'"):
        await store.fork("u1", "s1", "s2", at="nothing")
    with pytest.raises(SessionNotFound):
        await store.get("u1", "s2")


async def test_a_copy_tells_of_a_call_that_began_what_is_known(url: str) -> None:
    """The process died in the middle of one call; another one had its result behind the copy's end."""
    dead, store = SQLModelSessions(url), SQLModelSessions(url)
    cut_off, never, helper, paid = (
        ToolCall(id=name, name=name) for name in ("cut_off", "never", "Helper", "paid")
    )
    run = await StoreRun(dead, "s1").start()
    run.say("Go")
    run.ask(helper, paid)
    for call in (helper, paid):
        await run.save(at="tool_start", call_id=call.id, name=call.name)
    said = run.say("Found.", "assistant")
    said.agent = "Helper"
    for call in (helper, paid):
        run.answer(call, "ok")
        await run.save(at="tool_end", call_id=call.id, name=call.name)
    run.ask(cut_off, never)
    await run.save(at="tool_start", call_id=cut_off.id, name=cut_off.name)
    await dead.close()
    await store.fork("u1", "s1", "whole")
    await store.fork("u1", "s1", "part", at=said.id)
    whole, part = [
        {turn.name: (turn.outcome, turn.text) for turn in (await store.get("u1", name)).turns if turn.name}
        for name in ("whole", "part")
    ]
    await store.close()
    assert whole["cut_off"] == ("unknown", UNKNOWN)
    assert whole["never"] == ("skipped", NEVER_BEGUN)
    assert part == dict.fromkeys(("Helper", "paid"), ("skipped", LEFT_OPEN))


async def test_who_goes_on_behind_a_turn_has_no_later_ones(store: SQLModelSessions) -> None:
    config: dict[str, Any] = {
        "middleware": [store],
        "agent": {"model": "main"},
        "models": {
            "main": {"use": "scripted/main", "params": {"replies": [{"text": "{user}!"}], "repeat": True}}
        },
    }
    async with auwgent(config) as agent, auwgent(config) as other:
        first = await agent.run("one", session_id="s")
        last = first.turns[-1].id
        # Both want to go on from the same answer at once: who gets the session second goes on in a copy.
        both = await asyncio.gather(
            agent.run("two", session_id="s", behind=last), other.run("three", session_id="s", behind=last)
        )
        assert sorted(session.id == "s" for session in both) == [False, True]
        for session in both:
            stored = await store.get("", session.id)
            assert [turn.text for turn in stored.turns] == [turn.text for turn in session.turns]
            assert len(stored.turns) == 4
            assert stored.turns[1].id == last
        copy = next(session.id for session in both if session.id != "s")
        found = next(one for one in await store.list_sessions("") if one.id == copy)
        assert found.forked_from == "s"
        runs = await store.runs("")
        assert sorted(run.status for run in runs) == ["completed"] * 3
        assert {run.session_id for run in runs} == {"s", copy}
        # The session is free, and goes on behind its newest turn as it is.
        original = next(session for session in both if session.id == "s")
        again = await agent.run("four", session_id="s", behind=original.turns[-1].id)
        assert (again.id, len(again.turns)) == ("s", 6)
        with pytest.raises(SessionNotFound, match="no turn 'nowhere'"):
            await agent.run("five", session_id="s", behind="nowhere")
        assert len((await store.get("", "s")).turns) == 6
        with pytest.raises(ConfigError, match="`behind` needs"):
            await agent.run("six", behind=last)
