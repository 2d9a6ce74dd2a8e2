"""`auwgent` as users run it: a process of its own, also on a terminal of its own."""

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

Done = subprocess.CompletedProcess[str]

PROMPT = "\x1b[?2004h"  # a line editor is ready and wants to know of pastes
MARK = "\ue000"
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>78])")


class Command:
    """Runs `auwgent` in `folder`, without what the developer's own environment would change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
        return subprocess.run(
            self.line(*args), input=stdin, capture_output=True, timeout=60, **self.options(env or {})
        )

    def start(self, *args: str, **streams: Any) -> Any:
        """Leaves it running; `streams` are those of `Popen`, which this gives, without the None in their types."""
        return subprocess.Popen(self.line(*args), **{**self.options({}), **streams})

    def on_terminal(self, *args: str, columns: int = 80, env: Mapping[str, str] | None = None) -> "Terminal":
        """Leaves it running on a terminal."""
        options = self.options({"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(env or {})})
        return Terminal(self.line(*args), columns, {key: options[key] for key in ("cwd", "env")})

    def line(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "auwgent", *args]

    def options(self, env: Mapping[str, str]) -> dict[str, Any]:
        ours = ("AUWGENT_", "_AUWGENT", "COLUMNS", "NO_COLOR", "PYTHONIOENCODING")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return {"cwd": self.folder, "env": {**kept, "PYTHONWARNINGS": "error", **env}, "encoding": "utf-8"}


class Terminal:
    """A command on a terminal: `type` what a user types, wait `until` something is there to be read."""

    def __init__(self, line: list[str], columns: int, options: dict[str, Any]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            line,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
            **options,
        )
        os.close(theirs)
        self._raw = ""
        self._seen = 0  # characters of it, without the escapes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
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
