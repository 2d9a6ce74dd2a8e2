"""A run that is taken up again: which of its open calls may still be made, and where its helpers go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auwgent.engine.order import Left
from auwgent.engine.state import Run
from auwgent.pairing import paired, skipped_result, unknown_result
from auwgent.session import ToolCall, Turn


def take_up(run: Run) -> list[ToolCall]:
    """Close the calls that nobody may make any more; return those of the agent on top of the stack that are left.

    A store says in `ctx["interrupted"]` which calls its own runs have left open, and which of them had begun. Of
    the last message of the agent that goes on, idempotent ones may be made again, and where the run is to go on
    without new input also those that never began; and helpers go on where they were, with such calls of theirs. What
    came with a session from elsewhere is never made.
    """
    recorded = run.notes.get("interrupted")
    if recorded is None:
        run.close_calls()
        return []
    reading = _Reading(run, recorded)
    last = reading.last_of(run.session.stack[-1])
    still = [] if last is None else reading.left(last, run.session.stack[-1])
    run.session.turns[:] = paired(run.session.turns, reading.result, where_said=True)
    return still


class _Reading:
    """One look at the open calls of a session. Calls are known by their turn and their id."""

    def __init__(self, run: Run, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        self.run, self.recorded = run, recorded
        self.open: set[tuple[str, str]] = set()
        self.still: set[tuple[str, str]] = set()
        self.places = {turn.id: place for place, turn in enumerate(run.session.turns)}
        paired(run.session.turns, lambda turn, call: self.open.add((turn.id, call.id)))
        answered = {turn.tool_call_id: turn.id for turn in run.session.turns if turn.role == "tool"}
        for call_id, turn_ids in run.progress.helpers.items():
            run.authors.update(dict.fromkeys(turn_ids, call_id))
            if call_id in answered:
                run.ended.add(call_id)
        self.ends = {
            call_id: self.places[answered[call_id]] for call_id in run.progress.helpers if call_id in answered
        }

    def last_of(self, agent: str) -> Turn | None:
        """Return the last message of the agent that goes on, if nobody but its helpers said anything behind it."""
        helpers = {turn_id for turn_ids in self.run.progress.helpers.values() for turn_id in turn_ids}
        said = [turn for turn in self.run.session.turns if turn.role != "tool" and turn.id not in helpers]
        return said[-1] if said and said[-1].agent == agent else None

    def left(self, message: Turn, agent: str) -> list[ToolCall]:
        """Return the open calls of a message that may be made, and note where its helpers go on."""
        found = []
        for call in message.tool_calls or ():
            if (message.id, call.id) not in self.open or not self._may_be_made(call, agent):
                continue
            self.still.add((message.id, call.id))
            found.append(call)
            if call.name in self.run.services.agents[agent].helpers:
                self._enter(call)
        return found

    def result(self, turn: Turn, call: ToolCall) -> Turn | None:
        """Return the result of an open call; None where it stays open."""
        if (turn.id, call.id) in self.still:
            return None
        known = self.recorded.get(call.id)
        begun = known is not None and _is_same(known, call) and known["begun"]
        return unknown_result(turn, call) if begun else skipped_result(turn, call)

    def _may_be_made(self, call: ToolCall, agent: str) -> bool:
        known = self.recorded.get(call.id)
        if known is None or not _is_same(known, call):
            return False
        if self.run.input is None and not known["begun"]:
            return True
        if call.name in self.run.services.agents[agent].helpers:
            return self.run.input is None
        return bool(known["begun"] and known["idempotent"])

    def _enter(self, call: ToolCall) -> None:
        ids = [one for one in self.run.progress.helpers.get(call.id, ()) if one in self.places]
        if not ids:
            return
        began = min(self.places[one] for one in ids)
        said = [turn for turn in self.run.session.turns if turn.id in ids and turn.role != "tool"]
        calls = self.left(said[-1], call.name) if said and said[-1].role == "assistant" else []
        before = frozenset(one for one, end in self.ends.items() if end < began)
        self.run.left[call.id] = Left(tuple(ids), tuple(calls), before)


def _is_same(known: Mapping[str, Any], call: ToolCall) -> bool:
    return (known["name"], known["args"]) == (call.name, call.args)
