"""What every view of a run for people has in common: which words are the answer, and what is a note beside it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from auwgent.intents import Intent
from auwgent.render import brief


class Teller(ABC):
    """Tells a run to a person: the words of agents that `speaks` is true of, other steps as notes.

    What a hook makes of an answer that was streamed already follows it; nothing can be unsaid.
    """

    def __init__(self, speaks: Callable[[str], bool], root: str | None = None) -> None:
        self.speaks = speaks
        self.root = root
        self._streamed = ""  # of the answer under way, as it came from the model
        self._segment: object = None
        self._error: str | None = None  # may turn out not to be the end
        self._cut: str | None = None  # why the answer to come is not a whole one

    @abstractmethod
    def say(self, text: str) -> None:
        """More of the answer."""

    @abstractmethod
    def pause(self) -> None:
        """The words said so far are complete; what comes next is something else."""

    @abstractmethod
    def write(self, line: str) -> None:
        """A line beside the answer. Called when the answer pauses."""

    def show(self, intent: Intent) -> None:
        """The next intent, partial ones included."""
        if intent.partial:
            if intent.name == "response_text" and self.speaks(intent.agent):
                self._piece(intent.value)
            return
        if intent.name == "error":
            self._error = str(intent.value.get("message"))
            return
        if intent.name == "model_call":  # what it said is still to come as a whole
            self._cut = brief.cut(intent)
            return
        if self._error is not None:  # the run goes on: a hook took care of it
            self.note(f"! {self._error}")
            self._error = None
        self._step(intent)
        if self._cut is not None:
            self.note(f"! {self._cut}")
            self._cut = None

    def note(self, line: str) -> None:
        """One line beside the answer."""
        self.settle()
        self.write(line)

    def settle(self) -> None:
        """End what is being said, so that something else can follow."""
        self._streamed = ""
        self.pause()

    def structured(self, response: Any) -> str:
        """Return the words for an answer that is data."""
        return json.dumps(response, ensure_ascii=False, indent=2)

    def _step(self, intent: Intent) -> None:
        if intent.name == "response_text":
            if self.speaks(intent.agent):
                self._whole(str(intent.value["text"]))
        elif intent.name == "response_schema":
            if self.speaks(intent.agent):
                self._whole(self.structured(intent.value["response"]))
        elif told := brief.line(intent, self.root):
            self.note(told)

    def _piece(self, value: dict[str, Any]) -> None:
        if value.get("segment") != self._segment:
            self.settle()
            self._segment = value.get("segment")
        piece = str(value.get("delta", ""))
        self._streamed += piece
        self.say(piece)

    def _whole(self, text: str) -> None:
        if text.startswith(self._streamed):
            text = text[len(self._streamed) :]
        else:
            self.settle()
        self.say(text)
        self.settle()
