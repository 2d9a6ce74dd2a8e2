"""A run is cancelled from another process, at every moment; it is saved so, and begun tools are told as such."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import pytest

from auwgent import RunFailed, Runtime, SessionNotFound, auwgent
from auwgent.middleware import SQLModelSessions
from tests.support.bench import asks_helper
from tests.support.processes import forked

Ends: TypeAlias = "Connection[str, str]"
CALLS = {"tool_calls": [{"name": "work"}, {"name": "work", "args": {"again": True}}]}


class Slow:
    """Takes long in one hook, and tells when it is there."""

    def __init__(self, hook: str, ends: Ends) -> None:
        self.hook, self.ends = hook, ends

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        await self._wait("onLLMStart")

    async def onRunComplete(self, session: Any, ctx: Any) -> None:
        await self._wait("onRunComplete")

    async def _wait(self, hook: str) -> None:
        if hook == self.hook:
            self.ends.send("there")
            await asyncio.sleep(60 if hook == "onLLMStart" else 8.0)


def config(url: str, moment: str, ends: Ends) -> Any:
    async def work(again: bool = False) -> str:
        """Works."""
        ends.send("there") if not again else None
        await asyncio.sleep(0 if again else 60)
        return "done"

    def threaded(again: bool = False) -> str:
        """Works in a thread."""
        ends.send("there")
        ends.poll(60)  # nothing can end it
        return "done"

    threaded.__name__ = "work"
    replies: list[Any] = ["Hello."]
    if moment in ("tool", "thread"):
        replies = [CALLS if moment == "tool" else {"tool_calls": [{"name": "work"}]}, "Done."]
    elif moment == "helper":
        replies = [asks_helper("Clerk"), "Done."]
    slow = {"text": "One two three", "delay": 60.0}
    return {
        "middleware": [SQLModelSessions(url), Slow(moment, ends)],
        "agent": {
            "model": "main",
            "tools": [threaded if moment == "thread" else work],
            "helpers": ["Clerk"],
        },
        "helpers": {"Clerk": {"description": "Helps", "model": "slow", "handoff": "return"}},
        "models": {
            "main": {"use": "scripted/main", "params": {"replies": [slow] if moment == "model" else replies}},
            "slow": {"use": "scripted/slow", "params": {"replies": [slow]}},
        },
    }


def carry_out(url: str, moment: str, ends: Ends) -> None:
    """What the process does that has the run: it tells how the run ended for it."""

    async def main() -> None:
        async with Runtime(config(url, moment, ends)) as agent:
            stream = agent.stream("Hi", session_id="s", run_id="r1")
            try:
                async for _ in stream:
                    pass
                ends.send("completed")
            except RunFailed as error:
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 0
                ends.send(f"{error.kind}: {error.session.status}")

    asyncio.run(main())


async def read_until_it_speaks(stream: Any, agent: Any) -> None:
    async for intent in stream:
        if intent.partial and intent.name == "response_text":
            await agent.cancel(stream.run_id)


async def status(agent: Any, run_id: str, user: str = "") -> str:
    return str((await agent.store.run(user, run_id)).status)


@pytest.fixture
def ends() -> Any:
    ours, theirs = forked.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


MOMENTS = {
    "onLLMStart": [],
    "tool": [("work", "unknown"), ("work", "ok")],
    "thread": [("work", "unknown")],
    "onRunComplete": [],
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_run_is_cancelled_from_another_process(url: str, moment: str, ends: Any) -> None:
    ours, theirs = ends
    process = forked.Process(target=carry_out, args=(url, moment, theirs))
    process.start()
    try:
        assert await asyncio.to_thread(ours.poll, 60)
        assert ours.recv() == "there"
        async with auwgent(
            {"middleware": [SQLModelSessions(url)], "agent": {"model": "scripted/echo"}}
        ) as other:
            began = time.monotonic()
            await other.cancel("r1")
            ours.send("go")
            assert other.store is not None
            assert await status(other, "r1") == "cancelled"
            assert await asyncio.to_thread(ours.poll, 60)
            assert ours.recv() == "cancelled: cancelled"
            assert time.monotonic() - began < 30
            session = await other.store.get("", "s")
            results = [(turn.name, turn.outcome) for turn in session.turns if turn.role == "tool"]
            assert results == MOMENTS[moment]
            after = await other.run("And now?", session_id="s")
            assert after.text == "You said: And now?"
            with pytest.raises(RunFailed) as again:
                await other.run("Hi", session_id="s", run_id="r1")
            assert (again.value.kind, str(again.value)) == ("cancelled", "the run was cancelled")
    finally:
        process.join(30)
        process.kill()
    assert process.exitcode == 0


async def test_a_model_call_and_a_helper_of_this_process_are_cancelled_at_once(url: str) -> None:
    slow = {"text": "One two three four", "pause": 30.0}
    models = {
        "main": {"use": "scripted/main", "params": {"replies": [asks_helper("Clerk")]}},
        "slow": {"use": "scripted/slow", "params": {"replies": [slow], "chunk": 4}},
    }
    given: Any = {
        "middleware": [SQLModelSessions(url)],
        "agent": {"model": "main", "helpers": ["Clerk"]},
        "helpers": {"Clerk": {"description": "Helps", "model": "slow"}},
        "models": models,
    }
    async with auwgent(given) as agent:
        for number, overrides in enumerate([[], ["agent.model=slow"]]):
            one = auwgent(given, overrides=overrides) if overrides else agent
            stream = one.stream("Hi", session_id=f"s{number}", run_id=f"r{number}")
            began = time.monotonic()

            reading = asyncio.create_task(read_until_it_speaks(stream, agent))
            with pytest.raises(RunFailed, match="was cancelled"):
                await asyncio.wait_for(reading, 40)
            assert time.monotonic() - began < 20
            assert agent.store is not None
            stored = await agent.store.get("", f"s{number}")
            assert stored.status == "cancelled"
            said = [turn.text for turn in stored.turns if turn.role == "assistant" and turn.content]
            assert said == ["One "]


async def test_a_run_that_waits_for_its_session_is_cancelled_and_the_others_go_on(url: str) -> None:
    replies = [{"text": "Slow.", "delay": 10.0}]
    given: Any = {
        "agent": {"model": "main"},
        "models": {"main": {"use": "scripted/main", "params": {"replies": replies, "repeat": True}}},
    }
    given_to: list[Any] = [{**given, "middleware": [SQLModelSessions(url)]} for _ in range(2)]
    one, two = map(auwgent, given_to)
    async with one, two:
        first = asyncio.create_task(one.run("Hi", session_id="s", run_id="r1"))
        await asyncio.sleep(0.7)
        waiting = asyncio.create_task(two.run("Ho", session_id="s", run_id="r2"))
        behind = asyncio.create_task(one.run("Hu", session_id="s", run_id="r3"))  # has no row yet
        await asyncio.sleep(0.5)
        await one.cancel("r2")
        await one.cancel("r3")
        for task in (waiting, behind):
            with pytest.raises(RunFailed, match="was cancelled"):
                await task
        assert (await first).text == "Slow."
        assert await status(one, "r1") == "completed"
        assert await status(one, "r2") == "cancelled"


def dies(url: str, ends: Ends) -> None:
    carry_out(url, "tool", ends)


async def test_a_run_whose_process_died_is_cancelled_at_once_and_told_as_it_was(url: str, ends: Any) -> None:
    ours, theirs = ends
    process = forked.Process(target=dies, args=(url, theirs))
    process.start()
    assert await asyncio.to_thread(ours.poll, 60)
    await asyncio.sleep(0.3)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    async with auwgent({"middleware": [SQLModelSessions(url)], "agent": {"model": "scripted/echo"}}) as other:
        await other.cancel("r1")
        store = other.store
        assert store is not None
        assert await status(other, "r1") == "cancelled"
        results = [
            (turn.name, turn.outcome) for turn in (await store.get("", "s")).turns if turn.role == "tool"
        ]
        assert results == [("work", "unknown"), ("work", "ok")]
        resumed = await other.run("and?", session_id="s")
        assert len([turn for turn in resumed.turns if turn.role == "tool"]) == 2


async def test_what_is_not_there_or_is_over_is_not_cancelled(url: str) -> None:
    given: Any = {"middleware": [SQLModelSessions(url)], "agent": {"model": "scripted/echo"}}
    async with auwgent(given) as agent:
        await agent.run("Hi", session_id="s", run_id="r1", user_id="ada")
        await agent.cancel("r1", user_id="ada")
        assert await status(agent, "r1", "ada") == "completed"
        for user, run_id in [("", "r1"), ("ada", "r2")]:
            with pytest.raises(SessionNotFound):
                await agent.cancel(run_id, user_id=user)
    with pytest.raises(SessionNotFound):
        await auwgent({"middleware": [], "agent": {"model": "scripted/echo"}}).cancel("r1")


async def test_a_tool_can_end_its_own_run_and_who_cancels_its_task_is_told_by_that(url: str) -> None:
    async def stop(ctx: Any) -> str:
        """Stops."""
        ctx.cancelRun()
        await asyncio.sleep(60)
        return ""

    model = {"use": "scripted/main", "params": {"replies": [{"tool_calls": [{"name": "stop"}]}]}}
    given: Any = {"agent": {"model": "main", "tools": [stop]}, "models": {"main": model}}
    given |= {"middleware": [SQLModelSessions(url)]}
    async with auwgent(given) as agent:
        with pytest.raises(RunFailed) as ended:
            await agent.run("Hi")
        assert ended.value.session.turns[-1].outcome == "unknown"
        slow: Any = {
            "models": {"main": {"use": "scripted/main", "params": {"replies": [{"text": "", "delay": 9}]}}}
        }
    given |= {**slow, "middleware": [SQLModelSessions(url)]}
    async with auwgent(given) as agent:
        task = asyncio.create_task(agent.run("Hi", run_id="r9"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await status(agent, "r9") == "cancelled"
