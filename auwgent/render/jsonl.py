"""A run for programs: one JSON object a line for each intent, and a last one for the run."""

from __future__ import annotations

import json
from typing import Any, TextIO

from auwgent.errors import ConfigError
from auwgent.intents import Intent
from auwgent.render.base import Outcome


class JsonLines:
    """Prints to `out` and nowhere else. The lines are ASCII: no encoding and no terminal can break them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, intent: Intent) -> None:
        self._print(intent.as_json())

    def over(self, outcome: Outcome) -> None:
        session = outcome.session
        line: dict[str, Any] = {
            "event": "run",
            "status": outcome.status,
            "session_id": session.id if session else None,
            "text": session.text if session else "",
            "usage": outcome.usage.model_dump(mode="json"),
        }
        if outcome.status == "failed":
            line["error"] = {"kind": type(outcome.error).__name__, "message": str(outcome.error)}
        if isinstance(outcome.error, ConfigError):
            line["error"]["problems"] = [str(problem) for problem in outcome.error.problems]
        self._print(line)

    def _print(self, value: dict[str, Any]) -> None:
        self._out.write(json.dumps(value, default=str) + "\n")
        self._out.flush()
