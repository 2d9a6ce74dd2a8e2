"""A run goes on where another one died, from what a store knows of its calls."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import Context, Session
from auwgent.errors import SessionNotFound
from auwgent.session import ToolCall, Turn
from tests.support.bench import Hook, bench, check_history, short

CALLS = [ToolCall(id="begun", name="pay"), ToolCall(id="safe", name="look"), ToolCall(id="never", name="pay")]


def died(ctx: Context, **known: bool) -> Session:
    """A session whose run died among its calls; `known` are those that had begun, and whether they are idempotent."""
    ctx["interrupted"] = {
        call: {"call_id": call, "name": call, "idempotent": idempotent} for call, idempotent in known.items()
    }
    asked = Turn(role="user", content="Do it", agent="Main")
    return Session(turns=[asked, Turn(role="assistant", agent="Main", tool_calls=CALLS)])


class Shop:
    """Tools that count."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def pay(self) -> str:
        """Pay."""
        self.done.append("pay")
        return "paid"

    def look(self) -> str:
        """Look."""
        self.done.append("look")
        return "seen"


def agent(shop: Shop, **known: bool) -> Any:
    load = Hook(onRunStart=lambda session, ctx: died(ctx, **known))
    tools = [shop.pay, {"use": shop.look, "idempotent": True}]
    return bench(["Well.", "Well."], middleware=[load], tools=tools)


async def test_new_input_makes_only_idempotent_calls_again() -> None:
    shop = Shop()
    stage = agent(shop, begun=False, safe=True)
    session = await stage.ask("And now?")
    assert shop.done == ["look"]
    check_history(session.turns)
    outcomes = {turn.tool_call_id: turn.outcome for turn in session.turns if turn.role == "tool"}
    assert outcomes == {"begun": "unknown", "safe": "ok", "never": "skipped"}
    assert "unknown after a crash" in stage.requests()[0].turns[2].text
    assert short(session.turns)[-2:] == ["user: And now?", "assistant: Well."]


@pytest.mark.parametrize("said", ["And now?", None])
async def test_the_model_reads_what_the_calls_that_were_made_again_gave(said: str | None) -> None:
    stage = agent(Shop(), begun=False, safe=True)
    await stage.ask(said)
    asked = stage.requests()[0].turns
    results = {turn.tool_call_id: turn.text for turn in asked if turn.role == "tool"}
    assert results["safe"] == "seen"
    assert (results["never"] == "paid") is (said is None)


async def test_without_input_what_never_began_is_made_too() -> None:
    shop = Shop()
    session = await agent(shop, begun=False, safe=True).ask(None)
    assert sorted(shop.done) == ["look", "pay"]
    outcomes = {turn.tool_call_id: turn.outcome for turn in session.turns if turn.role == "tool"}
    assert outcomes == {"begun": "unknown", "safe": "ok", "never": "ok"}
    assert [turn.role for turn in session.turns] == ["user", "assistant", "tool", "tool", "tool", "assistant"]
    assert session.text == "Well."


async def test_a_store_that_knows_nothing_of_calls_gets_unknown_results() -> None:
    shop = Shop()

    def load(session: Session, ctx: Context) -> Session:
        loaded = died(ctx)
        del ctx["interrupted"]
        return loaded

    session = await bench(["Well."], middleware=[Hook(onRunStart=load)], tools=[shop.pay, shop.look]).ask(
        "Hm"
    )
    assert shop.done == []
    assert {turn.outcome for turn in session.turns if turn.role == "tool"} == {"unknown"}


async def test_a_session_that_nothing_was_said_in_has_nothing_to_go_on_with() -> None:
    stage = bench(["Well."])
    with pytest.raises(SessionNotFound, match="has no turns yet"):
        await stage.ask(None)
    assert stage.requests() == []


@pytest.mark.parametrize("hook", ["onIntent"])
async def test_a_guard_sees_calls_that_are_made_again(hook: str) -> None:
    shop = Shop()
    guard = Hook(**{hook: lambda name, value, ctx: {"skip": True} if name == "tool_call" else None})
    load = Hook(onRunStart=lambda session, ctx: died(ctx, begun=False, safe=True))
    stage = bench(
        ["Well."], middleware=[load, guard], tools=[shop.pay, {"use": shop.look, "idempotent": True}]
    )
    session = await stage.ask("And now?")
    assert shop.done == []
    check_history(session.turns)
