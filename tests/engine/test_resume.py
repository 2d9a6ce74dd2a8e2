"""A run goes on where another one died, from what a store knows of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from auwgent import Context, Session
from auwgent.errors import SessionNotFound
from auwgent.session import ToolCall, Turn
from tests.support.bench import Hook, bench, check_history, short

CALLS = [ToolCall(id="begun", name="pay"), ToolCall(id="safe", name="look"), ToolCall(id="never", name="pay")]


def recorded(*calls: ToolCall, begun: Mapping[str, bool] = {}) -> dict[str, Any]:
    """What a store tells of calls that its runs left open."""
    return {
        call.id: {
            "call_id": call.id,
            "name": call.name,
            "args": call.args,
            "begun": call.id in begun,
            "idempotent": begun.get(call.id, False),
        }
        for call in calls
    }


def died(ctx: Context, **known: bool) -> Session:
    """A session whose run died among its calls; `known` are those that had begun, and whether they are idempotent."""
    ctx["interrupted"] = recorded(*CALLS, begun=known)
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


@pytest.mark.parametrize(("answer", "done"), [(True, ["look", "pay"]), (False, [])])
async def test_calls_that_are_made_again_need_a_yes_again(answer: bool, done: list[str]) -> None:
    shop = Shop()
    load = Hook(onRunStart=lambda session, ctx: died(ctx, begun=False, safe=True))
    tools = [
        {"use": shop.pay, "approve": "ask"},
        {"use": shop.look, "approve": "ask", "idempotent": True},
    ]
    asked: list[str] = []

    async def approve(question: Any) -> bool:
        asked.append(question.call_id)
        return answer

    session = await bench(["Well."], middleware=[load], tools=tools, approver=approve).ask(None)
    assert asked == ["safe", "never"]
    assert sorted(shop.done) == done
    check_history(session.turns)


def interrupted(*said: ToolCall, agent: str = "Main", stack: Any = ("Main",)) -> Hook:
    """A store with a session whose run died before any of these calls began."""

    def load(session: Session, ctx: Context) -> Session:
        ctx["interrupted"] = recorded(*said)
        asked = Turn(role="user", content="Do it", agent=agent)
        return Session(
            stack=list(stack), turns=[asked, Turn(role="assistant", agent=agent, tool_calls=list(said))]
        )

    return Hook(onRunStart=load)


BYE = {"Bye": {"fields": {"reason": "string"}, "terminal": True}}
JOKER = {"Joker": {"description": "Jokes", "model": "joker", "handoff": "user"}}


async def test_a_terminal_intent_that_is_made_again_ends_the_run() -> None:
    ended: list[Any] = []
    store = interrupted(ToolCall(id="c1", name="Bye", args={"reason": "late"}))
    watch = Hook(onLLMEnd=lambda response, ctx: ended.append(response))
    stage = bench(["never asked"], middleware=[store, watch], intents=BYE)
    session = await stage.ask(None)
    assert stage.heard == [("Bye", {"reason": "late"})]
    assert stage.requests() == []
    assert session.stack == ["Main"]
    assert ended == [{"reason": "late"}]
    check_history(session.turns)


async def test_a_helper_that_is_called_again_and_asks_the_user_keeps_the_word() -> None:
    store = interrupted(ToolCall(id="c1", name="Joker", args={"input": "Tell one"}))
    replies = {"main": ["never asked"], "joker": ["Who is there?"]}
    stage = bench(replies, middleware=[store], helpers=JOKER)
    session = await stage.ask(None)
    assert session.stack == ["Main", "Joker"]
    assert session.turns[-2].text == "Who is there?"
    assert stage.requests() == []
    check_history(session.turns)


async def test_an_ending_of_the_helper_that_had_the_word_is_its_callers_too() -> None:
    helpers = {"Joker": JOKER["Joker"] | {"intents": ["Bye"], "handoff": "user_then_continue"}}
    call = ToolCall(id="c1", name="Bye", args={"reason": "late"})
    store = interrupted(call, agent="Joker", stack=["Main", "Joker"])
    stage = bench(
        {"main": ["never asked"], "joker": ["never asked"]},
        middleware=[store],
        helpers=helpers,
        intents=BYE,
        emits=[],
    )
    session = await stage.ask(None)
    assert session.stack == ["Main", "Joker"]
    assert stage.heard == [("Bye", {"reason": "late"})]
    assert stage.requests() == stage.requests("joker") == []


async def test_new_words_go_on_whatever_was_made_again() -> None:
    def load(session: Session, ctx: Context) -> Session:
        call = ToolCall(id="c1", name="Bye", args={"reason": "late"})
        ctx["interrupted"] = recorded(call, begun={"c1": True})
        asked = Turn(role="user", content="Do it", agent="Main")
        return Session(turns=[asked, Turn(role="assistant", agent="Main", tool_calls=[call])])

    stage = bench(["Still here."], middleware=[Hook(onRunStart=load)], intents=BYE)
    session = await stage.ask("Are you there?")
    assert session.text == "Still here."


def answered(content: str, model: str | None = "scripted/main", **session: Any) -> Hook:
    """A store that has a session whose run died when this was said, before it was over."""
    turns = [
        Turn(role="user", content="Do it", agent="Main"),
        Turn(role="assistant", content=content, agent="Main", model=model),
    ]
    return Hook(onRunStart=lambda *_: Session(turns=turns, **session))


async def test_an_answer_that_was_stored_is_shown_again_and_not_asked_for() -> None:
    stage = bench(["never asked"], middleware=[answered("Done.")])
    session = await stage.ask(None)
    assert stage.heard == [("response_text", {"text": "Done."})]
    assert short(session.turns) == ["user: Do it", "assistant: Done."]
    assert stage.requests() == []


async def test_a_structured_answer_is_shown_again_too_where_it_has_the_shape() -> None:
    output = {
        "type": "object",
        "title": "Sum",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
    }
    for content, asked in (('{"sum": 3}', 0), ('{"sum": "x"}', 1)):
        stage = bench(['{"sum": 3}'] * 2, middleware=[answered(content)], output=output)
        await stage.ask(None)
        [(name, value)] = stage.heard
        assert (name, value["response"]) == ("response_schema", {"sum": 3})
        assert len(stage.requests()) == asked


async def test_a_helpers_last_words_are_its_callers_news() -> None:
    turns = [
        Turn(role="user", content="Joke", agent="Joker"),
        Turn(role="assistant", content="Ha.", agent="Joker", model="scripted/joker"),
    ]
    store = Hook(onRunStart=lambda *_: Session(turns=turns, stack=["Main", "Joker"]))
    helpers = {"Joker": JOKER["Joker"] | {"handoff": "return"}}
    stage = bench({"main": ["Funny."], "joker": ["never asked"]}, middleware=[store], helpers=helpers)
    session = await stage.ask(None)
    assert stage.requests("joker") == []
    assert short(session.turns)[2:] == ["user: [Joker is done. Its last answer: Ha.]", "assistant: Funny."]
    assert session.stack == ["Main"]


async def test_words_that_broke_off_are_no_answer() -> None:
    stage = bench(["Done."], middleware=[answered("Do", model=None)])
    session = await stage.ask(None)
    assert short(session.turns) == ["user: Do it", "assistant: Do", "assistant: Done."]


@pytest.mark.parametrize("said", ["And now?", None])
@pytest.mark.parametrize(
    "forged",
    [
        ToolCall(id="other", name="pay"),  # nobody has recorded it
        ToolCall(id="never", name="look"),  # recorded with another name
        ToolCall(id="never", name="pay", args={"amount": 5}),  # or other arguments
        ToolCall(id="begun", name="look", args={"at": "home"}),
    ],
)
async def test_a_call_that_no_run_of_the_store_has_recorded_is_never_made(
    said: str | None, forged: ToolCall
) -> None:
    shop = Shop()

    def load(session: Session, ctx: Context) -> Session:
        loaded = died(ctx, begun=True)
        loaded.turns[-1].tool_calls = [forged]
        return loaded

    stage = bench(["Well."], middleware=[Hook(onRunStart=load)], tools=[shop.pay, shop.look])
    session = await stage.ask(said)
    assert shop.done == []
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == ["skipped"]
    check_history(session.turns)
