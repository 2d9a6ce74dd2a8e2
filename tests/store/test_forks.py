"""A process that forks after its agent was opened: child and parent go on, each on its own."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from auwgent import auwgent
from auwgent.middleware import SQLModelSessions
from auwgent.store.side import SideDatabase, vault
from auwgent.testing.runs import StoreRun

PATIENCE = 30  # seconds
PROGRAM = Path(__file__).parent.parent / "support" / "mcp_server.py"
context = multiprocessing.get_context("fork")
pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


def agent_on(url: str) -> Any:
    return auwgent({"middleware": [SQLModelSessions(url)], "agent": {"model": "scripted/echo"}})


def in_child(work: Any) -> Any:
    """What the work gives in a process that was forked just now."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(into, json.dumps(work()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    _, code = os.waitpid(child, 0)
    os.close(into)
    with os.fdopen(out) as file:
        told = file.read() if not code else ""
    assert code == 0
    return json.loads(told)


def say(agent: Any, text: str, session_id: str) -> int:
    """How many turns the session has then."""
    return len(asyncio.run(agent.run(text, session_id=session_id)).turns)


@pytest.mark.parametrize("session_id", ["child", "parent"])
def test_child_and_parent_go_on(url: str, session_id: str) -> None:
    agent = agent_on(url)
    asyncio.run(agent.open())
    assert say(agent, "warm", "parent") == 2
    for turn in (1, 2):
        said = in_child(lambda: say(agent, "from the child", session_id))
        assert said == 2 * turn + (2 if session_id == "parent" else 0)
    again = say(agent, "again", "parent")
    assert again == (8 if session_id == "parent" else 4)
    asyncio.run(agent.close())


def test_children_at_once_go_on(url: str) -> None:
    agent = agent_on(url)
    asyncio.run(agent.open())
    say(agent, "warm", "shared")
    with ThreadPoolExecutor(3) as threads:  # from threads, as a web server's workers do
        told = list(threads.map(lambda _: in_child(lambda: say(agent, "child", "shared")), range(3)))
    assert sorted(told) == [4, 6, 8]
    asyncio.run(agent.close())


def test_run_sync_works_in_the_child_while_the_parent_has_it_open(url: str) -> None:
    agent = agent_on(url)
    asyncio.run(agent.open())
    assert in_child(lambda: len(agent.run_sync("Hi", session_id="s").turns)) == 2
    assert say(agent, "again", "s") == 4
    asyncio.run(agent.close())


async def test_a_fork_in_the_middle_of_a_run_leaves_the_run_to_the_parent(url: str) -> None:
    store = SQLModelSessions(url)
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    await run.save()
    child = asyncio.to_thread(in_child, lambda: asyncio.run(store.run_status("u1", "s1")))
    assert await child == "running"
    assert in_child(lambda: asyncio.run(store.run_status("u1", "s1"))) == "running"  # inside the running loop
    run.say("still here", "assistant")
    await run.end()
    assert len((await store.get("u1", "s1")).turns) == 2
    await store.close()


async def test_a_child_stands_in_the_line_of_a_session_behind_a_run_of_the_parent(url: str) -> None:
    """Forked while the parent's run held the session, in the process and in the store."""
    agent = agent_on(url)
    await agent.open()
    told = asyncio.Event()
    waiting: list[asyncio.Task[Any]] = []
    async for _ in agent.stream("Hello", session_id="s1"):
        if not told.is_set():
            told.set()
            waiting.append(
                asyncio.create_task(asyncio.to_thread(in_child, lambda: say(agent, "child", "s1")))
            )
            await asyncio.sleep(1)
            assert not waiting[0].done()
    assert await asyncio.wait_for(waiting[0], PATIENCE) == 4
    await agent.close()


async def test_a_child_opens_what_the_parent_was_opening(url: str) -> None:
    side = SideDatabase(url, vault.TABLES, default="x.db")
    with side._opening:  # another thread is about to
        read = in_child(lambda: asyncio.run(side.run(None, vault.read, "", "s1")))
    assert read == {}


def test_a_child_starts_mcp_servers_of_its_own_and_leaves_those_of_its_parent() -> None:
    replies = [{"tool_calls": [{"name": "process"}]}, {"text": "This one."}]
    agent: Any = auwgent(
        {
            "middleware": [],
            "agent": {"model": "main", "tools": ["mcp:test"]},
            "models": {"main": {"use": "scripted/main", "params": {"replies": replies}}},
            "mcp": {"test": {"command": sys.executable, "args": [str(PROGRAM)]}},
        }
    )

    async def ask() -> str:
        return str((await agent.run("who")).turns[2].text)

    async def leave() -> bool:
        await agent.close()
        return True

    loop = asyncio.new_event_loop()
    mine = loop.run_until_complete(ask())
    assert mine.isdecimal()
    assert in_child(lambda: asyncio.run(ask())) not in (mine, "")
    assert in_child(lambda: asyncio.run(leave()))
    assert loop.run_until_complete(ask()) == mine
    loop.run_until_complete(agent.close())
    loop.close()


def test_a_run_of_a_child_shows_that_it_is_alive(url: str, tmp_path: Path) -> None:
    """Longer than a lease, with a tool that blocks: the parent waits for it."""
    agent = agent_on(url)
    asyncio.run(agent.open())
    begun, done = context.Event(), context.Event()

    def work() -> int:
        async def run() -> int:
            run = await StoreRun(agent.middleware[0], "s1").start()
            run.say("from the child")
            await run.save()
            begun.set()
            await asyncio.to_thread(done.wait, PATIENCE)
            return len((await run.end()).turns)

        return asyncio.run(run())

    with ThreadPoolExecutor(1) as threads:
        child = threads.submit(in_child, work)
        assert begun.wait(PATIENCE)

        async def wait() -> int:
            start = asyncio.create_task(StoreRun(agent.middleware[0], "s1").start())
            finished, _ = await asyncio.wait([start], timeout=6)
            assert not finished
            done.set()
            run = await start
            await run.end()
            return len(run.session.turns)

        assert asyncio.run(wait()) == 1
        assert child.result() == 1
    asyncio.run(agent.close())
