"""Cancellation at every point of a run: the history stays valid, and the hooks see the run end once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from auwgent.engine.agent import BackOff
from auwgent.errors import MiddlewareError
from auwgent.session import NEVER_BEGUN, UNKNOWN, Session
from tests.support.bench import Bench, Gate, Hook, asks_helper, bench, calls, check_history, short


class Ends:
    """A middleware that notes how runs end."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str]]] = []

    async def onRunComplete(self, session: Session, ctx: Any) -> None:
        check_history(session.turns)
        await asyncio.sleep(0)
        self.seen.append((ctx.status, short(session.turns)))


async def cancelled_at(agent: Bench, gate: Gate) -> None:
    """Run, and cancel where the gate is reached."""
    task = asyncio.create_task(agent.ask())
    async with asyncio.timeout(5):
        await gate.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def at(name: str, gate: Gate) -> Any:
    """An `onIntent` that stops at the first intent of that name."""

    async def onIntent(intent: str, value: Any, ctx: Any) -> None:
        if intent == name:
            await gate.passes()

    return onIntent


def checkpoint(moment: str, gate: Gate) -> Any:
    async def onCheckpoint(session: Session, ctx: Any) -> None:
        if ctx["checkpoint"]["at"] == moment:
            await gate.passes()

    return onCheckpoint


STARTED = ["user: Hello"]
CALLED = ["user: Hello", "?ping", f"ping={NEVER_BEGUN}"]
BEGUN = ["user: Hello", "?ping", f"ping={UNKNOWN}"]
DONE = ["user: Hello", "?ping", "ping=pong"]


@pytest.mark.parametrize(
    ("hooks", "kept"),
    [
        (lambda gate: {"onRunStart": gate.passes}, []),
        (lambda gate: {"onLLMStart": gate.passes}, STARTED),
        (lambda gate: {"onCheckpoint": checkpoint("llm_start", gate)}, STARTED),
        (lambda gate: {"onIntent": at("tool_call", gate)}, CALLED),
        (lambda gate: {"onCheckpoint": checkpoint("tool_start", gate)}, CALLED),
        (lambda gate: {"onIntent": at("tool_result", gate)}, BEGUN),
        (lambda gate: {"onCheckpoint": checkpoint("tool_end", gate)}, DONE),
        (lambda gate: {"onIntent": at("response_text", gate)}, DONE),
        (lambda gate: {"onLLMEnd": gate.passes}, [*DONE, "assistant: Bye."]),
    ],
    ids=[
        "onRunStart",
        "onLLMStart",
        "before the model call",
        "tool_call",
        "before the tool",
        "tool_result",
        "after the tool",
        "response_text",
        "onLLMEnd",
    ],
)
async def test_a_cancel_in_a_hook_keeps_what_there_was(hooks: Any, kept: list[str]) -> None:
    async def ping() -> str:
        """Ping."""
        return "pong"

    gate, ends = Gate(), Ends()
    agent = bench([calls("ping"), "Bye."], tools=[ping], middleware=[ends, Hook(**hooks(gate))])
    await cancelled_at(agent, gate)
    assert ends.seen == [("cancelled", kept)]


async def test_a_cancel_while_the_model_speaks_keeps_what_it_said() -> None:
    gate, ends = Gate(), Ends()

    async def handler(name: str, value: Any, agent: str) -> None:
        if value["raw"] == "One two":
            await gate.passes()

    agent = bench(["One two three."], partial_handler=handler, middleware=[ends])
    await cancelled_at(agent, gate)
    assert ends.seen == [("cancelled", ["user: Hello", "assistant: One two"])]


async def test_a_cancel_while_the_model_is_silent_keeps_the_question() -> None:
    gate, ends = Gate(), Ends()
    agent = bench(
        [{"text": "late", "delay": 50.0}], middleware=[ends, Hook(onLLMStart=lambda *_: gate.reached.set())]
    )
    await cancelled_at(agent, gate)
    assert ends.seen == [("cancelled", STARTED)]


async def test_a_cancel_in_a_tool_leaves_its_siblings_results() -> None:
    gate, ends = Gate(), Ends()

    async def quick() -> str:
        """Done at once."""
        return "quick"

    async def slow() -> str:
        """Never done."""
        await gate.passes()
        return "never"

    async def reached(session: Session, ctx: Any) -> None:
        if ctx["checkpoint"] == {**ctx["checkpoint"], "at": "tool_end", "name": "quick"}:
            quick_done.set()

    quick_done = asyncio.Event()
    agent = bench(
        [calls("slow", "quick"), "Bye."], tools=[quick, slow], middleware=[ends, Hook(onCheckpoint=reached)]
    )
    task = asyncio.create_task(agent.ask())
    async with asyncio.timeout(5):
        await gate.reached.wait()
        await quick_done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ends.seen == [("cancelled", ["user: Hello", "?slow", "?quick", f"slow={UNKNOWN}", "quick=quick"])]
    results = [turn.outcome for turn in agent.session.turns if turn.role == "tool"]
    assert results == ["unknown", "ok"]


