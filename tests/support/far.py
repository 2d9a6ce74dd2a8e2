"""A process that carries out runs on a store, whose model says as many words as it is told to, when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from auwgent import Runtime
from auwgent.models.scripted import ScriptedModel
from auwgent.relay.follow import relay_of
from tests.support.processes import forked

Commands: TypeAlias = "Connection[Any, Any]"


class Permits:
    """How many pieces may still be said in this process; None: all."""

    def __init__(self) -> None:
        self.left: int | None = 0
        self.more = asyncio.Condition()
        self.waiting = 0

    async def take(self) -> None:
        async with self.more:
            self.waiting += 1
            self.more.notify_all()
            await self.more.wait_for(lambda: self.left is None or self.left > 0)
            self.waiting -= 1
            if self.left is not None:
                self.left -= 1

    async def give(self, count: int | None) -> None:
        """Let so many pieces be said, and wait until the model wants to say another one."""
        async with self.more:
            self.left = count
            self.more.notify_all()
            if count is not None:
                await self.more.wait_for(lambda: self.left == 0 and self.waiting > 0)


permits: Permits


class Paced(ScriptedModel):
    """Says a word when it may."""

    async def _wait(self, seconds: float) -> None:
        await permits.take()


def echo(text: str) -> str:
    """Say it again."""
    return text


async def work(commands: Commands, config: Mapping[str, Any]) -> None:
    """Do what is asked, until it is killed."""
    global permits
    permits = Permits()
    running: set[asyncio.Task[Any]] = set()
    agents: list[Runtime] = []
    while True:
        command, argument = await asyncio.to_thread(commands.recv)
        if command == "begin":
            run_id, replies = argument
            models = {"main": {"use": "tests.support.far.Paced", "params": {"replies": replies}}}
            agents.append(Runtime({**config, "agent": {"model": "main", "tools": [echo]}, "models": models}))
            await agents[-1].open()
            running.add(asyncio.create_task(agents[-1].run("Hi", session_id="s", run_id=run_id)))
            await permits.give(0)
        elif command == "say":
            await permits.give(argument)
        elif command == "end":
            await asyncio.wait(running)
        relay = await relay_of(agents[-1].store)
        commands.send(relay.speaker.count if relay is not None else 0)


def main(commands: Commands, config: str) -> None:
    """What the process does."""
    asyncio.run(work(commands, json.loads(config)))


class Elsewhere:
    """Such a process, from the outside."""

    def __init__(self, commands: Commands, pid: int) -> None:
        self._commands, self._pid = commands, pid

    async def begins(self, run_id: str, replies: list[Any]) -> str:
        """Begin a run, or go on with it: its model was asked, and says nothing yet."""
        await self._ask("begin", (run_id, replies))
        return run_id

    async def says(self, count: int | None = None) -> None:
        """Let the model say so many pieces more, or all that is left."""
        await self._ask("say", count)

    async def ends(self) -> None:
        """Wait until its runs are over."""
        await self._ask("end", None)

    async def told(self) -> int:
        """How many messages it has posted to those who read."""
        count: int = await self._ask("look", None)
        return count

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self._pid, number)

    async def _ask(self, command: str, argument: Any) -> Any:
        self._commands.send((command, argument))
        assert await asyncio.to_thread(self._commands.poll, 60), "no answer"
        return self._commands.recv()


@contextmanager
def elsewhere(config: Mapping[str, Any]) -> Iterator[Elsewhere]:
    """A process with the middleware of a config; it is killed at the end."""
    ours, theirs = forked.Pipe()
    process = forked.Process(target=main, args=(theirs, json.dumps({"middleware": config["middleware"]})))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield Elsewhere(ours, process.pid)
    finally:
        process.kill()
        process.join()
        ours.close()
