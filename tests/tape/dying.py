"""An agent that does one thing after the other, and a process that dies while it writes this down."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from typing_extensions import Buffer

from tests.tape.acting import World, call, config, recorded, scripted

STEPS = (
    {"text": "Let me look.", "tool_calls": [call("find_order", number=7)]},
    {"tool_calls": [call("clean_up", users=["ada", "bob"])]},
    {"tool_calls": [call("Joker", input="A joke")]},
    {"tool_calls": [call("breaks")]},
    {"tool_calls": [call("refund", number=7)]},
    "Done.",
)


def one_by_one() -> dict[str, Any]:
    """An agent that does one thing after the other, so that all its runs have one order."""
    return config(World(), models={"main": scripted("main", *STEPS), "fun": scripted("fun", "Knock knock.")})


def record_and_die(tape: Path, number: int, moment: str) -> None:
    """Record a run, and end as by `kill -9` at that write to the tape."""
    write, written = os.write, 0

    def writes(file: int, data: Buffer) -> int:
        nonlocal written
        if not os.path.samestat(os.fstat(file), tape.stat()):
            return write(file, data)
        written += 1
        if written == number:
            if moment == "in its middle":
                write(file, memoryview(data)[: memoryview(data).nbytes // 2])
            elif moment == "behind it":
                write(file, data)
            os.kill(os.getpid(), signal.SIGKILL)
        return write(file, data)

    os.write = writes
    asyncio.run(recorded(one_by_one(), tape))
