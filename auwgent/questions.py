"""The calls that a paused run waits for, and which answers fit them. All of it is JSON: it is kept with the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from auwgent.errors import ArgumentError, RunConflict
from auwgent.session import ToolCall, is_too_deep
from auwgent.words import did_you_mean

Kind = Literal["approval", "tool"]
Question = dict[str, Any]  # id, type, args, agent, kind, expires
FITTING: Mapping[Kind, str] = {
    "approval": "true, false, or a text that says why not",
    "tool": '{"result": …}, {"error": "…"} or false',
}


def question(call: ToolCall, agent: str, kind: Kind, expires: datetime) -> Question:
    """Return what is asked about a call: its name and arguments as they are recorded."""
    return {
        "id": call.id,
        "type": call.name,
        "args": json.loads(json.dumps(call.args)),
        "agent": agent,
        "kind": kind,
        "expires": expires.isoformat(),
    }


def unanswered(calls: Sequence[Question], answers: Mapping[str, Any]) -> list[Question]:
    """Return the calls that still wait."""
    return [call for call in calls if call["id"] not in answers]


def new_answers(
    run_id: str, calls: Sequence[Question], known: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return those of the `given` answers that are not `known` yet.

    `ArgumentError` where one fits no call, `RunConflict` where a call was answered differently. One that is wrong
    makes all of them void.
    """
    asked = {call["id"]: call for call in calls}
    new: dict[str, Any] = {}
    for call_id, answer in given.items():
        if call_id in known:
            if _text(answer) != _text(known[call_id]):
                raise RunConflict(
                    f"call {call_id!r} of run {run_id!r} was answered already, and differently",
                    code="already_answered",
                )
        elif call_id not in asked:
            hint = (
                did_you_mean(str(call_id), asked)
                or f"it asked about {', '.join(map(repr, asked)) or 'nothing'}"
            )
            raise ArgumentError(f"run {run_id!r} does not wait for an answer to {call_id!r}; {hint}")
        elif not _fits(asked[call_id]["kind"], answer):
            raise ArgumentError(
                f"call {call_id!r} of {asked[call_id]['type']!r} takes {FITTING[asked[call_id]['kind']]}"
            )
        else:
            new[call_id] = answer
    return new


def _fits(kind: Kind, answer: Any) -> bool:
    if answer is False:
        return True
    if kind == "approval":
        return answer is True or (isinstance(answer, str) and answer.strip() != "")
    if not isinstance(answer, Mapping) or len(answer) != 1 or is_too_deep(answer):
        return False
    if "error" in answer:
        return isinstance(answer["error"], str)
    return "result" in answer and _text(answer) is not None


def _text(answer: Any) -> str | None:
    """Return an answer as it is kept; None where it cannot be."""
    try:
        return json.dumps(answer, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
