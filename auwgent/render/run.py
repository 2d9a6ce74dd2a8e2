"""Shows a run while it happens: for programs as JSON lines, for people as text with notes beside it."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TextIO

from auwgent.errors import ConfigError, RunFailed
from auwgent.intents import Intent
from auwgent.render.questions import paused
from auwgent.render.terminal import harmless, one_line, paint, wants_colour
from auwgent.session import Session, Usage

Status = Literal["completed", "failed", "cancelled", "paused"]

ENOUGH = 60  # characters of one value
MERGED = 64  # a line of a streamed answer adds at least this fraction of what it repeats


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended. `session` is None where the run failed before there was one."""

    session: Session | None = None
    usage: Usage = field(default_factory=Usage)
    error: BaseException | None = None
    run_id: str | None = None
    calls: Sequence[Mapping[str, Any]] = ()  # that it waits for, where it has paused
    is_paused: bool = False

    @property
    def status(self) -> Status:
        if self.is_paused:
            return "paused"
        if self.error is None:
            return "completed"
        from_elsewhere = isinstance(self.error, RunFailed) and self.error.kind == "cancelled"
        return "cancelled" if from_elsewhere or isinstance(self.error, asyncio.CancelledError) else "failed"


class Printer(Protocol):
    """Shows one run."""

    def show(self, intent: Intent) -> None:
        """The next intent, partial ones included."""
        ...

    def over(self, outcome: RunOutcome) -> None:
        """The run is over, or never began. Called once."""
        ...


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

    def over(self, outcome: RunOutcome) -> None:
        self._release()
        session = outcome.session
        line: dict[str, Any] = {
            "event": "run",
            "status": outcome.status,
            "session_id": session.id if session else None,
            "text": session.text if session else "",
            "usage": outcome.usage.model_dump(mode="json"),
        }
        if outcome.status == "paused":
            line |= {"run_id": outcome.run_id, "calls": list(outcome.calls)}
        if outcome.status == "failed":
            kind = (
                outcome.error.kind if isinstance(outcome.error, RunFailed) else type(outcome.error).__name__
            )
            line["error"] = {"kind": kind, "message": str(outcome.error)}
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
        """Show more of the answer."""

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
            self._cut = cut(intent)
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
        elif told := step(intent, self.root):
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


class PlainText(Teller):
    """Writes the answer to `out` and notes to `err`, or no notes if `quiet`.

    Nothing that a terminal would obey gets through, also into a pipe: it may well end in a terminal. Programs
    that want every character take `JsonLines`.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        speaks: Callable[[str], bool] = bool,
        root: str | None = None,
        quiet: bool = False,
        names_session: bool = False,
        answering: Sequence[str] = (),
    ) -> None:
        super().__init__(speaks, root)
        self._out = out
        self._err = err
        self._quiet = quiet
        self._names_session = names_session
        self._answering = answering  # the options of a command that answers
        self._colour = wants_colour(err)
        self._line_open = False

    def say(self, text: str) -> None:
        text = harmless(text)
        if text:
            self._out.write(text)
            self._out.flush()
            self._line_open = not text.endswith("\n")

    def pause(self) -> None:
        if self._line_open:
            self._line_open = False
            self._out.write("\n")
            self._out.flush()

    def write(self, line: str) -> None:
        if not self._quiet:
            self._err.write(paint(harmless(line), "dim", on=self._colour) + "\n")
            self._err.flush()

    def over(self, outcome: RunOutcome) -> None:
        """How the run ended; an error is left to whoever catches it."""
        self.settle()
        if outcome.status == "cancelled":
            self.note("interrupted")
        if outcome.status == "paused":  # also where it is to be quiet: somebody has to answer
            self._err.write(f"{harmless(paused(str(outcome.run_id), outcome.calls, self._answering))}\n")
            self._err.flush()
        if self._names_session and outcome.session:
            self.note(one_line(f"session: {outcome.session.id}"))


def step(intent: Intent, root: str | None = None) -> str | None:
    """Return the line, or None for the answer itself, which is not a step. Agents other than `root` are named."""
    value, name = intent.value, intent.name
    match name.rpartition("_"):
        case _ if name in ("response_text", "response_schema", "model_call", "error", "paused"):
            return None
        case (("tool" | "workflow" | "helper"), _, "call"):
            told = f"→ {value.get('type')}({_arguments(value.get('args'))})"
        case (("tool" | "workflow" | "helper"), _, "result"):
            told = f"← {value.get('name')}: {short(value.get('result'))}"
            if value.get("overridden"):
                told += " (overridden)"
        case (("tool" | "workflow" | "helper"), _, "skipped"):
            told = f"– {value.get('type')} was skipped"
        case "tool", _, "error":
            told = f"✗ {value.get('tool')}: {short(value.get('message'), 2 * ENOUGH)}"
        case "model", _, "retry":
            told = f"↻ {_retry(value)}"
        case _:
            told = f"• {name}({_arguments(value)})"
    who = "" if root in (None, intent.agent) else f"{intent.agent} "
    return one_line(who + told)


def cut(intent: Intent) -> str | None:
    """Say of a `model_call` why its answer is not a whole one; None where it is."""
    model = intent.value.get("model")
    match intent.value.get("finish_reason"):
        case "length":
            return f"{model} was cut off at the limit of its answer; `max_tokens` in its params raises it"
        case "filtered":
            return f"{model} was cut off by a content filter, or would not go on"
    return None


def short(value: Any, most: int = ENOUGH) -> str:
    """Return the value on one line, cut to at most that many characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _retry(value: dict[str, Any]) -> str:
    failed, model, reason = value.get("failed"), value.get("model"), short(value.get("reason"), 2 * ENOUGH)
    again = f"trying again in {float(value.get('wait') or 0):.1f} s" if failed == model else f"asking {model}"
    return f"{failed} failed, {again}: {reason}"


def _arguments(args: Any) -> str:
    if not isinstance(args, dict):
        return short(args)
    return ", ".join(
        f"{key}={short(json.dumps(value, ensure_ascii=False, default=str))}" for key, value in args.items()
    )
