"""A run id is a key: who comes again with it, from wherever, gets what came of the run, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from auwgent import (
    ConfigError,
    ProviderError,
    RunConflict,
    RunFailed,
    SessionConflict,
    SessionNotFound,
    auwgent,
)
from auwgent.middleware import SQLModelSessions
from tests.support import killed
from tests.support.processes import forked

PAY = [{"when": "pay", "tool_calls": [{"name": "pay"}]}, {"result": "paid", "text": "It is paid."}]
FAILS = [{"error": {"fault": "auth", "message": "the key is wrong"}}]


class Shop:
    """An agent whose tool counts how often it was called; each has a connection of its own."""

    def __init__(self, url: str, replies: list[Any], *, before: Any = None, takes: float = 0.0) -> None:
        self.paid: list[str] = []
        self.takes = takes
        self.agent = auwgent(
            {
                "middleware": [*([before] if before else []), SQLModelSessions(url)],
                "agent": {"model": "main", "tools": [self.pay]},
                "models": {"main": {"use": "scripted/main", "retries": 0, "params": {"replies": replies}}},
            }
        )

    async def pay(self) -> str:
        """Pays."""
        self.paid.append("paid")
        await asyncio.sleep(self.takes)
        return "paid"

    async def __aenter__(self) -> Any:
        await self.agent.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.agent.close()


class Gate:
    """Holds a run before it gets its session."""

    def __init__(self) -> None:
        self.arrived, self.opens = asyncio.Event(), asyncio.Event()

    async def onRunStart(self, session: Any, ctx: Any) -> None:
        self.arrived.set()
        await self.opens.wait()


async def test_a_run_that_is_over_gives_its_outcome_and_nothing_is_done_again(url: str) -> None:
    async with Shop(url, PAY) as shop, Shop(url, []) as other:
        first = await shop.agent.run("Please pay", session_id="s1", run_id="order-7")
        await shop.agent.run("Please pay", session_id="s1", run_id="order-8")
        assert await other.agent.run("Please pay", session_id="s1", run_id="order-7") == first
        assert await other.agent.run("Please pay", run_id="order-7") == first
        stream = other.agent.stream(None, run_id="order-7")
        assert [intent.name async for intent in stream] == []
        assert (stream.session, stream.run_id) == (first, "order-7")
        assert (len(shop.paid), other.paid) == (2, [])


async def test_an_id_is_for_one_input_and_one_session_of_one_user(url: str) -> None:
    async with Shop(url, PAY) as shop:
        first = await shop.agent.run("Please pay", session_id="s1", user_id="ada", run_id="order-7")
        with pytest.raises(RunConflict, match="another input"):
            await shop.agent.run("Please pay me", session_id="s1", user_id="ada", run_id="order-7")
        with pytest.raises(RunConflict, match="another session"):
            await shop.agent.run("Please pay", session_id="s2", user_id="ada", run_id="order-7")
        bobs = await shop.agent.run("Please pay", user_id="bob", run_id="order-7")
        assert bobs.id != first.id
        assert len(shop.paid) == 2


async def test_a_run_that_failed_fails_again_without_asking_anybody(url: str) -> None:
    async with Shop(url, FAILS) as shop, Shop(url, PAY) as other:
        with pytest.raises(ProviderError) as first:
            await shop.agent.run("Please pay", run_id="order-7")
        with pytest.raises(RunFailed) as again:
            await other.agent.run("Please pay", run_id="order-7")
        assert (str(again.value), again.value.kind) == (str(first.value), "auth")
        assert [turn.text for turn in again.value.session.turns] == ["Please pay"]
        assert other.paid == []


@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_who_comes_while_the_run_is_under_way_joins_it(url: str, session_id: str | None) -> None:
    async with Shop(url, PAY, takes=0.3) as shop, Shop(url, PAY, takes=0.3) as other:
        ask = {"session_id": session_id, "run_id": "order-7"}
        found = await asyncio.gather(
            *(one.agent.run("Please pay", **ask) for one in (shop, other, shop, other))
        )
        assert len(shop.paid + other.paid) == 1
        assert all(session == found[0] for session in found)
        assert [turn.role for turn in found[0].turns] == ["user", "assistant", "tool", "assistant"]


async def test_who_was_held_up_until_the_run_was_over_does_nothing(url: str) -> None:
    gate = Gate()
    async with Shop(url, PAY, before=gate) as late, Shop(url, PAY) as shop:
        held = asyncio.create_task(late.agent.run("Please pay", session_id="s1", run_id="order-7"))
        await gate.arrived.wait()
        first = await shop.agent.run("Please pay", session_id="s1", run_id="order-7")
        gate.opens.set()
        assert await held == first
        assert (late.paid, shop.paid) == ([], ["paid"])
        assert await shop.agent.store.get("", "s1") == first


async def test_a_run_whose_session_was_deleted_is_not_done_again(url: str) -> None:
    async with Shop(url, PAY) as shop:
        await shop.agent.run("Please pay", session_id="s1", run_id="order-7")
        await shop.agent.store.delete("", "s1")
        with pytest.raises(SessionNotFound, match="was deleted"):
            await shop.agent.run("Please pay", session_id="s1", run_id="order-7")
        assert shop.paid == ["paid"]


class Thief:
    """Takes the session away from a run that is about to call a tool, as one does that believes it dead."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))

    def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            with self.engine.begin() as connection:
                connection.execute(text("UPDATE auwgent_sessions SET run_no = NULL"))
            self.engine.dispose()


