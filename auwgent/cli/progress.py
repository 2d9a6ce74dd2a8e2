"""Shows what is being waited for, on one terminal line that is removed at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from auwgent.render.terminal import one_line

PATIENCE = 0.4  # seconds; what is quicker is not told


class Progress:
    """Names the steps under way on `stream`, where that is a terminal. Needs a running event loop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on = stream.isatty() and os.environ.get("TERM") != "dumb"
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
