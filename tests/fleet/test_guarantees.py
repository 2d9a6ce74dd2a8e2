"""What a queue promises, over processes that are killed, stopped, drained and cut off, as seen from outside.

Processes are stopped here, and let go on when others have taken over; `test_cut_off.py` pulls cables.
"""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from auwgent import RunFailed
from tests.support.fleet import Fleet, database
from tests.support.postgres import Server, server

__all__ = ["server"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

# A program of the time to come, whose journal older ones do not read.
NEWER = (
    "-c",
    "import auwgent.store.line as line; line.JOURNAL = 2; import sys, auwgent.cli as cli; sys.exit(cli.main())",
)


async def submitted(fleet: Fleet, count: int, sessions: int, said: str = "buy") -> dict[str, str]:
    """Submit so many runs over so many sessions; which session each is of, in their order."""
    accepted = {}
    async with fleet.agent() as agent:
        for number in range(count):
            ticket = await agent.submit(said, session_id=f"s{number % sessions}", run_id=f"r{number}")
            accepted[ticket.id] = ticket.session_id
    return accepted


def over(fleet: Fleet, count: int) -> bool:
    return sum(status in ("completed", "failed", "dead") for status in fleet.runs().values()) == count


async def test_what_killed_workers_had_goes_on_elsewhere(fleet: Fleet) -> None:
    workers = [fleet.start("--concurrency", "4") for _ in range(3)]
    accepted = await submitted(fleet, 40, 15)
    for worker in workers[:2]:
        few = len(fleet.starts()) + random.randint(1, 5)
        fleet.until_begun(few)
        worker.kill()
    fleet.until(lambda: over(fleet, 40))
    fleet.check(accepted)


async def test_a_host_that_was_cut_off_and_comes_back_changes_nothing(fleet: Fleet) -> None:
    workers = [fleet.start("--concurrency", "4") for _ in range(2)]
    accepted = await submitted(fleet, 24, 12)
    fleet.until_begun(3)
    workers[0].send_signal(signal.SIGSTOP)
    fleet.until(lambda: over(fleet, 24))
    workers[0].send_signal(signal.SIGCONT)
    accepted |= await again(fleet)
    fleet.check(accepted)


async def again(fleet: Fleet) -> dict[str, str]:
    """A few more runs, so that the one that came back has had its time."""
    async with fleet.agent() as agent:
        tickets = [await agent.submit("buy", session_id=f"t{n}", run_id=f"again{n}") for n in range(8)]
        for ticket in tickets:
            await ticket.result()
    return {ticket.id: ticket.session_id for ticket in tickets}


async def test_a_worker_that_is_drained_leaves_the_rest_to_others(fleet: Fleet) -> None:
    first = fleet.start("--set", "serve.drain=1")
    async with fleet.agent() as agent:
        long = await agent.submit("slow", session_id="long")
        fleet.until(lambda: fleet.runs().get(long.id) == "running")
        first.terminate()
        other = fleet.start()
        assert first.wait(timeout=30) == 0
        other = fleet.start()
        session = await long.result()
        assert session.text.split() == ["word"] * 40
        assert [turn.text for turn in session.turns if turn.role == "user"] == ["slow"]
    assert fleet.query("SELECT attempt, worker FROM auwgent_runs") == [(2, 2)]
    other.terminate()


async def test_a_database_that_is_killed_loses_nothing(server: Server, tmp_path: Path) -> None:
    fleet = Fleet(server.url, tmp_path)
    try:
        for _ in range(2):
            fleet.start("--concurrency", "4")
        accepted = await submitted(fleet, 20, 10)
        fleet.until_begun(4)
        server.kill()
        await asyncio.sleep(2)
        server.start()
        fleet.until(lambda: over(fleet, 20), 120)
        fleet.check(accepted)
    finally:
        fleet.end()


async def test_a_paused_run_is_answered_after_everything_was_restarted(fleet: Fleet) -> None:
    first = fleet.start()
    async with fleet.agent() as agent:
        ticket = await agent.submit("refund", session_id="s", run_id="r")
        behind = await agent.submit("buy", session_id="s", run_id="behind")
        session = await ticket.result()
        assert session.status == "paused"
    first.terminate()
    first.wait(timeout=30)
    assert fleet.runs() == {"r": "paused", "behind": "queued"}
    async with fleet.agent() as agent:
        ticket = await agent.submit("refund", session_id="s", run_id="r")
        await ticket.answer({session.pending[0]["id"]: True})
        assert await ticket.status() == "queued"
        fleet.start()
        assert (await ticket.result()).text == "All done: refunded"
        assert (await agent.run("buy", session_id="s", run_id="behind")).text == "All done: charged"
    assert fleet.starts("refund") == {"r": 1}
    assert behind.id == "behind"


async def test_a_run_is_cancelled_from_another_machine(fleet: Fleet) -> None:
    fleet.start()
    async with fleet.agent() as agent:
        ticket = await agent.submit("hang", session_id="s")
        behind = await agent.submit("buy", session_id="s")
        fleet.until(lambda: fleet.runs()[ticket.id] == "running")
        await ticket.cancel()
        with pytest.raises(RunFailed):
            await ticket.result()
        assert (await behind.result()).text == "All done: charged"
        assert fleet.runs()[ticket.id] == "cancelled"


async def test_a_run_that_kills_its_process_is_dead_and_its_session_goes_on(tmp_path: Path) -> None:
    with database() as url:
        fleet = Fleet(url, tmp_path, retries=1)
        try:
            workers = [fleet.start() for _ in range(3)]
            async with fleet.agent() as agent:
                ticket = await agent.submit("crash", session_id="s", run_id="bad")
                behind = await agent.submit("buy", session_id="s")
                with pytest.raises(RunFailed) as failed:
                    await ticket.result()
                assert failed.value.kind == "dead"
                assert (await behind.result()).text == "All done: charged"
                assert fleet.starts("crash") == {"bad": 2}
                session = await agent.store.get("", "s")  # type: ignore[union-attr]
                assert [
                    turn.outcome for turn in session.turns if turn.run_id == "bad" and turn.role == "tool"
                ] == ["unknown"]
            assert sum(worker.poll() is not None for worker in workers) == 2
        finally:
            fleet.end()


async def test_what_a_newer_program_has_begun_waits_for_such_a_one(fleet: Fleet) -> None:
    first = fleet.start(program=NEWER)
    async with fleet.agent() as agent:
        ticket = await agent.submit("slow", session_id="s", run_id="r")
        fleet.until(lambda: fleet.runs()["r"] == "running")
        first.kill()
        fleet.start()
        fleet.until(lambda: fleet.runs()["r"] == "queued")
        other = await agent.submit("buy", session_id="t")
        assert (await other.result()).text == "All done: charged"
        assert fleet.runs()["r"] == "queued"
        fleet.start(program=NEWER)
        assert (await ticket.result()).text.split() == ["word"] * 40


async def test_what_a_config_does_not_have_waits_for_one_that_has(fleet: Fleet) -> None:
    table = '\n[helpers.Other]\ndescription = "Helps"\nmodel = "main"\n[profiles.strict]\nagent.prompt = "Be strict."\n'
    fleet.start()
    old = fleet.path.read_text()
    fleet.path.write_text(old.replace("[agent]", '[agent]\nhelpers = ["Other"]', 1) + table)
    async with fleet.agent() as agent:
        other = await agent.submit("hello", session_id="s", agent="Other")
        strict = await agent.submit("hello", session_id="t", profile="strict")
        plain = await agent.submit("hello", session_id="u")
        assert (await plain.result()).text == "You said hello"
        assert [await one.status() for one in (other, strict)] == ["queued", "queued"]
        fleet.start()
        assert [(await one.result()).text for one in (other, strict)] == ["You said hello"] * 2
