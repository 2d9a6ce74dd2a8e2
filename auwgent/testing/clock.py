"""A clock that tests hold in their hands."""

from __future__ import annotations

from contextvars import Token
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from auwgent.session import ticks


class Clock:
    """The time that turns and intents are stamped with, within its `with` block: it stands still until it is moved.

    `step` seconds go by each time it is read. What waits for real time, such as `limits.seconds`, does not heed it.
    """

    def __init__(self, start: datetime | str = "2026-01-01T00:00:00+00:00", *, step: float = 0.0) -> None:
        now = datetime.fromisoformat(start) if isinstance(start, str) else start
        self.now = now.astimezone(UTC)
        self._step = timedelta(seconds=step)
        self._before: Token[Any] | None = None

    def move(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def __call__(self) -> datetime:
        now, self.now = self.now, self.now + self._step
        return now

    def __enter__(self) -> Self:
        self._before = ticks.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._before is not None
        ticks.reset(self._before)
