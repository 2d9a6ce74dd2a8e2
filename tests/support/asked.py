"""A process that answers a paused run and kills itself at one point of the next leg; see `killed` for the points.

`pay` is asked about, by Main or by its helper's helper; each call of it writes a line to a log.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from auwgent import Runtime
from auwgent.middleware import SQLModelSessions
from tests.support.killed import Killer, die
from tests.support.processes import forked

NO = object()  # no answers
NOW = {"when": "what now", "text": "Nothing."}  # the next input, after the question
END = [
    {"result": "paid", "text": "It was paid."},
    {"result": "denied", "text": "It was denied."},
    {"result": "unknown", "text": "Nobody knows."},
    {"result": "Error", "text": "It failed."},
]


def _call(name: str, call_id: str, **args: Any) -> dict[str, Any]:
    return {"when": "pay", "tool_calls": [{"id": call_id, "name": name, "args": args}]}


SCRIPTS = {
    "root": {"main": [_call("pay", "p1", amount=5), NOW, *END]},
    "nested": {
        "main": [_call("Scout", "s1", input="please pay"), NOW, {"result": "", "text": "Told: {result}"}],
        "Scout": [_call("Miner", "m1", input="do pay"), {"result": "", "text": "Told: {result}"}],
        "Miner": [_call("pay", "p1", amount=5), *END],
    },
}


def agent_on(
    url: str,
    point: str,
    log: Path,
    where: str,
    *,
    approve: str = "ask",
    approval: str = "7d",
    gone: bool = False,
) -> Runtime[Any]:
    """The agent; with `gone` its tool is there no more."""

    def pay(amount: int) -> str:
        """Pay."""
        with log.open("a") as file:
            file.write("pay\n")
        if point == "tool:pay":
            die()
        return "paid"

    side, hook = point.split(" ", 1) if point.startswith(("before ", "after ")) else ("after", point)
    killer, store = Killer(hook), SQLModelSessions(url)
    tools: list[Any] = [] if gone else [{"use": pay, "approve": approve}]
    helpers = {}
    if where == "nested":
        helpers["Scout"] = {"description": "s", "model": "Scout", "helpers": ["Miner"]}
        helpers["Miner"] = {"description": "m", "model": "Miner", "tools": tools}
    return Runtime(
        {
            "middleware": [killer, store] if side == "before" else [store, killer],
            "agent": {"model": "main", "helpers": ["Scout"]}
            if helpers
            else {"model": "main", "tools": tools},
            "helpers": helpers,
            "limits": {"approval": approval},
            "models": {
                name: {"use": f"scripted/{name}", "params": {"replies": script}}
                for name, script in SCRIPTS[where].items()
            },
        }
    )


async def _run(url: str, point: str, log: Path, where: str, answer: Any) -> None:
    async with agent_on(url, point, log, where) as agent:
        if answer is NO or answer == "NO":
            await agent.run("Please pay", session_id="s1", run_id="r1")
        else:
            await agent.run(None, session_id="s1", answers={"p1": answer})


def main(*arguments: Any) -> None:
    """What the process does."""
    asyncio.run(_run(*arguments))


def die_at(url: str, point: str, log: Path, where: str, answer: Any) -> None:
    """Have a process die there that gives this answer, or asks where that is "NO"."""
    process = forked.Process(target=main, args=(url, point, log, where, answer))
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL, f"it did not come to {point!r}"
