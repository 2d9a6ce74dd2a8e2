"""However a run goes: it is the same streaming or not, and each middleware sees it end exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auwgent.errors import AuwgentError
from tests.support.bench import Bench, Gate, Hook, Recorder, asks_helper, bench, calls, check_history, short

HELPER = {"Joker": {"description": "Jokes", "model": "joker", "prompt": "You joke."}}
BYE = {"Bye": {"fields": {"reason": "string"}, "terminal": True}}
NUMBER = {
    "type": "object",
    "title": "Number",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
}


def ping() -> str:
    """Ping."""
    return "pong"


def fail() -> None:
    """Fail."""
    raise ValueError("no luck")


def fails(*_: Any) -> None:
    raise OSError("no room")


def on(name: str, answer: Any) -> Hook:
    """A middleware that answers to that intent."""

    def onIntent(intent: str, value: Any, ctx: Any) -> Any:
        if intent == name:
            return answer() if callable(answer) else answer
        return None

    return Hook(onIntent=onIntent)


def says(decision: Any) -> Hook:
    """A middleware that decides so about errors."""
    return Hook(onError=lambda *_: decision)


DOWN = {"error": {"status": 503}}
Make = Callable[..., Bench]

RUNS: dict[str, tuple[str, Make]] = {
    "an answer": ("completed", lambda *by: bench(["Hi."], middleware=by)),
    "a tool": ("completed", lambda *by: bench([calls("ping"), "Hi."], middleware=by, tools=[ping])),
    "a tool that fails": (
        "completed",
        lambda *by: bench([calls("fail"), "Oh."], middleware=by, tools=[fail]),
    ),
    "no such tool": ("completed", lambda *by: bench([calls("rm"), "Oh."], middleware=by, tools=[ping])),
    "a call is skipped": (
        "completed",
        lambda *by: bench(
            [calls("ping"), "Oh."], middleware=[on("tool_call", {"skip": True}), *by], tools=[ping]
        ),
    ),
    "a call is answered": (
        "completed",
        lambda *by: bench(
            [calls("ping"), "Oh."], middleware=[on("tool_call", {"result": 1}), *by], tools=[ping]
        ),
    ),
    "an answer is replaced": (
        "completed",
        lambda *by: bench(["Hi."], middleware=[on("response_text", {"result": "Ho."}), *by]),
    ),
    "a reply is given": (
        "completed",
        lambda *by: bench(
            [], middleware=[Hook(onLLMStart=lambda prompt, ctx: ctx.__setitem__("modelReply", "Kept.")), *by]
        ),
    ),
    "a helper": (
        "completed",
        lambda *by: bench(
            {"main": [asks_helper("Joker"), "Ha."], "joker": ["Knock."]}, middleware=by, helpers=HELPER
        ),
    ),
    "a helper that fails": (
        "completed",
        lambda *by: bench(
            {"main": [asks_helper("Joker"), "Oh."], "joker": [DOWN]}, middleware=by, helpers=HELPER
        ),
    ),
    "an intent that ends it": (
        "completed",
        lambda *by: bench([calls(("Bye", {"reason": "late"}))], middleware=by, intents=BYE),
    ),
    "data that is repaired": (
        "completed",
        lambda *by: bench(['{"number": "x"}', '{"number": 1}'], middleware=by, output=NUMBER),
    ),
    "an error that is swallowed": (
        "completed",
        lambda *by: bench([DOWN], middleware=[says({"swallow": True, "response": "Later."}), *by]),
    ),
    "a model call that is repeated": (
        "completed",
        lambda *by: bench(
            [{"text": "Hi.", "error": {"status": 503, "times": 2}}],
            middleware=[says({"forceStart": "llm_start"}), *by],
        ),
    ),
    "a run that is started again": (
        "completed",
        lambda *by: bench(
            [{"text": "Hi.", "error": {"status": 503, "times": 2}}],
            middleware=[says({"forceStart": "run_start"}), *by],
        ),
    ),
    "a model that fails": ("failed", lambda *by: bench([DOWN], middleware=by)),
    "data that cannot be repaired": (
        "failed",
        lambda *by: bench(['{"number": "x"}'] * 3, middleware=by, output=NUMBER),
    ),
    "a limit": (
        "failed",
        lambda *by: bench([calls("ping")] * 3, middleware=by, tools=[ping], limits={"llm_calls": 2}),
    ),
    "a hook that fails at the model call": (
        "failed",
        lambda *by: bench(middleware=[*by, Hook(onLLMStart=fails)]),
    ),
    "a hook that fails at a call": (
        "failed",
        lambda *by: bench([calls("ping")], middleware=[*by, on("tool_call", fails)], tools=[ping]),
    ),
    "a hook that fails at the answer": (
        "failed",
        lambda *by: bench(["Hi."], middleware=[*by, on("response_text", fails)]),
    ),
    "a hook that fails at an error": (
        "failed",
        lambda *by: bench([DOWN], middleware=[*by, Hook(onError=fails)]),
    ),
    "a start that fails": ("failed", lambda *by: bench(middleware=[*by, Hook(onRunStart=fails)])),
    "a save that fails": ("completed", lambda *by: bench(middleware=[*by, Hook(onRunComplete=fails)])),
}


async def trace(make: Make, stream: bool) -> tuple[Any, list[str]]:
    """What a run shows of itself, and the hooks that fired."""
    log: list[str] = []
    agent = make(Recorder(log, "1 "), Recorder(log, "2 "))
    failure = ""
    try:
        await agent.ask(stream=stream)
    except AuwgentError as error:
        failure = str(error)
    assert stream or agent.partials == []
    check_history(agent.session.turns)
    values = [(name, {**value, "id": None}) for name, value in agent.heard]
    return (failure, values, short(agent.session.turns), agent.session.stack), log


@pytest.mark.parametrize("name", RUNS)
async def test_a_run_is_the_same_streaming_or_not_and_ends_once(name: str) -> None:
    status, make = RUNS[name]
    shown, log = await trace(make, stream=True)
    assert (shown, log) == await trace(make, stream=False)
    ends = [line for line in log if "onRunComplete" in line]
    assert ends == [f"2 onRunComplete({status}) Main", f"1 onRunComplete({status}) Main"]
    assert log[-2:] == ends


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
async def test_a_cancelled_run_ends_once_as_well(stream: bool) -> None:
    gate, log = Gate(), Recorder()

    async def wait() -> None:
        """Wait."""
        await gate.passes()

    agent = bench([calls("wait")], middleware=[log], tools=[wait])
    task = asyncio.create_task(agent.ask(stream=stream))
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line for line in log.log if "onRunComplete" in line] == ["onRunComplete(cancelled) Main"]
