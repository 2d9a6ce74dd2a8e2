"""Processes die at every point of a pause and of what follows: a call runs once or never, and the model is told so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from auwgent import RunConflict, Session
from tests.support import asked
from tests.support.bench import check_history
from tests.support.till import outcomes

pytestmark = pytest.mark.process

WHERE = ["root", "nested"]
ASKING = ["after onIntent:paused", "after onRunComplete", "before onRunComplete"]
ANSWERED = [
    "before onRunStart",  # between answer and claim
    "after onRunStart",
    "onIntent:tool_call pay",
    "before onCheckpoint:tool_start pay",
    "after onCheckpoint:tool_start pay",  # about to run
    "tool:pay",
    "before onCheckpoint:tool_end pay",
    "after onCheckpoint:tool_end pay",
    "after onRunComplete",
]
REFUSED = ["before onRunStart", "after onRunStart", "onIntent:tool_skipped pay", "after onRunComplete"]
LOST = {"after onCheckpoint:tool_start pay", "tool:pay", "before onCheckpoint:tool_end pay"}


def paid(log: Path) -> int:
    return log.read_text().split().count("pay") if log.exists() else 0


def check(session: Session, log: Path, point: str, answer: Any) -> None:
    """It was paid once or never, and whoever reads the session knows as much as there is to know."""
    check_history(session.turns)
    outcome = outcomes(session)["p1"]
    assert session.status == "completed"
    if answer is not True:
        assert (paid(log), outcome) == (0, "denied")
    elif point in LOST:
        assert (paid(log), outcome) == (int(point != "after onCheckpoint:tool_start pay"), "unknown")
    else:
        assert (paid(log), outcome) == (1, "ok")
    words = {"ok": "It was paid", "denied": "It was denied", "unknown": "Nobody knows"}
    assert words[str(outcome)] in "".join(turn.text for turn in session.turns if turn.role == "assistant")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("point", ASKING)
async def test_a_question_outlives_the_process_that_asked(
    url: str, tmp_path: Path, where: str, point: str
) -> None:
    log = tmp_path / "log"
    await asyncio.to_thread(asked.die_at, url, point, log, where, "NO")
    async with asked.agent_on(url, "nowhere", log, where) as agent:
        session = await agent.run("Please pay", run_id="r1")
        assert [call["id"] for call in session.pending] == ["p1"]
        assert paid(log) == 0
        session = await agent.run(None, session_id="s1", answers={"p1": True})
    check(session, log, point, True)
    assert [turn.text for turn in session.turns if turn.role == "user"].count("Please pay") == 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("point", "answer"),
    [*((point, True) for point in ANSWERED), *((point, "too dear") for point in REFUSED)],
)
async def test_an_answer_outlives_the_process_that_gave_it(
    url: str, tmp_path: Path, where: str, point: str, answer: Any
) -> None:
    log = tmp_path / "log"
    async with (
        asked.agent_on(url, "nowhere", log, where) as agent,
        asked.agent_on(url, "nowhere", log, where) as other,
    ):
        await agent.run("Please pay", session_id="s1", run_id="r1")
        await asyncio.to_thread(asked.die_at, url, point, log, where, answer)
        session, again = await asyncio.gather(agent.run(None, session_id="s1"), other.run(None, run_id="r1"))
        assert session == again
        check(session, log, point, answer)
        run = await agent.store.run("", "r1")  # type: ignore[union-attr]
        assert (run.status, run.leg) == ("completed", 2)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("change", ["deny", "gone"])
@pytest.mark.parametrize(
    "point", ["before onRunStart", "after onRunStart", "before onCheckpoint:tool_start pay"]
)
async def test_the_config_may_change_before_it_goes_on(
    url: str, tmp_path: Path, where: str, change: str, point: str
) -> None:
    log = tmp_path / "log"
    async with asked.agent_on(url, "nowhere", log, where) as agent:
        await agent.run("Please pay", session_id="s1", run_id="r1")
    await asyncio.to_thread(asked.die_at, url, point, log, where, True)
    changed = {"approve": "deny"} if change == "deny" else {"gone": True}
    async with asked.agent_on(url, "nowhere", log, where, **changed) as agent:
        session = await agent.run(None, session_id="s1")
    assert paid(log) == 0
    assert outcomes(session)["p1"] == {"deny": "denied", "gone": "error"}[change]
    check_history(session.turns)


@pytest.mark.parametrize("where", WHERE)
async def test_nobody_answers_in_time(url: str, tmp_path: Path, where: str) -> None:
    log = tmp_path / "log"
    async with asked.agent_on(url, "nowhere", log, where, approval="1s") as agent:
        await agent.run("Please pay", session_id="s1", run_id="r1")
        await asyncio.sleep(1.1)
        with pytest.raises(RunConflict):
            await agent.run(None, session_id="s1", answers={"p1": True})
        session = await agent.run("what now", session_id="s1")
        waited = ["p1"] if where == "root" else ["s1", "m1", "p1"]  # the helpers' too
        assert outcomes(session) == dict.fromkeys(waited, "denied")
        assert (paid(log), session.turns[-1].text) == (0, "Nothing.")
        run = await agent.store.run("", "r1")  # type: ignore[union-attr]
        assert run.status == "cancelled"
        check_history(session.turns)
