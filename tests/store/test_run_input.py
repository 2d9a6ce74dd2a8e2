"""A run's row has what it was asked: from when the run is accepted, and never other words than the turn may have."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.errors import LimitExceeded, RunFailed
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware import RateLimit, Redact, SQLModelSessions
from auwgent.testing.runs import StoreRun
from tests.support import killed
from tests.support.bench import Hook

PICTURE = {"type": "image", "data": "iVBORw0KGgo=", "mime_type": "image/png"}


def agent_on(url: str, *behind: Any) -> Any:
    """An agent whose sessions are in that database, with this middleware behind."""
    params = {"replies": ["Hello."], "repeat": True}
    return Runtime(
        {
            "middleware": [SQLModelSessions(url), *behind],
            "agent": {"model": "main"},
            "models": {"main": {"use": "scripted/main", "retries": 0, "params": params}},
        }
    )


class Looks:
    """Notes what the row says before the first checkpoint of the run, and when its answer is there."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.agent: Any = None

    async def note(self, ctx: Any) -> None:
        run = await self.agent.store.run("", ctx.runId)
        self.seen.append((run.status, run.content))

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        await self.note(ctx)

    async def onLLMEnd(self, response: Any, ctx: Any) -> None:
        await self.note(ctx)


async def seen(url: str, input: Any, *behind: Any) -> tuple[list[Any], Any]:
    """What the row says at those moments, and the run when it is over."""
    looks = Looks()
    async with agent_on(url, *behind, looks) as looks.agent:
        await looks.agent.run(input, session_id="s1", run_id="r1")
        return looks.seen, await looks.agent.store.run("", "r1")


async def test_the_input_is_there_before_anything_is_said(url: str) -> None:
    at_work, run = await seen(url, "Hi \0 there")
    assert at_work == [("running", "Hi \0 there")] * 2
    assert (run.input, run.content) == ("Hi \0 there",) * 2


async def test_the_bytes_of_parts_stand_in_their_turn_alone_once_they_were_said(url: str) -> None:
    at_work, run = await seen(url, ["Look!", PICTURE])
    said = [{"type": "text", "text": "Look!"}, {"type": "image", "mime_type": "image/png"}]
    assert at_work == [("running", [said[0], PICTURE]), ("running", said)]
    assert (run.input, run.content) == ("Look!", said)


async def test_words_that_a_hook_may_change_are_written_down_as_it_leaves_them(url: str) -> None:
    def reword(session: Any, ctx: Any) -> None:
        ctx.input = ctx.input.replace("secret", "…")

    at_work, run = await seen(url, "My secret", Hook(onRunStart=reword))
    assert at_work == [("running", None), ("running", "My …")]
    assert run.input == "My …"


async def test_what_redact_takes_out_is_in_no_row(tmp_path: Path) -> None:
    at_work, run = await seen(f"sqlite:///{tmp_path}/sessions.db", "I am ada@example.org", Redact())
    assert (at_work[0][1], run.input) == (None, "I am [EMAIL_1]")
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as connection:
        assert not [line for line in connection.iterdump() if "ada@example.org" in line]


async def test_a_hook_that_is_marked_lets_it_be_written_down_at_once(url: str) -> None:
    marked = Hook(onRunStart=leaves_input(lambda session, ctx: None))
    at_work, _ = await seen(url, "Hi", marked)
    assert at_work[0] == ("running", "Hi")


@pytest.mark.process
@pytest.mark.parametrize("run_id", [None, "order-7"])
async def test_a_run_that_died_before_it_said_anything_says_it_when_it_is_resumed(
    url: str, tmp_path: Path, run_id: str | None
) -> None:
    log = tmp_path / "log"
    killed.die_at(url, "onLLMStart", log, "s1", run_id=run_id)
    async with killed.agent_on(url, "nowhere", log) as agent:
        session = await agent.run(None, session_id="s1")
        [run] = await agent.store.runs("")
    assert [turn.text for turn in session.turns if turn.role == "user"] == ["Please pay"]
    assert (session.text, run.status, run.attempt) == ("It is done.", "completed", 2)
    assert log.read_text().split() == ["pay", "look"]


async def test_a_run_that_was_refused_says_in_its_row_what_it_was_asked(url: str, tmp_path: Path) -> None:
    limit = RateLimit(runs=1, per="1h", url=f"sqlite:///{tmp_path}/limits.db")
    async with agent_on(url, limit) as agent:
        await agent.run("Hi", session_id="s1")
        with pytest.raises(LimitExceeded):
            await agent.run("And now?", session_id="s1", run_id="r2")
        with pytest.raises(RunFailed):
            await agent.run("And now?", session_id="s1", run_id="r2")
        run = await agent.store.run("", "r2")
        assert (run.status, run.input) == ("failed", "And now?")


async def test_words_that_waited_as_they_were_given_are_replaced_when_they_are_said(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    async with agent_on(f"sqlite:///{file}", Redact()) as agent, agent_on(f"sqlite:///{file}") as other:
        first = await StoreRun(other.store, "s1", "").start()
        waiting = asyncio.create_task(agent.run("I am ada@example.org", session_id="s1", run_id="r1"))
        while not await other.store.runs("", "queued"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("""UPDATE auwgent_runs SET input = '"I am ada@example.org"' WHERE id = 'r1'""")
        assert (await other.store.run("", "r1")).input == "I am ada@example.org"
        await first.end()
        await waiting
        assert (await other.store.run("", "r1")).input == "I am [EMAIL_1]"
