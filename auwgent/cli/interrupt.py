"""Signals such as Ctrl-C: the first asks the work to stop, so that it can save; a second does not wait."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Collection, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

_ENDS = ("SIGTERM", "SIGHUP", "SIGBREAK")  # no system has all of them
ENDS = tuple(each for each in signal.Signals if each.name in _ENDS)
SIGNALS = (signal.SIGINT, *ENDS)


@dataclass(slots=True)
class Interrupt:
    """Whether a signal came, and which."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code a shell would report: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal or signal.SIGINT)


async def interruptible(work: Awaitable[object], signals: Collection[signal.Signals] = SIGNALS) -> int:
    """Do the work; gives the exit code, which is that of the signal where one has cancelled it."""
    task = asyncio.current_task()
    assert task is not None
    with cancels(task, signals) as interrupt:
        try:
            await work
        except asyncio.CancelledError:
            return interrupt.exit_code
    return 0


@contextlib.contextmanager
def cancels(task: asyncio.Future[Any], signals: Collection[signal.Signals]) -> Iterator[Interrupt]:
    """Within this, the first of these signals cancels the task. Then they do again what they did before.

    One that whoever started us had us ignore, as `nohup` does, stays ignored.
    """
    loop = asyncio.get_running_loop()
    interrupt = Interrupt()

    def heard(number: int, frame: FrameType | None) -> None:
        interrupt.signal = number
        restore()
        loop.call_soon_threadsafe(task.cancel)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {
        number: signal.signal(number, heard)
        for number in signals
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield interrupt
    finally:
        restore()