async def test_a_run_without_an_id_tells_that_it_lost_its_session(url: str) -> None:
    """Nobody can wait for what comes of it, so that its failure is told as any other is."""
    last: Any = None
    async with Shop(url, PAY, before=Thief(url)) as shop:
        with pytest.raises(SessionConflict, match="taken over by another run"):  # noqa: PT012
            async for intent in shop.agent.stream("Please pay", session_id="s1"):
                last = intent
    assert (last.name, last.value["kind"]) == ("error", "SessionConflict")
    assert shop.paid == []


async def test_without_a_store_a_run_id_is_a_config_error() -> None:
    agent = auwgent({"middleware": [], "agent": {"model": "scripted/echo"}})
    with pytest.raises(ConfigError, match="needs a store"):
        await agent.run("Hi", run_id="order-7")
    with pytest.raises(ConfigError, match="may not be empty"):
        await auwgent({"agent": {"model": "scripted/echo"}}).run("Hi", run_id="")


@pytest.mark.process
@pytest.mark.parametrize(
    ("point", "paid"),
    [
        ("after onRunStart", 1),
        ("after onCheckpoint:llm_start", 1),
        ("onIntent:tool_call pay", 1),
        ("tool:pay", 1),  # the model is told that nobody knows
        ("after onCheckpoint:tool_end pay", 1),
        ("after onRunComplete", 1),
    ],
)
async def test_a_run_whose_process_died_goes_on_by_its_id(
    url: str, tmp_path: Path, point: str, paid: int
) -> None:
    log = tmp_path / "log"
    killed.die_at(url, point, log, "s1", run_id="order-7")
    async with killed.agent_on(url, "nowhere", log) as agent:
        session = await agent.run("Please pay", session_id="s1", run_id="order-7")
        again = await agent.run("Please pay", run_id="order-7")
        run = await agent.store.run("", "order-7")
    assert log.read_text().split().count("pay") == paid
    assert [turn.text for turn in session.turns if turn.role == "user"] == ["Please pay"]
    assert (again, run.status, run.attempt) == (session, "completed", 2)


@pytest.mark.process
async def test_a_process_that_was_stopped_and_comes_back_writes_nothing(url: str, tmp_path: Path) -> None:
    """Stopped before its tool, and let go when another process has finished the run."""
    log = tmp_path / "log"
    process = forked.Process(
        target=killed.stop_at, args=(url, "before onCheckpoint:tool_start pay", log, "order-7")
    )
    process.start()
    await asyncio.to_thread(killed.wait_until_stopped, process.pid)
    async with killed.agent_on(url, "nowhere", log) as agent:
        session = await agent.run("Please pay", session_id="s1", run_id="order-7")
        os.kill(process.pid or 0, signal.SIGCONT)
        await asyncio.to_thread(process.join, 60)
        assert process.exitcode == 0
        assert await agent.store.get("", "s1") == session
    assert log.read_text().split() == ["pay", "look", "outcome"]
