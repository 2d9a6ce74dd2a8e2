"""Signs of life: while nothing comes, one line of the terminal says what is waited for, and for how long."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self, TextIO

from auwgent.intents import CALLS, RESULTS, SKIPPED, Intent
from auwgent.render.terminal import one_line
from auwgent.runtime import Runtime

PATIENCE = 0.4  # seconds; what is quicker is not told
BEAT = 0.5  # seconds between two looks at the clock

shown: ContextVar[WaitingLine | None] = ContextVar("shown", default=None)


class WaitingLine:
    """The line, as long as the block lasts. Whoever writes to the terminal hides it first. Needs a running loop."""

    def __init__(self, stream: TextIO, agent: Runtime, *, on: bool) -> None:
        self._stream = stream
        self._on = on and stream.isatty() and os.environ.get("TERM") != "dumb"
        config = agent.config
        named = config.models.get(config.agent.model)
        self._root, self._model = config.agent.name, config.agent.model if named is None else str(named.use)
        self._what = f"waiting for {self._model}"
        self._at_work: dict[str, str] = {}  # names of calls, by their ids
        self._in_text = False  # the cursor stands behind words that are not to be erased
        self._since = time.monotonic()
        self._is_shown = self._is_hushed = False
        self._beat: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._on:
            self._token = shown.set(self)
            self._beat = asyncio.get_running_loop().call_later(PATIENCE, self._show)
        return self

    def __exit__(self, *error: object) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self.hide()
            shown.reset(self._token)

    def hide(self) -> None:
        """Take the line away, before something else is written."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._is_shown = False

    def saw(self, intent: Intent) -> None:
        """Note what has come, which decides what is waited for now."""
        if intent.partial or intent.name.startswith("response_"):
            self._in_text = self._in_text or intent.name.startswith("response_")
            return
        if intent.name in CALLS:
            self._at_work[intent.value["id"]] = intent.value["type"]
        elif intent.name in (*RESULTS, *SKIPPED, "tool_error"):
            self._at_work.pop(intent.value["id"], None)
        else:
            return
        who = self._model if intent.agent == self._root else f"{intent.agent}'s model"
        names = ", ".join(self._at_work.values())
        self._what = f"{names} at work" if names else f"waiting for {who}"
        self._in_text, self._since = False, time.monotonic()

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Show nothing until the block ends: somebody is asked something."""
        self.hide()
        self._is_hushed = True
        try:
            yield
        finally:
            self._is_hushed, self._since = False, time.monotonic()

    def _show(self) -> None:
        self._beat = asyncio.get_running_loop().call_later(BEAT, self._show)
        seconds = time.monotonic() - self._since
        if self._in_text or self._is_hushed or seconds < PATIENCE:
            return
        text = one_line(f"{self._what} … {seconds:.0f} s")
        room = shutil.get_terminal_size().columns - 1
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        self._stream.write(f"\r\x1b[2m{text}\x1b[0m\x1b[K")
        self._stream.flush()
        self._is_shown = True
