"""Several processes on one database."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest

from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import StoreRun, stored
from tests.support.databases import database
from tests.support.worker import worker

pytestmark = pytest.mark.process


def test_eight_processes_may_be_the_first(url: str) -> None:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(url)) for _ in range(8)]
        for number, one in enumerate(workers):
            one.tell(f"talk session{number} 1 hello")
        assert [one.answer() for one in workers] == ["ok"] * 8


async def test_runs_of_several_processes_follow_one_another(url: str) -> None:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(url)) for _ in range(4)]
        for name, one in zip("abcd", workers, strict=True):
            one.tell(f"talk s1 10 {name}")
        assert [one.answer() for one in workers] == ["ok"] * 4
    store = SQLModelSessions(url)
    texts = [turn.text for turn in (await stored(store, "s1")).turns]
    assert texts[1::2] == [f"You said: {text}" for text in texts[::2]]
    assert sorted(texts[::2]) == sorted(f"{name}-{number}" for name in "abcd" for number in range(10))
    await store.close()


@pytest.mark.clock
def test_a_session_whose_owner_was_killed_is_free_within_five_seconds(url: str) -> None:
    with worker(url) as owner, worker(url) as next_one:
        owner.all_ok("start s1", "say one", "save")
        next_one.all_ok("talk other 1 warm-up")
        next_one.tell("start s1")
        time.sleep(1.5)
        owner.signal(signal.SIGKILL)
        killed_at = time.monotonic()
        assert next_one.answer().startswith("ok 1 ")
        assert time.monotonic() - killed_at < 5


def test_a_busy_owner_keeps_its_session(url: str) -> None:
    with worker(url) as owner, worker(url, "reject") as other:
        owner.all_ok("start s1", "say one", "save")
        owner.tell("block 7")
        time.sleep(6)  # longer than a lease
        assert other.ask("start s1") == "SessionConflict session 's1' is held by another run"
        assert owner.answer() == "ok"
        owner.all_ok("say two", "end")


def test_a_stopped_and_revived_owner_cannot_write(url: str) -> None:
    with worker(url) as zombie, worker(url) as next_one:
        zombie.all_ok("start s1", "say one", "save")
        zombie.signal(signal.SIGSTOP)
        next_one.all_ok("start s1", "say two", "save")
        zombie.signal(signal.SIGCONT)
        zombie.all_ok("say three")
        assert zombie.ask("save").startswith("SessionConflict session 's1' was taken over by another run")
        assert zombie.ask("end").startswith("SessionConflict")
        next_one.all_ok("say four", "end")
        assert next_one.ask("start s1").startswith("ok 3 ")


async def test_a_tool_that_was_running_is_known_as_interrupted(url: str) -> None:
    with worker(url) as owner:
        owner.all_ok("start s1", "say one", "tool c1 pay", "tool c2 look")
        owner.signal(signal.SIGKILL)
    store = SQLModelSessions(url)
    run = await StoreRun(store, "s1").start()
    assert run.ctx["interrupted"] == {
        "c1": {"call_id": "c1", "name": "pay", "args": {}, "begun": True, "idempotent": False},
        "c2": {"call_id": "c2", "name": "look", "args": {}, "begun": True, "idempotent": True},
    }
    assert [turn.outcome for turn in run.session.turns if turn.role == "tool"] == ["unknown", "unknown"]
    await run.end()
    await store.close()


async def test_nobody_hears_that_the_database_is_locked(tmp_path: Path) -> None:
    with database("sqlite", tmp_path) as url, contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(url)) for _ in range(4)]
        for number, one in enumerate(workers):
            one.tell(f"talk s{number} 40 x")
        store = SQLModelSessions(url)
        for number in range(20):
            await store.put(
                (await StoreRun(store, f"own{number}").start()).session.model_copy(
                    update={"id": f"i{number}"}
                )
            )
            await store.delete("u1", f"i{number}")  # VACUUM among all the writing
            await asyncio.sleep(0.01)
        assert [one.answer() for one in workers] == ["ok"] * 4
        await store.close()
