"""The intents of a run as its turns tell of them: for what happened in another process, or is over."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from auwgent.intents import ANSWERS, CALLS, RESULTS, SKIPPED, Intent
from auwgent.session import Turn

# By these a whole intent is known again among those of the turns: the first call is the first call in both.
CLASSES = (("model_call",), ANSWERS, CALLS, (*RESULTS, *SKIPPED, "tool_error"))
Seen = tuple[int, int, int, int]  # how many of each class


def counted(intent: Intent, seen: Seen) -> Seen:
    """Return the count with one more whole intent."""
    models, answers, calls, results = (
        count + (intent.name in names) for names, count in zip(CLASSES, seen, strict=True)
    )
    return models, answers, calls, results


def count_of(intents: Iterable[Intent]) -> Seen:
    """Return how many whole intents of each class there are."""
    seen: Seen = (0, 0, 0, 0)
    for intent in intents:
        seen = counted(intent, seen)
    return seen


def unseen(intents: Sequence[Intent], seen: Seen) -> Iterator[Intent]:
    """Yield the intents without the first so many of each class."""
    left = list(seen)
    for intent in intents:
        place = next((index for index, names in enumerate(CLASSES) if intent.name in names), None)
        if place is not None and left[place] > 0:
            left[place] -= 1
        else:
            yield intent


def settled(turns: Sequence[Turn], run_id: str, known: Container[str]) -> list[Turn]:
    """Return the turns of a run under way, up to a result that was not `known` at the last look.

    It may stand for a call that is still at work: then another one stands there at the next look.
    """
    own = [turn for turn in turns if turn.run_id == run_id]
    fresh = (place for place, turn in enumerate(own) if turn.role == "tool" and turn.id not in known)
    return own[: next(fresh, len(own))]


def intents_of(turns: Sequence[Turn], run_id: str) -> Iterator[Intent]:
    """Yield the whole intents of a run as its turns tell of them: for one that did not happen here."""
    seq = 0
    names: dict[str, tuple[str, dict[str, Any]]] = {}
    for turn in turns:
        if turn.run_id != run_id:
            continue
        for name, value in _intents_of(turn, names):
            seq += 1
            yield Intent(name, value, turn.agent or "", run_id, seq, turn.created_at)


def _intents_of(
    turn: Turn, calls: dict[str, tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if turn.role == "assistant":
        if turn.finish_reason is not None or turn.usage is not None:
            usage = turn.usage.model_dump(mode="json") if turn.usage else None
            yield (
                "model_call",
                {"model": turn.model, "usage": usage, "finish_reason": turn.finish_reason, "seconds": None},
            )
        if turn.text:
            yield "response_text", {"text": turn.text}
        for call in turn.tool_calls or ():
            calls[call.id] = (call.name, call.args)
            yield "tool_call", {"type": call.name, "args": call.args, "id": call.id}
    elif turn.role == "tool":
        name, args = calls.get(turn.tool_call_id or "", (turn.name or "", {}))
        match turn.outcome:
            case "error" | "unknown":
                yield "tool_error", {"tool": name, "message": turn.text, "id": turn.tool_call_id}
            case "skipped" | "denied":
                yield "tool_skipped", {"type": name, "args": args, "id": turn.tool_call_id}
            case _:
                yield (
                    "tool_result",
                    {"name": name, "args": args, "result": turn.text, "id": turn.tool_call_id},
                )
