"""What the store tells of runs, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from auwgent import AuwgentError, Runtime
from auwgent.errors import SessionNotFound
from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import StoreRun


def agent_on(url: str, *replies: Any, **more: Any) -> Any:
    """An agent whose sessions are in that database, and whose model gives these replies over and over."""
    params = {"replies": list(replies or ("Hello.",)), "repeat": True}
    return Runtime(
        {
            "middleware": [SQLModelSessions(url)],
            "agent": {"model": "main", **more.pop("agent", {})},
            "models": {"main": {"use": "scripted/main", "retries": 0, "params": params}},
            **more,
        }
    )


async def test_a_run_is_told_with_what_it_was_asked_and_used(url: str) -> None:
    async with agent_on(url) as agent:
        stream = agent.stream("Hi", session_id="s1", user_id="ada", context={"city": "Oslo"})
        async for _ in stream:
            pass
        run = await agent.store.run("ada", stream.run_id)
        assert (run.status, run.session_id, run.agent, run.input) == ("completed", "s1", "Main", "Hi")
        assert run.usage == stream.usage
        assert run.settings == {"agent": "Main", "context": {"city": "Oslo"}}
        assert run.made_at <= run.started_at <= run.ended_at
        with pytest.raises(SessionNotFound, match="no run"):
            await agent.store.run("", stream.run_id)


async def test_a_failed_run_keeps_its_error_and_a_cancelled_one_says_so(url: str) -> None:
    async with agent_on(
        url, {"tool_calls": [{"name": "nap"}]}, agent={"tools": [nap]}, limits={"llm_calls": 1}
    ) as agent:
        with pytest.raises(AuwgentError):
            await agent.run("Hi", session_id="s1")
        async with aclosing(agent.stream("Hi", session_id="s2")) as stream:
            async for _ in stream:
                break
        cancelled, failed = await agent.store.runs("")
        assert (failed.status, failed.error["kind"]) == ("failed", "LimitExceeded")
        assert "limits.llm_calls" in failed.error["message"]
        assert cancelled.status == "cancelled"
        assert await agent.store.runs("", "failed") == [failed]
        assert await agent.store.runs("", session_id="s2") == [cancelled]
        assert await agent.store.runs("", limit=1) == [cancelled]
        assert await agent.store.runs("ada") == []


def nap() -> str:
    """Does nothing."""
    return "done"


async def test_a_run_under_way_and_one_behind_it_are_told(store: SQLModelSessions) -> None:
    first = await StoreRun(store, "s1").start()
    behind = StoreRun(store, "s1")
    waiting = asyncio.create_task(behind.start())
    while len(runs := await store.runs("u1")) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert [run.status for run in runs] == ["queued", "running"]
    assert [run.run_id for run in await store.runs("u1", "queued")] == [behind.state.run_id]
    await first.end()
    await (await waiting).end()
    assert await store.runs("u1", "running") == []


async def test_a_run_whose_process_died_is_interrupted(url: str) -> None:
    dead, other = SQLModelSessions(url), SQLModelSessions(url)
    run = await StoreRun(dead, "s1").start()
    run.say("Hi")
    await run.save()
    assert await other.runs("u1", "interrupted") == []
    await dead.close()
    (found,) = await other.runs("u1", "interrupted")
    assert found.run_id == run.state.run_id
    await other.close()


async def test_what_a_run_was_given_is_kept_without_secrets(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with agent_on(url) as agent:
        context = {
            "city": "Oslo",
            "api_key": "sk-very-secret-indeed-0123456789",
            "words": "gsk_0123456789abcdefghij",
        }
        await agent.run("Hi", session_id="s1", context=context)
        await agent.run("Hi", session_id="s2", context={"lock": object()})
        second, first = await agent.store.runs("")
    assert set(first.settings["context"]) == {"city", "words"}
    assert second.settings["context"] is None
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as connection:
        rows = connection.execute("SELECT settings FROM auwgent_runs").fetchall()
    assert "0123456789" not in str(rows)


async def test_the_ids_of_runs_outlive_their_session_without_a_word(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.say("precious")
    await run.end("failed", AuwgentError("precious"))
    await store.delete("u1", "s1")
    found = await store.run("u1", run.state.run_id)
    assert (found.status, found.session_id, found.input, found.error) == ("failed", None, None, None)
