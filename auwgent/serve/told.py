"""What a run has said, as a whole: its words, its thoughts, the calls it waits for, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


def question(call: Mapping[str, Any]) -> str:
    """Return what a user is asked about an open call, in words."""
    args = ", ".join(f"{name}={value!r}" for name, value in call["args"].items())
    if call["kind"] == "tool":
        return f"{call['agent']} waits for the result of {call['type']}({args})."
    return f"{call['agent']} wants to call {call['type']}({args}). Allow it?"


def turns_of(session: Session, run_id: str) -> list[Turn]:
    """Return the turns of a run."""
    return [turn for turn in session.turns if turn.run_id == run_id]
