"""A run for programs: one JSON object a line for each intent, and a last one for the run."""

from __future__ import annotations

import json
from typing import Any, TextIO

from auwgent.errors import ConfigError
from auwgent.intents import Intent
from auwgent.render.base import Outcome

WHOLE_SO_FAR = dict.fromkeys(("snapshot", "raw"))


class JsonLines:
    """Prints to `out` and nowhere else. The lines are ASCII: no encoding and no terminal can break them.

    What a streamed piece repeats of those before it is null, unless `snapshots` are wanted: the output would
    grow with the square of the answer.
    """

    def __init__(self, out: TextIO, *, snapshots: bool = False) -> None:
        self._out = out
        self._snapshots = snapshots

    def show(self, intent: Intent) -> None:
        line = intent.as_json()
        if intent.partial and not self._snapshots:
            line["value"] = {**intent.value, **WHOLE_SO_FAR}
        self._print(line)

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
