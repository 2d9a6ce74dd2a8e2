"""The intents of a run: their sequence, their payloads, the partial ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import LimitExceeded
from tests.support.bench import Hook, bench, calls, check_history, short

LOUD = {"Loud": {"description": "Think aloud", "fields": {"reason": "string"}}}
BYE = {"Bye": {"fields": {"reason": "string"}, "terminal": True}}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_intents_carry_agent_run_number_and_time() -> None:
    agent = bench([calls(("add", {"a": 1, "b": 2})), "3"], tools=[add])
    await agent.ask()
    everything = sorted([*agent.intents, *agent.model_calls, *agent.partials], key=lambda intent: intent.seq)
    assert [intent.seq for intent in everything] == list(range(1, len(everything) + 1))
    assert agent.run is not None
    assert {intent.run_id for intent in everything} == {agent.run.run_id}
    assert {intent.agent for intent in everything} == {"Main"}
    assert [intent.time for intent in everything] == sorted(intent.time for intent in everything)
    assert everything[0].time.utcoffset() is not None
    assert all(json.dumps(intent.as_json()) for intent in everything)


async def test_pieces_of_a_text_add_up_to_it() -> None:
    agent = bench(["One two three."])
    await agent.ask()
    final = agent.heard[-1][1]["text"]
    values = [piece.value for piece in agent.partials]
    assert "".join(value["delta"] for value in values) == final
    assert len(values) == 3
    assert [value["raw"] for value in values] == ["One", "One two", "One two three."]
    assert [value["snapshot"] for value in values] == [{"text": value["raw"]} for value in values]
    assert {piece.name for piece in agent.partials} == {"response_text"}
    expected = {"partial": True, "complete": False, "mode": "text", "segment": 0}
    assert all({key: value[key] for key in expected} == expected for value in values)
    assert {frozenset(value) for value in values} == {
        frozenset({*expected, "snapshot", "raw", "delta"}),
    }


async def test_pieces_of_calls_add_up_and_blocks_are_told_apart() -> None:
    replies = [calls(("add", {"a": 1, "b": 2}), ("Loud", {"reason": "so"}), text="Hm."), "Done."]
    agent = bench(replies, tools=[add], intents=LOUD)
    await agent.ask()
    blocks: dict[int, list[Any]] = {}
    for piece in agent.partials:
        blocks.setdefault(piece.value["segment"], []).append(piece)
    said = [(pieces[-1].name, pieces[-1].value["snapshot"]) for pieces in blocks.values()]
    assert said == [
        ("response_text", {"text": "Hm."}),
        ("tool_call", {"type": "add", "args": {"a": 1, "b": 2}}),
        ("Loud", {"reason": "so"}),
        ("response_text", {"text": "Done."}),
    ]
    for pieces in blocks.values():
        assert "".join(piece.value["delta"] for piece in pieces) == pieces[-1].value["raw"]
        assert all(
            piece.value["partial"] is True and piece.value["complete"] is False and piece.partial
            for piece in pieces
        )
    assert {piece.value["mode"] for piece in agent.partials if piece.name != "response_text"} == {
        "structured"
    }


async def test_what_was_not_declared_is_not_even_shown_partly() -> None:
    agent = bench([calls(("rm", {"path": "/"})), "Sorry."])
    await agent.ask()
    assert {piece.name for piece in agent.partials} == {"response_text"}
    assert agent.names == ["tool_error", "response_text"]


async def test_without_a_listener_whole_answers_are_asked_for() -> None:
    agent = bench(["One two."])
    await agent.ask(stream=False)
    assert agent.partials == []
    assert not agent.requests()[0].stream
    assert agent.heard == [("response_text", {"text": "One two."})]


async def test_hooks_and_handlers_hear_of_pieces() -> None:
    hook: list[tuple[str, str]] = []
    handler: list[tuple[str, str]] = []
    agent = bench(
        ["One two."],
        middleware=[Hook(onIntentPartial=lambda name, value, ctx: hook.append((name, value["delta"])))],
        partial_handler=lambda name, value, agent: handler.append((name, value["delta"])),
    )
    await agent.ask()
    assert hook == handler == [("response_text", "One"), ("response_text", " two.")]


async def test_handlers_hear_of_whole_intents() -> None:
    heard: list[tuple[str, Any, str]] = []
    agent = bench(["Hi."], handler=lambda *intent: heard.append(intent))
    await agent.ask()
    assert [name for name, _, _ in heard] == ["model_call", "response_text"]
    assert heard[1] == ("response_text", {"text": "Hi."}, "Main")


async def test_a_call_that_is_skipped_is_told_and_the_run_goes_on() -> None:
    ran: list[int] = []

    def note() -> None:
        """Notes."""
        ran.append(1)

    agent = bench(
        [calls("note"), "I may not."],
        tools=[note],
        middleware=[Hook(onIntent=lambda name, value, ctx: {"skip": True} if name == "tool_call" else None)],
    )
    session = await agent.ask()
    assert ran == []
    assert agent.names == ["tool_call", "tool_skipped", "response_text"]
    assert agent.heard[1][1] == {"type": "note", "args": {}, "id": agent.heard[0][1]["id"]}
    assert session.turns[2].outcome == "skipped"
    assert "skipped" in agent.requests()[1].turns[-1].text
    check_history(session.turns)


async def test_a_call_that_is_answered_by_a_hook_does_not_run() -> None:
    ran: list[int] = []

    def note() -> None:
        """Notes."""
        ran.append(1)

    def answer(name: str, value: Any, ctx: Any) -> Any:
        return {"result": {"ok": True}} if name == "tool_call" else None

    agent = bench([calls("note"), "Done."], tools=[note], middleware=[Hook(onIntent=answer)])
    session = await agent.ask()
    assert ran == []
    assert agent.names == ["tool_call", "tool_result", "response_text"]
    assert agent.heard[1][1] == {
        "name": "note",
        "args": {},
        "result": {"ok": True},
        "id": agent.heard[0][1]["id"],
        "overridden": True,
    }
    assert session.turns[2].text == '{"ok":true}'


async def test_a_replaced_result_is_what_the_model_reads() -> None:
    def censor(name: str, value: Any, ctx: Any) -> Any:
        return {"result": "[hidden]"} if name == "tool_result" else None

    agent = bench(
        [calls(("add", {"a": 1, "b": 2})), "Done."], tools=[add], middleware=[Hook(onIntent=censor)]
    )
    session = await agent.ask()
    assert agent.heard[1][1]["result"] == "[hidden]"
    assert agent.heard[1][1]["overridden"] is True
    assert agent.requests()[1].turns[-1].text == "[hidden]"
    assert session.turns[2].text == "[hidden]"


async def test_a_replaced_answer_is_what_the_user_and_the_history_get() -> None:
    def censor(name: str, value: Any, ctx: Any) -> Any:
        return {"result": "[hidden]"} if name == "response_text" else None

    agent = bench(["The secret."], middleware=[Hook(onIntent=censor)])
    session = await agent.ask()
    assert agent.heard == [("response_text", {"text": "[hidden]"})]
    assert session.text == "[hidden]"
    assert "secret" not in session.model_dump_json()


async def test_a_guard_may_put_the_arguments_right_in_place() -> None:
    def restore(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            value["args"]["a"] = 10

    agent = bench(
        [calls(("add", {"a": 1, "b": 2})), "Done."], tools=[add], middleware=[Hook(onIntent=restore)]
    )
    session = await agent.ask()
    assert agent.heard[1][1]["result"] == 12
    assert session.turns[1].tool_calls is not None
    assert session.turns[1].tool_calls[0].args == {"a": 1, "b": 2}


async def test_arguments_that_a_hook_spoils_are_not_run() -> None:
    def spoil(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            value["args"]["a"] = "ten"

    agent = bench([calls(("add", {"a": 1, "b": 2})), "Done."], tools=[add], middleware=[Hook(onIntent=spoil)])
    await agent.ask()
    assert agent.names == ["tool_call", "tool_error", "response_text"]


async def test_an_intent_of_ones_own_is_emitted_and_the_run_goes_on() -> None:
    agent = bench([calls(("Loud", {"reason": "why not"})), "Done."], intents=LOUD)
    session = await agent.ask()
    assert agent.heard == [("Loud", {"reason": "why not"}), ("response_text", {"text": "Done."})]
    assert short(session.turns) == ["user: Hello", "?Loud", "Loud=ok", "assistant: Done."]
    assert [tool.name for tool in agent.requests()[0].tools] == ["Loud"]


async def test_fields_that_do_not_fit_are_told_to_the_model() -> None:
    agent = bench([calls(("Loud", {"reason": 5})), "Done."], intents=LOUD)
    await agent.ask()
    assert agent.names == ["tool_error", "response_text"]


async def test_a_terminal_intent_ends_the_run() -> None:
    ended: list[Any] = []
    agent = bench(
        [calls(("Bye", {"reason": "late"})), "never asked"],
        intents=BYE,
        middleware=[Hook(onLLMEnd=lambda response, ctx: ended.append(response))],
    )
    session = await agent.ask()
    assert agent.heard == [("Bye", {"reason": "late"})]
    assert len(agent.requests()) == 1
    assert session.stack == ["Main"]
    assert ended == [{"reason": "late"}]
    check_history(session.turns)


async def test_an_intent_that_is_skipped_is_heard_by_nobody_and_ends_nothing() -> None:
    guard = Hook(onIntent=lambda name, value, ctx: {"skip": True} if name == "Bye" else None)
    agent = bench([calls(("Bye", {"reason": "bored"})), "As you like."], intents=BYE, middleware=[guard])
    session = await agent.ask()
    assert agent.heard == [("response_text", {"text": "As you like."})]
    assert session.turns[2].outcome == "skipped"
    assert "skipped" in agent.requests()[1].turns[2].text


async def test_calls_beside_a_terminal_intent_are_done() -> None:
    agent = bench([calls(("Bye", {"reason": "late"}), ("add", {"a": 1, "b": 2}))], tools=[add], intents=BYE)
    session = await agent.ask()
    assert agent.names == ["tool_call", "Bye", "tool_result"]
    check_history(session.turns)


async def test_an_intent_of_another_agent_is_not_there() -> None:
    agent = bench([calls(("Loud", {"reason": "x"})), "Done."], intents=LOUD, emits=[])
    await agent.ask()
    assert agent.names == ["tool_error", "response_text"]


# Approval


def delete(user: str) -> str:
    """Delete a user."""
    return f"{user} is gone"


ASK = [{"use": delete, "approve": "ask"}]
DENY = [{"use": delete, "approve": "deny"}]


@pytest.mark.parametrize(("tools", "approver"), [(ASK, None), (DENY, None), (DENY, lambda request: True)])
async def test_without_a_yes_a_call_is_denied_and_the_model_told(tools: Any, approver: Any) -> None:
    agent = bench([calls(("delete", {"user": "bob"})), "I may not."], tools=tools, approver=approver)
    session = await agent.ask()
    assert agent.names == ["tool_call", "tool_skipped", "response_text"]
    assert session.turns[2].outcome == "denied"
    assert "denied" in session.turns[2].text


@pytest.mark.parametrize("answer", [False, None, "yes", 1])
async def test_only_true_is_a_yes(answer: Any) -> None:
    agent = bench([calls(("delete", {"user": "bob"})), "ok"], tools=ASK, approver=lambda request: answer)
    await agent.ask()
    assert "tool_skipped" in agent.names


@pytest.mark.parametrize("waits", [False, True])
async def test_the_question_names_run_call_and_arguments_and_is_asked_once(waits: bool) -> None:
    asked: list[ApprovalRequest] = []

    def plain(request: ApprovalRequest) -> bool:
        asked.append(request)
        return bool(request.args["user"] == "bob")

    async def later(request: ApprovalRequest) -> bool:
        await asyncio.sleep(0)
        return plain(request)

    agent = bench(
        [calls(("delete", {"user": "bob"}), ("delete", {"user": "eve"})), "ok"],
        tools=ASK,
        approver=later if waits else plain,
    )
    session = await agent.ask()
    assert agent.run is not None
    results = {turn.tool_call_id: (turn.text, turn.outcome) for turn in session.turns if turn.role == "tool"}
    assert [results[request.call_id][1] for request in asked] == ["ok", "denied"]
    assert {request.run_id for request in asked} == {agent.run.run_id}
    assert [(request.tool, request.agent, dict(request.args)) for request in asked] == [
        ("delete", "Main", {"user": "bob"}),
        ("delete", "Main", {"user": "eve"}),
    ]


async def test_who_answers_cannot_change_what_is_run() -> None:
    def approve(request: ApprovalRequest) -> bool:
        assert isinstance(request.args, dict)
        request.args["user"] = "root"
        return True

    agent = bench([calls(("delete", {"user": "bob"})), "ok"], tools=ASK, approver=approve)
    session = await agent.ask()
    assert session.turns[2].text == "bob is gone"


async def test_the_arguments_that_will_run_are_the_ones_that_are_asked_about() -> None:
    asked: list[Any] = []

    def restore(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            value["args"]["user"] = "root"

    def approve(request: ApprovalRequest) -> bool:
        asked.append(dict(request.args))
        return True

    agent = bench(
        [calls(("delete", {"user": "bob"})), "ok"],
        tools=ASK,
        approver=approve,
        middleware=[Hook(onIntent=restore)],
    )
    session = await agent.ask()
    assert asked == [{"user": "root"}]
    assert session.turns[2].text == "root is gone"


async def test_no_call_of_a_message_runs_before_all_were_decided() -> None:
    seen: list[str] = []

    def free() -> str:
        """Needs no approval."""
        seen.append("run free")
        return "ok"

    def approve(request: ApprovalRequest) -> bool:
        seen.append("asked")
        return False

    agent = bench([calls("free", ("delete", {"user": "bob"})), "ok"], tools=[free, *ASK], approver=approve)
    await agent.ask()
    assert seen == ["asked", "run free"]


async def test_a_guard_that_raises_keeps_all_calls_of_a_message_from_running() -> None:
    ran: list[str] = []

    def free() -> str:
        """Harmless."""
        ran.append("free")
        return "ok"

    def guard(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call" and value["type"] == "delete":
            raise LimitExceeded("no", key="mine")

    agent = bench(
        [calls("free", ("delete", {"user": "bob"})), "ok"],
        tools=[free, delete],
        middleware=[Hook(onIntent=guard)],
    )
    with pytest.raises(LimitExceeded):
        await agent.ask()
    assert ran == []
    check_history(agent.session.turns)