async def test_a_cancel_in_a_plain_function_does_not_wait_for_its_thread() -> None:
    reached, leave = threading.Event(), threading.Event()
    ends = Ends()

    def slow() -> str:
        """Cannot be stopped."""
        reached.set()
        leave.wait(10)
        return "late"

    agent = bench([calls("slow"), "Bye."], tools=[slow], middleware=[ends])
    task = asyncio.create_task(agent.ask())
    try:
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        leave.set()
    assert [status for status, _ in ends.seen] == ["cancelled"]


async def test_a_cancel_in_a_helper_keeps_what_it_said_under_its_name() -> None:
    gate, ends = Gate(), Ends()

    async def handler(name: str, value: Any, agent: str) -> None:
        if (agent, value["raw"]) == ("Joker", "Knock"):
            await gate.passes()

    agent = bench(
        {"main": [asks_helper("Joker")], "joker": ["Knock knock."]},
        helpers={"Joker": {"description": "Jokes", "model": "joker", "prompt": ""}},
        partial_handler=handler,
        middleware=[ends],
    )
    await cancelled_at(agent, gate)
    assert short(agent.session.turns, "Joker") == ["user: Do it", "assistant: Knock"]
    assert agent.session.stack == ["Main"]
    assert len(ends.seen) == 1


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_a_cancel_while_the_session_is_saved_waits_for_the_save(cancels: int) -> None:
    gate = Gate()
    saved: list[str] = []

    async def save(session: Session, ctx: Any) -> None:
        await gate.passes()
        saved.append(session.text)

    agent = bench(["The answer."], middleware=[Hook(onRunComplete=save)])
    task = asyncio.create_task(agent.ask())
    await gate.reached.wait()
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert saved == ["The answer."]


async def test_a_second_cancel_waits_until_the_cancelled_run_is_saved() -> None:
    speaking, saving = Gate(), Gate()
    saved: list[str] = []

    async def save(session: Session, ctx: Any) -> None:
        await saving.passes()
        saved.append(ctx.status)

    agent = bench(["Hi."], middleware=[Hook(onLLMStart=speaking.passes, onRunComplete=save)])
    task = asyncio.create_task(agent.ask())
    await speaking.reached.wait()
    task.cancel()
    await saving.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    saving.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert saved == ["cancelled"]


async def test_a_cancel_while_a_failure_is_reported_still_saves() -> None:
    gate, ends = Gate(), Ends()
    agent = bench([{"error": {"status": 503}}], middleware=[ends, Hook(onIntent=at("error", gate))])
    await cancelled_at(agent, gate)
    assert ends.seen == [("cancelled", STARTED)]


async def test_a_cancel_during_the_wait_before_a_forced_start_saves() -> None:
    waiting = Gate()
    ends = Ends()

    def onError(error: Exception, session: Session, ctx: Any) -> Any:
        waiting.reached.set()
        return {"forceStart": "llm_start"}

    agent = bench([{"error": {"status": 429, "retry_after": 60}}], middleware=[ends, Hook(onError=onError)])
    agent.change(back_off=BackOff(longest=60.0))
    await cancelled_at(agent, waiting)
    assert ends.seen == [("cancelled", STARTED)]


async def test_a_failed_save_of_a_cancelled_run_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    agent = bench(["Hi."], middleware=[Hook(onLLMStart=gate.passes, onRunComplete=fails)])
    await cancelled_at(agent, gate)
    assert "disk full" in caplog.text


async def test_a_failed_save_while_being_cancelled_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    async def fails(*_: Any) -> None:
        await gate.passes()
        raise OSError("disk full")

    agent = bench(["Hi."], middleware=[Hook(onRunComplete=fails)])
    task = asyncio.create_task(agent.ask())
    await gate.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    with pytest.raises((asyncio.CancelledError, MiddlewareError)):
        await task
    assert "disk full" in caplog.text


async def test_the_next_run_goes_on_after_a_cancelled_one() -> None:
    gate = Gate()

    async def ping() -> str:
        """Ping."""
        if not gate.opened.is_set():
            await gate.passes()
        return "pong"

    agent = bench([calls("ping"), "Go on."], tools=[ping])
    await cancelled_at(agent, gate)
    session = await agent.ask("And now?", session=agent.session)
    assert session.text == "Go on."
    assert short(agent.requests()[-1].turns) == [*BEGUN, "user: And now?"]
