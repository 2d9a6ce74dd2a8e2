"""Tools of the workers in the tests: each notes in a file that it began, and that it ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any


def note(ctx: Any, name: str, what: str) -> None:
    """Write a line, whole or not at all, that outlives the process."""
    file = os.open(Path(os.environ["TOOL_LOG"]), os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(file, f"{ctx.runId} {name} {what} {os.getpid()}\n".encode())
    os.close(file)


async def charge(ctx: Any) -> str:
    """Charge the card."""
    note(ctx, "charge", "start")
    await asyncio.sleep(float(os.environ.get("TOOL_SECONDS", "0.05")))
    note(ctx, "charge", "end")
    return "charged"


async def refund(ctx: Any) -> str:
    """Give the money back."""
    note(ctx, "refund", "start")
    return "refunded"


async def crash(ctx: Any) -> str:
    """End the process."""
    note(ctx, "crash", "start")
    os.kill(os.getpid(), 9)
    return ""
