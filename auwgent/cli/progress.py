"""Shows what is being waited for, or how far it is, on one line of a terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TextIO

import click

from auwgent.render.terminal import one_line

PATIENCE = 0.4  # seconds; what is quicker is not told


class Steps:
    """Names the steps under way on `stream`, where that is a terminal. Needs a running event loop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on = may_draw(stream)
        self._steps: list[str] = []
        self._shown = False

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show `what` as under way until the block ends."""
        self._steps.append(what)
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._show) if self._on else None
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            self._steps.remove(what)
            if self._shown:
                self._show()

    def _show(self) -> None:
        text = one_line(f"waiting for {', '.join(self._steps)} …") if self._steps else ""
        room = shutil.get_terminal_size().columns - 1
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        self._stream.write(f"\r{text}\x1b[K")  # what was there before is erased to the end of the line
        self._stream.flush()
        self._shown = bool(self._steps)


class ProgressBar:
    """How much of something long is done, with an estimate, where `stream` is a terminal. Any thread may call it."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._on, self._began = may_draw(stream), time.monotonic()
        self._shown = ExitStack()
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def __call__(self, done: int, number: int) -> None:
        """Show that so many of that number are done. What is over soon is not shown."""
        if not self._on or (self._bar is None and time.monotonic() - self._began < PATIENCE):
            return
        if self._bar is None:
            bar = click.progressbar(length=number, label=one_line(self._label), file=self._stream)
            self._bar = self._shown.enter_context(bar)
        self._bar.update(done - self._bar.pos)


def may_draw(stream: TextIO) -> bool:
    """Whether a line of it can be written over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
