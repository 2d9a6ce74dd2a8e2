"""`auwgent` as users run it: a process of its own, also on a terminal of its own.

Where a test looks at what a command says or does, it is a fork of one that has the package loaded (`forks`). What
is about starting, signals or streams gets an interpreter of its own: `start`, or `Command(…, alone=True)`.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import forks
from tests.support.forks import Done

PROMPT = "\x1b[?2004h"  # a line editor is ready and wants to know of pastes
MARK = "\ue000"
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>78])")


class Command:
    """Runs `auwgent` in `folder`, without what the developer's own environment would change.

    `alone`: each in an interpreter of its own. `litellm`: in a fork of one that has LiteLLM loaded, too.
    """

    def __init__(self, folder: Path, *, alone: bool = False, litellm: bool = False) -> None:
        self.folder, self.is_alone, self.litellm = folder, alone, litellm

    def __call__(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
        options = self.options(env or {})
        if self.is_alone or not forks.can_take(options["env"]):
            return subprocess.run(self.line(*args), input=stdin, capture_output=True, timeout=180, **options)
        words = self.line(*args)[1:]
        return forks.run(words, stdin=stdin, cwd=self.folder, env=options["env"], litellm=self.litellm)

    def start(self, *args: str, **streams: Any) -> Any:
        """Leaves it running; `streams` are those of `Popen`, which this gives, without the None in their types."""
        return subprocess.Popen(self.line(*args), **{**self.options({}), **streams})

    def on_terminal(self, *args: str, columns: int = 80, env: Mapping[str, str] | None = None) -> "Terminal":
        """Leaves it running on a terminal."""
        options = self.options({"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(env or {})})
        return Terminal(self.line(*args)[1:], columns, self.folder, options["env"], litellm=self.litellm)

    def line(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "auwgent", *args]

    def options(self, env: Mapping[str, str]) -> dict[str, Any]:
        ours = ("AUWGENT_", "_AUWGENT", "COLUMNS", "NO_COLOR", "PYTHONIOENCODING")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return {"cwd": self.folder, "env": {**kept, "PYTHONWARNINGS": "error", **env}, "encoding": "utf-8"}


class Terminal:
    """A command on a terminal: `type` what a user types, wait `until` something is there to be read."""

    def __init__(
        self, words: list[str], columns: int, folder: Path, env: Mapping[str, str], *, litellm: bool
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = forks.on_terminal(words, theirs, cwd=folder, env=env, litellm=litellm)
        os.close(theirs)
        self._raw = ""
        self._seen = 0  # characters of it, without the escapes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, text: str, seconds: float = 30) -> str:
        """What was shown up to and with `text`, without colours and cursor movements."""
        end = time.monotonic() + seconds
        while text not in (shown := self._shown()):
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{text!r} was never shown, but {shown!r}")
        before, _, _ = shown.partition(text)
        self._seen += len(before) + len(text)
        return (before + text).replace(MARK, "")

    def until_prompt(self, seconds: float = 30) -> str:
        """What was shown up to where the command waits for a line to be typed."""
        return self.until(MARK, seconds)

    def ended(self, seconds: float = 30) -> int:
        """The exit code, once the command has ended; what it still had to say can be read on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read():
            pass
        return self.process.wait(timeout=seconds)

    @property
    def unread(self) -> str:
        """What was shown since the last `until`."""
        return self._shown().replace(MARK, "")

    def _shown(self) -> str:
        return ESCAPES.sub("", self._raw.replace(PROMPT, MARK))[self._seen :]

    def _read(self) -> bool:
        """Read a little more; False at the end."""
        if select.select([self._ours], [], [], 0.2)[0]:
            try:
                self._raw += os.read(self._ours, 10_000).decode(errors="replace")
            except OSError:  # Linux says so that nobody is at the other end any more
                return False
        return True
