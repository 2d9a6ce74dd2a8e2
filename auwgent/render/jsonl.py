"""A run for programs: one JSON object a line for each intent, and a last one for the run."""

from __future__ import annotations

import json
from typing import Any, TextIO

from auwgent.errors import ConfigError
from auwgent.intents import Intent
from auwgent.render.base import Outcome

MERGED = 64  # a line of a streamed answer adds at least this fraction of what it repeats


class JsonLines:
    """Prints to `out` and nowhere else. The lines are ASCII: no encoding and no terminal can break them.

    Each streamed piece repeats all that came before it. The longer an answer is, the more pieces are put
    together in a line, so that the output grows with the answer and not with its square.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._held: Intent | None = None  # the last piece, while it waits for more
        self._deltas: list[str] = []  # of what waits
        self._waiting = 0  # its length
        self._segment, self._length = -1, 0  # which one is under way, and how much has come of it

    def show(self, intent: Intent) -> None:
        if intent.partial:
            self._hold(intent)
        else:
            self._release()
            self._print(intent.as_json())

    def over(self, outcome: Outcome) -> None:
        self._release()
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

    def _hold(self, piece: Intent) -> None:
        if self._segment != piece.value["segment"]:
            self._release()
            self._segment, self._length = piece.value["segment"], 0
        self._held = piece
        self._deltas.append(piece.value["delta"])
        self._waiting += len(piece.value["delta"])
        self._length += len(piece.value["delta"])
        if self._waiting * MERGED >= self._length:
            self._release()

    def _release(self) -> None:
        if self._held is not None:
            line = self._held.as_json()
            self._print({**line, "value": {**line["value"], "delta": "".join(self._deltas)}})
        self._held, self._deltas, self._waiting = None, [], 0

    def _print(self, value: dict[str, Any]) -> None:
        self._out.write(json.dumps(value, default=str) + "\n")
        self._out.flush()
