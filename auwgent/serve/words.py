"""Which of a run's intents are the answer: its words and thoughts, piece by piece, without what was said twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from auwgent.intents import Intent

BETWEEN = "\n\n"  # between the answers of one run: what an agent says before its calls, and behind them


class AnswerPiece(NamedTuple):
    """A piece of the answer. A new block begins with `begins`; `ends` says that it is whole."""

    kind: Literal["text", "thought"]
    delta: str
    begins: bool = False
    ends: bool = False


class Words:
    """Gives the pieces of the answer, of agents that `speaks` is true of.

    A structured answer comes whole, as JSON: its pieces may be of an answer that is still to be repaired. Where a
    model was asked again in the middle of its answer, what it says again is not given again.
    """

    def __init__(self, speaks: Callable[[str], bool]) -> None:
        self._speaks = speaks
        self._segment: int | None = None
        self._said: list[str] = []  # of the block under way, as its reader has it
        self._again: str | None = None  # what the model has said of it since it was asked again
        self._open: Literal["text", "thought"] | None = None

    def of(self, intent: Intent) -> Iterator[AnswerPiece]:
        """Yield what an intent adds to the answer."""
        name, value = intent.name, intent.value
        if not self._speaks(intent.agent):
            return
        if intent.partial:
            if name == "reasoning":
                yield from self._piece("thought", value["segment"], value["delta"])
            elif name == "response_text":
                yield from self._piece("text", value["segment"], value["delta"])
        elif name == "response_text":
            yield from self._whole(str(value["text"]))
        elif name == "response_schema":
            yield from self._whole(json.dumps(value["response"], ensure_ascii=False, default=str))

    def close(self) -> Iterator[AnswerPiece]:
        """Yield the end of a block that was left open, as by a failure."""
        if self._open is not None:
            yield AnswerPiece(self._open, "", ends=True)
            self._open = None

    def _piece(self, kind: Literal["text", "thought"], segment: int, delta: str) -> Iterator[AnswerPiece]:
        if self._open != kind:
            yield from self._begin(kind, segment)
        elif segment != self._segment:  # it was asked again: no whole one came
            self._segment, self._again = segment, ""
        if self._again is None:
            self._said.append(delta)
            yield AnswerPiece(kind, delta)
            return
        self._again += delta
        if not "".join(self._said).startswith(
            self._again
        ):  # it is past what was said already, or another answer
            again, self._again = self._again, None
            yield from self._more(kind, again)

    def _more(self, kind: Literal["text", "thought"], text: str) -> Iterator[AnswerPiece]:
        """Yield what a text adds to what was said; where it does not begin with that, all of it."""
        said = "".join(self._said)
        new = text[len(said) :] if text.startswith(said) else BETWEEN + text
        self._said = [text]
        if new:
            yield AnswerPiece(kind, new)

    def _begin(self, kind: Literal["text", "thought"], segment: int | None) -> Iterator[AnswerPiece]:
        yield from self.close()
        self._open, self._segment, self._said, self._again = kind, segment, [], None
        yield AnswerPiece(kind, "", begins=True)

    def _whole(self, text: str) -> Iterator[AnswerPiece]:
        if self._open != "text":
            if not text:
                return
            yield from self._begin("text", None)
        yield from self._more("text", text)
        yield from self.close()
