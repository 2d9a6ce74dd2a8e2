"""Tells of the runs that this process has at work, to those in other processes who read them, and only then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auwgent.intents import CALLS, Intent
from auwgent.relay.form import LEASE, WANTED, Joiner, Key, Message, notes_of, process_name
from auwgent.session import new_id
from auwgent.store.notices import Board, Note


@dataclass(slots=True)
class Utterance:
    """An intent, or all the pieces so far of one segment, by the newest of them."""

    intent: Intent
    text: str = ""  # of pieces: what was said, but for what waits in `deltas`
    deltas: list[str] = field(default_factory=list)
    is_closed: bool = False  # what it became has come
    kind: str | None = None  # what a structured one is of: the name of a call, or of an answer's type
    count: int = 0  # of the pieces

    def joined(self) -> str:
        """All that was said."""
        if self.deltas:
            self.text = "".join((self.text, *self.deltas))
            self.deltas.clear()
        return self.text

    def note_kind(self) -> None:
        """Look what kind it is of, now and then: it may be told only later in it, and each look reads all of it."""
        self.count += 1
        if self.count & (self.count - 1) == 0 and self.intent.value["mode"] == "structured":
            snapshot = self.intent.value["snapshot"]
            self.kind = snapshot.get("type") if isinstance(snapshot, dict) else None


@dataclass(slots=True)
class FarReader:
    """A process that reads a run, and how much of it was told to it."""

    number: int = 0
    until: float = 0.0  # by the monotonic clock
    lengths: dict[int, int] = field(default_factory=dict)  # by segment
    asks: bool = True  # it knows nothing yet, or has missed something
    waits: bool = True  # it is to be told how things stand


class Telling:
    """A leg of a run that is at work here. Whole intents are held, and of each open answer what was said so far."""

    def __init__(self, speaker: Speaker, key: Key, leg: int) -> None:
        self.key, self.leg, self.attempt = key, leg, 0
        self.earlier: Sequence[str] = ()
        self.is_over = False
        self.readers: dict[str, FarReader] = {}  # by channel
        self.catches_up: Callable[[], None] = lambda: None  # shows a reader who comes what is being said
        self._speaker = speaker
        self._entries: dict[int, Utterance] = {}  # by number, in their order
        self._open: dict[int, int] = {}  # segment -> number of its entry
        self._number = 0

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants to hear of pieces."""
        return bool(self.readers)

    def starts(self, attempt: int, earlier: Sequence[str]) -> None:
        """The run has its session. `earlier` are the ids of the turns that it had before."""
        self.attempt, self.earlier = attempt, earlier
        self._speaker.add(self)

    def hear(self, intent: Intent) -> None:
        """Take the next intent."""
        with self._speaker.guard:
            self._number = intent.seq
            if intent.partial:
                self._piece(intent)
            else:
                self._entries[intent.seq] = Utterance(intent)
                self._close(intent)
            is_read = bool(self.readers)
            if is_read:
                self._speaker.has_news(self)
        if is_read:
            self._speaker.wake()

    def over(self) -> None:
        """The leg is over, and saved."""
        self.is_over = True
        self._speaker.ended(self)

    def message(self, channel: str) -> Message | None:
        """What is to be told to a reader now; None where there is nothing."""
        reader = self.readers[channel]
        steps = list(self._steps(reader))
        if not (steps or reader.waits or self.is_over):
            return None
        told: Message = {
            "user": self.key[0],
            "run": self.key[1],
            "process": process_name(),
            "leg": self.leg,
            "attempt": self.attempt,
            "behind": None if reader.asks else reader.number,
            "steps": steps,
            "over": self.is_over,
        }
        if reader.asks:
            told["earlier"] = list(self.earlier)
        reader.asks = reader.waits = False
        reader.number = self._number
        return told

    def forget(self) -> None:
        """Let go of the pieces that have become something, once all have been told of them."""
        for number in [number for number, entry in self._entries.items() if entry.is_closed]:
            del self._entries[number]

    def _piece(self, intent: Intent) -> None:
        segment, delta = intent.value["segment"], intent.value["delta"]
        known = self._open.get(segment)
        if known is None:
            entry = Utterance(intent)
            raw = intent.value["raw"]  # nobody wanted to see those before it
            entry.text = raw if isinstance(raw, str) and raw.endswith(delta) else delta
        else:
            entry = self._entries.pop(known)
            entry.intent = intent
            entry.deltas.append(delta)
        entry.note_kind()
        self._entries[intent.seq] = entry
        self._open[segment] = intent.seq

    def _close(self, intent: Intent) -> None:
        """Let go of the pieces that say what this intent says as a whole. Thoughts stay: nothing whole follows."""
        for segment, number in list(self._open.items()):
            entry = self._entries[number]
            piece = entry.intent
            if (piece.name, piece.agent) != (intent.name, intent.agent):
                continue
            if piece.name in CALLS and piece.value.get("id") != intent.value.get("id"):
                continue
            del self._open[segment]
            if self.readers:
                entry.is_closed = True
            else:
                del self._entries[number]

    def _steps(self, reader: FarReader) -> Iterator[list[Any]]:
        numbers = []
        for number in reversed(self._entries):
            if number <= reader.number:
                break
            numbers.append(number)
        for number in reversed(numbers):
            entry = self._entries[number]
            if entry.intent.partial:
                segment = entry.intent.value["segment"]
                text, at = entry.joined(), reader.lengths.get(segment, 0)
                reader.lengths[segment] = len(text)
                yield _piece(number, entry, text[at:], at)
            else:
                one = entry.intent
                yield [number, one.name, one.agent, one.time.isoformat(), one.value]


