"""What shows a run: something that is handed each intent, and at last how the run ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal, Protocol

from auwgent.intents import Intent
from auwgent.session import Session, Usage

Status = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `session` is None where the run failed before there was one."""

    session: Session | None = None
    usage: Usage = field(default_factory=Usage)
    error: BaseException | None = None

    @property
    def status(self) -> Status:
        if self.error is None:
            return "completed"
        return "cancelled" if isinstance(self.error, asyncio.CancelledError) else "failed"


class Printer(Protocol):
    """Shows one run."""

    def show(self, intent: Intent) -> None:
        """The next intent, partial ones included."""
        ...

    def over(self, outcome: Outcome) -> None:
        """The run is over, or never began. Called once."""
        ...
