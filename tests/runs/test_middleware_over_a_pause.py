"""The bundled middleware is right over a pause: each leg frames it anew, and another process may have the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auwgent import LimitExceeded
from auwgent.middleware import (
    Audit,
    Budget,
    Cache,
    Compaction,
    RateLimit,
    Redact,
    Remember,
    SQLModelSessions,
    Trace,
)
from auwgent.middleware.remember import remember
from tests.support.collector import collector
from tests.support.till import PAY, Till, outcomes, texts

MAIL = "ada@example.org"
AGAIN = [{"tool_calls": [{"id": "p1", "name": "pay", "args": {"euro": 7}}]}]


async def paid(url: str, make: Any, **more: Any) -> tuple[Till, Any]:
    """Ask in one process, answer in another, each with its own middleware; gives the second and its session."""
    async with Till(url, behind=[make()], **more) as till:
        assert (await till.agent.run("Please pay", session_id="s1", run_id="r1")).status == "paused"
    async with Till(url, behind=[make()], **more) as other:
        session = await other.agent.run(None, session_id="s1", answers={"p1": True})
        assert outcomes(session) == {"p1": "ok"}
        return other, session


async def test_rate_limit_counts_a_run_once(url: str, tmp_path: Path) -> None:
    def make() -> RateLimit:
        return RateLimit(runs=1, per="1h", url=f"sqlite:///{tmp_path}/limits.db")

    await paid(url, make)
    async with Till(url, behind=[make()]) as late:
        with pytest.raises(LimitExceeded, match="more than 1 runs"):
            await late.agent.run("Please pay", session_id="s2")


async def test_budget_of_a_run_is_one_over_its_legs(url: str, tmp_path: Path) -> None:
    def make() -> Budget:
        return Budget(run={"tool_calls": 1}, url=f"sqlite:///{tmp_path}/limits.db")

    async with Till(url, AGAIN, behind=[make()]) as till:
        await till.agent.run("Please pay", session_id="s1")
    async with Till(url, AGAIN, behind=[make()]) as other:
        with pytest.raises(LimitExceeded):  # at the next call: the one that was answered is counted already
            await other.agent.run(None, session_id="s1", answers={"p1": True})
        assert other.done == [7]


@pytest.mark.parametrize("window", [None, 2])
async def test_budget_of_a_session_counts_each_leg_once_and_a_fork_begins_with_what_its_turns_have_used(
    url: str, tmp_path: Path, window: int | None
) -> None:
    def made() -> Till:
        budget = Budget(session={"calls": 4}, url=f"sqlite:///{tmp_path}/limits.db")
        return Till(None, behind=[SQLModelSessions(url, window=window), budget])

    async with made() as till:
        await till.agent.run("Hello", session_id="s1")
        assert (await till.agent.run("Please pay", session_id="s1")).status == "paused"
    async with made() as other:
        await other.agent.run(None, session_id="s1", answers={"p1": True})  # the third call
        await other.store.fork("", "s1", "s2")
        for name in ("s1", "s2"):
            await other.agent.run("Hello", session_id=name)
            with pytest.raises(LimitExceeded, match="4 of 4 model calls"):
                await other.agent.run("Hello", session_id=name)


async def test_what_redact_restores_is_neither_stored_nor_shown_and_comes_from_its_vault(
    url: str, tmp_path: Path
) -> None:
    sent: list[str] = []

    async def send(to: str) -> str:
        """Sends."""
        sent.append(to)
        return "sent"

    vault = f"sqlite:///{tmp_path}/secrets.db"
    replies = [
        {"when": "send", "tool_calls": [{"id": "p1", "name": "send", "args": {"to": "[EMAIL_1]"}}]},
        "Sent.",
    ]
    tools = {"tools": [{"use": send, "approve": "ask"}]}

    def till() -> Till:
        return Till(url, replies, behind=[Redact(restore=["send"], vault=vault)], agent=tools)

    async with till() as asks:
        intents = await asks.heard(f"Please send it to {MAIL}", session_id="s1")
        [question] = intents[-1][1]["calls"]
        assert question["args"] == {"to": "[EMAIL_1]"}
        assert MAIL not in (await asks.store.get("", "s1")).model_dump_json()
        assert MAIL not in json.dumps((await asks.store.runs(""))[0].calls)
    async with till() as other:
        session = await other.agent.run(None, session_id="s1", answers={"p1": True})
    assert (sent, outcomes(session)) == ([MAIL], {"p1": "ok"})
    assert MAIL not in session.model_dump_json()


async def test_audit_tells_of_each_leg(url: str, tmp_path: Path) -> None:
    await paid(url, lambda: Audit(path=str(tmp_path / "audit.jsonl")))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    text = json.dumps(lines)
    assert text.count('"paused"') >= 1
    assert text.count('"completed"') >= 1
    assert {line["run_id"] for line in lines if "run_id" in line} <= {"r1"}


async def test_cache_answers_in_a_later_leg(url: str, tmp_path: Path) -> None:
    def make() -> Cache:
        return Cache(tools=True, url=f"sqlite:///{tmp_path}/cache.db")

    _, first = await paid(url, make)
    assert first.usage.output_tokens > 0
    async with Till(url, behind=[make()]) as cached:
        assert (await cached.agent.run("Please pay", session_id="s2")).status == "paused"
        session = await cached.agent.run(None, session_id="s2", answers={"p1": True})
    assert (session.text, session.usage.output_tokens) == ("It is paid.", 0)


async def test_compaction_keeps_calls_and_results_together(url: str) -> None:
    async with Till(url, behind=[Compaction(turns=4, strategy="drop")]) as till:
        for number in range(4):
            await till.agent.run(f"Hello {number}", session_id="s1")
        assert (await till.agent.run("Please pay", session_id="s1")).status == "paused"
    async with Till(url, behind=[Compaction(turns=4, strategy="drop")]) as other:
        session = await other.agent.run(None, session_id="s1", answers={"p1": True})
    assert (session.text, texts(session)["p1"], other.done) == ("It is paid.", "paid", [7])


async def test_a_summary_of_a_leg_is_used_in_the_next_one_and_asked_for_once(url: str) -> None:
    class Sent:
        def onLLMStart(self, prompt: str, ctx: Any) -> None:
            self.first = ctx.messages[0].text

    scripts: dict[str, list[Any]] = {"main": PAY, "small": ["She is allergic to nuts.", "Lost."]}

    def made() -> tuple[Till, Sent]:
        sent, compaction = Sent(), Compaction(turns=6, strategy="summarise", model="small")
        return Till(url, scripts, behind=[compaction, sent]), sent

    till, _ = made()
    async with till:
        for number in range(3):
            await till.agent.run(f"Hello {number}", session_id="s1")
        assert (await till.agent.run("Please pay", session_id="s1")).status == "paused"
    other, sent = made()
    async with other:
        session = await other.agent.run(None, session_id="s1", answers={"p1": True})
    assert session.text == "It is paid."
    assert sent.first.endswith("She is allergic to nuts.")
    assert len(session.turns) == 10


async def test_the_trace_of_a_later_leg_is_linked_to_the_first(url: str) -> None:
    with collector() as there:
        async with Till(url, behind=[Trace(endpoint=there.url)]) as till:
            await till.agent.run("Please pay", session_id="s1", run_id="r1")
        async with Till(url, behind=[Trace(endpoint=there.url)]) as other:
            await other.agent.run(None, session_id="s1", answers={"p1": True})
        first, second = [span for span in there.spans if span.name == "invoke_agent Main"]
    assert list(first.links) == []
    [link] = second.links
    assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    assert first.status.code != 2  # a pause is no error


@pytest.mark.parametrize(("answer", "told"), [(True, ["Pays in euro."]), (None, [])])
async def test_remember_waits_for_the_leg_that_completes(
    url: str, tmp_path: Path, answer: bool | None, told: list[str]
) -> None:
    noting = {"id": "n1", "name": "remember", "args": {"fact": "Pays in euro."}}
    first = {"when": "pay", "tool_calls": [noting, *AGAIN[0]["tool_calls"]]}

    def make() -> tuple[Till, Remember]:
        memory = Remember(url=f"sqlite:///{tmp_path}/memory.db")
        return Till(url, [first, "It is paid."], behind=[memory], tools=[remember]), memory

    asks, memory = make()
    async with asks:
        assert (await asks.agent.run("Please pay", session_id="s1", run_id="r1")).status == "paused"
        assert await memory.facts("") == []
    other, memory = make()
    async with other:
        if answer is None:
            await other.agent.cancel("r1")
        else:
            session = await other.agent.run(None, session_id="s1", answers={"p1": answer})
            assert outcomes(session) == {"n1": "ok", "p1": "ok"}
        assert [fact.text for fact in await memory.facts("")] == told
