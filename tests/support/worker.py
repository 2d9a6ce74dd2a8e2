"""A process that runs on a store as it is told, so that a test can stop or kill it at any point.

Commands are `start ID`, `say TEXT`, `save`, `tool CALL_ID NAME`, `block SECONDS`, `end`, `talk ID COUNT TEXT`. Each is
answered: `ok …`, or the error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeAlias, cast

from auwgent.errors import AuwgentError
from auwgent.middleware import SQLModelSessions
from auwgent.session import ToolCall
from auwgent.testing.runs import StoreRun, talk
from tests.support.processes import forked

Commands: TypeAlias = "Connection[str, str]"


async def serve(commands: Commands, url: str, on_busy: Any) -> None:
    """Do what is asked."""
    store = SQLModelSessions(url, on_busy=on_busy)
    run: StoreRun | None = None
    while True:
        command, *arguments = (await asyncio.to_thread(commands.recv)).split()
        try:
            if command == "start":
                run = await StoreRun(store, arguments[0]).start()
                commands.send(f"ok {len(run.session.turns)} {run.session.id}")
            elif command == "talk":
                for number in range(int(arguments[1])):
                    await talk(store, f"{arguments[2]}-{number}", arguments[0])
                commands.send("ok")
            else:
                await step(cast(StoreRun, run), command, arguments)
                commands.send("ok")
        except AuwgentError as error:
            commands.send(f"{type(error).__name__} {error}")


async def step(run: StoreRun, command: str, arguments: list[str]) -> None:
    """One step of a run that has started."""
    if command == "say":
        run.say(arguments[0])
    elif command == "save":
        await run.save()
    elif command == "tool":
        call = ToolCall(id=arguments[0], name=arguments[1])
        run.ask(call)
        await run.save(at="tool_start", call_id=call.id, name=call.name, idempotent=call.name == "look")
    elif command == "block":
        time.sleep(float(arguments[0]))  # noqa: ASYNC251  # as a tool does that does not let others go on
    elif command == "end":
        await run.end()


def main(commands: Commands, url: str, on_busy: str) -> None:
    """What the process does."""
    asyncio.run(serve(commands, url, on_busy))


class Worker:
    """Such a process, from the outside."""

    def __init__(self, commands: Commands, pid: int) -> None:
        self._commands = commands
        self._pid = pid

    def tell(self, command: str) -> None:
        """Send a command, and do not wait for its answer."""
        self._commands.send(command)

    def answer(self) -> str:
        """The answer to the oldest command that has none yet."""
        assert self._commands.poll(60), "no answer"
        return self._commands.recv()

    def ask(self, command: str) -> str:
        """Send a command; its answer."""
        self.tell(command)
        return self.answer()

    def all_ok(self, *commands: str) -> None:
        """Send commands that must succeed."""
        for command in commands:
            answer = self.ask(command)
            assert answer.startswith("ok"), f"{command}: {answer}"

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self._pid, number)


@contextmanager
def worker(url: str, on_busy: str = "queue") -> Iterator[Worker]:
    """A worker on that store; it is killed at the end, if it still lives."""
    ours, theirs = forked.Pipe()
    process = forked.Process(target=main, args=(theirs, url, on_busy))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield Worker(ours, process.pid)
    finally:
        process.kill()
        process.join()
        ours.close()