class Speaker:
    """Knows who reads which run, and tells them."""

    def __init__(self, board: Board) -> None:
        self.guard = threading.Lock()
        self._board = board
        self._name = new_id()[:12]
        self.count = 0  # messages that were posted
        self._tellings: dict[Key, Telling] = {}
        self._wanted: dict[Key, dict[str, FarReader]] = {}  # also of runs that are not here yet
        self._dirty: dict[Telling, None] = {}
        self._joiner = Joiner()
        board.asks(self._notes)
        board.listens(WANTED, self._heard)

    def begins(self, user: str, run_id: str, leg: int) -> Telling:
        """Return what tells of a run, once it has got its session."""
        return Telling(self, (user, run_id), leg)

    def add(self, telling: Telling) -> None:
        """The run is at work here from now on."""
        with self.guard:
            if (old := self._tellings.get(telling.key)) is not None:  # it may have to tell its end
                readers = old.readers.items()
                old.readers = {channel: replace(one, lengths=dict(one.lengths)) for channel, one in readers}
            self._tellings[telling.key] = telling
            telling.readers = self._wanted.setdefault(telling.key, {})
            for reader in telling.readers.values():
                reader.number, reader.asks, reader.waits = 0, True, True
                reader.lengths.clear()
            self.has_news(telling)
        if telling.readers:
            self._board.wake()

    def has_news(self, telling: Telling) -> None:
        """There is something to tell of it. Under the guard."""
        self._dirty[telling] = None

    def wake(self) -> None:
        """Have it told."""
        self._board.wake()

    def ended(self, telling: Telling) -> None:
        """The run is at work here no more."""
        with self.guard:
            self.has_news(telling)
        self._board.wake()

    def _heard(self, note: str) -> None:
        message = self._joiner.add(note)
        if message is None:
            return
        channel, until = message["to"], time.monotonic() + LEASE
        with self.guard:
            for user, run_id in message["leaves"]:
                self._wanted.get((user, run_id), {}).pop(channel, None)
            for user, run_id, process, number in message["wants"]:
                self._ask((user, run_id), channel, until, number if process == process_name() else None)

    def _ask(self, key: Key, channel: str, until: float, number: int | None) -> None:
        """A reader asks for a run; `number` is that of the last intent it has of this process, if it has any."""
        readers = self._wanted.setdefault(key, {})
        is_new = channel not in readers
        reader = readers.setdefault(channel, FarReader())
        reader.until = until
        telling = self._tellings.get(key)
        if telling is None:
            return
        reader.waits = True
        if is_new or number is None or number < 0:
            # A negative number: it has missed something behind that.
            reader.number, reader.asks = abs(number or 0), True
            reader.lengths.clear()
            telling.catches_up()
        self.has_news(telling)
        self._board.wake()

    def _notes(self) -> Iterator[Note]:
        with self.guard:
            self._drop_silent()
            dirty, self._dirty = self._dirty, {}
            told: dict[str, list[Message]] = {}
            for telling in dirty:
                for channel in telling.readers:
                    if (message := telling.message(channel)) is not None:
                        told.setdefault(channel, []).append(message)
            for telling in dirty:
                telling.forget()
                if telling.is_over and self._tellings.get(telling.key) is telling:
                    del self._tellings[telling.key]
        for channel, messages in told.items():
            self.count += 1
            for note in notes_of(self._name, self.count, {"told": messages}):
                yield channel, note

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for key, readers in list(self._wanted.items()):
            for channel in [channel for channel, reader in readers.items() if reader.until < now]:
                del readers[channel]
            if not readers and key not in self._tellings:
                del self._wanted[key]


def _piece(number: int, entry: Utterance, delta: str, at: int) -> list[Any]:
    one, value = entry.intent, entry.intent.value
    more = [value["segment"], value["mode"], entry.kind, value.get("id")]
    return [number, one.name, one.agent, one.time.isoformat(), delta, at, *more]
