"""What a run has said, as a whole: its words, its thoughts, the calls it waits for, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auwgent.intents import Intent
from auwgent.serve.words import BETWEEN, Words
from auwgent.session import Session, Turn


@dataclass(slots=True)
class Told:
    """The answer of a run so far. `blocks` are its texts: what was said before calls, and behind them."""

    blocks: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    finish_reason: str = "stop"

    @property
    def text(self) -> str:
        """All that was said."""
        return BETWEEN.join(self.blocks)


def told_of(intents: Iterable[Intent], speaks: Callable[[str], bool]) -> Told:
    """Return what these intents of a run say."""
    told, words = Told(), Words(speaks)
    pieces: list[str] = []
    for intent in intents:
        if reason := finish_of(intent, speaks):
            told.finish_reason = reason
        for said in words.of(intent):
            parts = told.blocks if said.kind == "text" else told.thoughts
            if said.begins:
                parts.append("")
                pieces = []
            if said.delta:
                pieces.append(said.delta)
            if said.ends:
                parts[-1] = "".join(pieces)
    for said in words.close():
        (told.blocks if said.kind == "text" else told.thoughts)[-1] = "".join(pieces)
    return told


def finish_of(intent: Intent, speaks: Callable[[str], bool]) -> str | None:
    """Return how an answer that the user sees ended, where an intent tells it: stop, length or filtered."""
    if intent.name != "model_call" or intent.partial or not speaks(intent.agent):
        return None
    reason = str(intent.value.get("finish_reason"))
    return "stop" if reason == "tool_calls" else reason


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


def question(call: Mapping[str, Any]) -> str:
    """Return what a user is asked about an open call, in words."""
    args = ", ".join(f"{name}={value!r}" for name, value in call["args"].items())
    if call["kind"] == "tool":
        return f"{call['agent']} waits for the result of {call['type']}({args})."
    return f"{call['agent']} wants to call {call['type']}({args}). Allow it?"


def turns_of(session: Session, run_id: str) -> list[Turn]:
    """Return the turns of a run."""
    return [turn for turn in session.turns if turn.run_id == run_id]
