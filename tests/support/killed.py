"""A process that runs an agent on a store and kills itself, as `kill -9` would, at one point of the run.

The agent has a tool `pay` that must not be repeated and a tool `look` that may; both write a line to a log. A point
is `hook`, `hook:at`, or `tool:name`; with `before ` or `after ` in front, as seen from the store. At `nowhere` it
lives.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auwgent import Runtime
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware import SQLModelSessions
from tests.support.processes import forked

REPLIES = [
    {"when": "pay", "tool_calls": [{"name": "pay", "args": {"amount": 5}}]},
    {"result": "pay: done", "tool_calls": [{"name": "look", "args": {"at": "sky"}}]},
    {"result": "look: done", "text": "It is done."},
    {"result": "unknown", "text": "I cannot tell whether it was done."},
    {"when": "what happened", "text": "I shall tell you."},
]
SCRIPTED = {"use": "scripted/main", "params": {"replies": REPLIES}}


END = signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), END)


class Killer:
    """Kills the process when its hook's turn comes."""

    def __init__(self, point: str) -> None:
        self.hook, _, self.at = point.partition(":")

    def _reached(self, hook: str, at: str = "") -> None:
        if hook == self.hook and self.at in ("", at):
            die()

    @leaves_input
    def onRunStart(self, session: Any, ctx: Any) -> None:
        self._reached("onRunStart")

    def onCheckpoint(self, session: Any, ctx: Any) -> None:
        moment = ctx.checkpoint
        self._reached("onCheckpoint", " ".join(filter(None, (moment["at"], moment.get("name")))))

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self._reached("onLLMStart")

    def onIntentPartial(self, name: str, value: Any, ctx: Any) -> None:
        self._reached("onIntentPartial", name)

    def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        self._reached("onIntent", " ".join(filter(None, (name, value.get("name", value.get("type"))))))

    def onRunComplete(self, session: Any, ctx: Any) -> None:
        self._reached("onRunComplete")


def agent_on(url: str, point: str, log: Path, model: Mapping[str, Any] = SCRIPTED) -> Any:
    """The agent, with a killer on the side of the store that the point names."""

    def note(name: str) -> str:
        with log.open("a") as file:
            file.write(f"{name}\n")
        if point == f"tool:{name}":
            die()
        return f"{name}: done"

    def pay(amount: int) -> str:
        """Pay."""
        return note("pay")

    def look(at: str) -> str:
        """Look."""
        return note("look")

    side, hook = point.split(" ", 1) if point.startswith(("before ", "after ")) else ("after", point)
    killer = Killer(hook)
    store = SQLModelSessions(url)
    return Runtime(
        {
            "middleware": [killer, store] if side == "before" else [store, killer],
            "agent": {"model": "main", "tools": [pay, {"use": look, "idempotent": True}]},
            "models": {"main": model},
        }
    )


async def run(url: str, point: str, log: Path, session_id: str, text: str, run_id: str | None = None) -> None:
    """One run, to its end or to that point."""
    async with agent_on(url, point, log) as agent:
        async for _ in agent.stream(text, session_id=session_id, run_id=run_id):
            pass


def main(*arguments: Any) -> None:
    """What the process does."""
    asyncio.run(run(*arguments))


def die_at(
    url: str, point: str, log: Path, session_id: str, text: str = "Please pay", run_id: str | None = None
) -> None:
    """Have a process of its own die there."""
    process = forked.Process(target=main, args=(url, point, log, session_id, text, run_id))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"it did not come to {point!r}"


def stop_at(url: str, point: str, log: Path, run_id: str) -> None:
    """What a process does that is stopped there; when it is let go, it notes that it has the outcome."""
    global END
    END = signal.SIGSTOP
    main(url, point, log, "s1", "Please pay", run_id)
    with log.open("a") as file:
        file.write("outcome\n")


def wait_until_stopped(number: int | None) -> None:
    """Wait until that process was stopped."""
    deadline = time.monotonic() + 60
    while Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "it was not stopped"
        time.sleep(0.02)
