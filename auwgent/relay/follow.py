"""Follows a run that another process has at work: by what that process tells, else by what the store has of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from auwgent.errors import SessionNotFound
from auwgent.intents import ANSWERS, CALLS, Intent
from auwgent.outputs import partial_json
from auwgent.questions import unanswered
from auwgent.relay.form import Message
from auwgent.relay.listener import Ear, Listener
from auwgent.relay.speaker import Speaker
from auwgent.relay.stored import Seen, count_of, counted, intents_of, settled, unseen
from auwgent.session import Session
from auwgent.store.base import RunInfo, RunStore
from auwgent.store.notices import Board

LOOK = 0.5  # seconds between two looks at the run's row, where nobody can tell of it
QUIET = 1.0  # seconds without a word of the run's process, after which its row is looked at
DEAF = 6.0  # seconds without a word of the run's process, after which its turns are read instead


@dataclass(frozen=True, slots=True)
class Began:
    """What comes now is told by a process that has the run. `earlier` is what happened before that took it up.

    Without a `process` it is what the store has.
    """

    process: str
    leg: int
    attempt: int
    agent: str  # that was asked
    earlier: Sequence[Intent] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """An intent, and its number in that process. Where `is_next` is false, pieces between it and the last are gone."""

    number: int
    intent: Intent
    is_next: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over, or waits for answers. The session is None where there is none."""

    run: RunInfo
    session: Session | None


Item = Began | Step | Ended


@runtime_checkable
class HasBoard(Protocol):
    """A store whose processes can tell one another of their runs."""

    async def board(self) -> Board | None:
        """Where they do so; None where the database cannot."""


class Relay:
    """Both sides of a board, each made when it is first needed."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._speaker: Speaker | None = None
        self._listener: Listener | None = None

    def listens(self) -> None:
        """Hear from now on who reads which run, so that the next one that begins here is told at once."""
        self._speaker = self.speaker

    @property
    def speaker(self) -> Speaker:
        """What tells of runs here."""
        if self._speaker is None:
            self._speaker = Speaker(self._board)
        return self._speaker

    @property
    def listener(self) -> Listener:
        """What hears of runs elsewhere."""
        if self._listener is None:
            self._listener = Listener(self._board)
        return self._listener


async def relay_of(store: object) -> Relay | None:
    """Return the relay of a store; None where its processes cannot tell one another of runs."""
    board = await store.board() if isinstance(store, HasBoard) else None
    if board is None:
        return None
    if board.guest is None:
        board.guest = Relay(board)
    relay: Relay = board.guest
    return relay


async def follow(
    store: RunStore, user: str, run_id: str, *, goes_on: bool = False
) -> AsyncGenerator[list[Item], None]:
    """Yield what happens in a run, several at once, until it is over or waits for answers.

    Where a queue `goes_on` with runs whose process died, those are waited for, too.
    """
    relay = await relay_of(store)
    ear = relay.listener.hears(user, run_id) if relay is not None else None
    follower = Follower(store, user, run_id, ear)
    try:
        while True:
            run = await store.run(user, run_id)
            if not is_under_way(run, goes_on=goes_on):
                break
            while True:
                if items := await follower.next(run):
                    yield items
                if follower.wants_look:
                    break
        yield [*await follower.rest(run), Ended(run, await follower.session(run))]
    finally:
        if relay is not None and ear is not None:
            relay.listener.leaves(ear)


def is_under_way(run: RunInfo, *, goes_on: bool) -> bool:
    """Whether more comes of a run by itself. Where a queue `goes_on` with those whose process died, of these, too."""
    return run.status in ("queued", "running") or (goes_on and run.status == "interrupted")


async def said_before(store: RunStore, user: str, run_id: str) -> Seen:
    """Return how many whole intents a run that waits has had, in the legs so far."""
    run = await store.run(user, run_id)
    if run.session_id is None:
        return 0, 0, 0, 0
    session = await store.get(user, run.session_id)
    return count_of(intents_of(session.turns, run_id))


@dataclass(slots=True)
class Segment:
    """A streamed block, as far as it came. `kind` is what a structured one is of."""

    raw: str = ""
    kind: str | None = None


@dataclass(slots=True)
class Follower:
    """Where a reader is in a run that is elsewhere."""

    _store: RunStore
    _user: str
    _run_id: str
    _ear: Ear | None
    _began: Began | None = None
    _is_over: bool = False  # that process has told all
    _seen: Seen = (0, 0, 0, 0)  # whole intents that were given
    _segments: dict[int, Segment] = field(default_factory=dict)
    _repeats: str | None = None  # an answer that was given, and may be said again by who takes up the run
    _silent: float = 0.0  # seconds without a word
    wants_look: bool = True  # at the row: something may have become of the run
    _pieced: set[tuple[str, str]] = field(
        default_factory=set
    )  # answers by names and agents whose pieces have come
    _known: set[str] = field(default_factory=set)  # ids of the turns at the last look
    _misses: bool = False  # something was lost, and was asked for again

    async def next(self, run: RunInfo) -> list[Item]:
        """What comes next; nothing, where it is time to look at the row again."""
        if self._ear is None:
            found = await self._stored(run)
            await asyncio.sleep(0 if found else LOOK)
            return found
        messages = await self._ear.next(QUIET)
        if not messages:
            self.wants_look = True
            self._silent += QUIET if run.status == "running" else 0.0
            return await self._stored(run) if self._silent >= DEAF else []
        self._silent = 0.0
        items: list[Item] = []
        for message in messages:
            items += await self._taken(run, message)
        self.wants_look = self._is_over
        return items

    async def rest(self, run: RunInfo) -> list[Item]:
        """What the store has beyond what was given, now that nothing more will come."""
        if self._is_over and self._began is not None and self._began.attempt >= run.attempt:
            return []
        found = await self._stored(run)
        if run.status == "paused" and (calls := unanswered(run.calls, run.answers)):
            value = {"calls": [dict(call) for call in calls]}
            intent = Intent("paused", value, run.agent, run.run_id, 0, run.made_at)
            found = found or self._from_store(run)
            found.append(Step(0, intent, is_next=False))
        return found

    async def session(self, run: RunInfo) -> Session | None:
        """The session as it is stored, if it is."""
        if run.session_id is None:
            return None
        try:
            return await self._store.get(run.user_id, run.session_id)
        except SessionNotFound:
            return None

    async def _stored(self, run: RunInfo) -> list[Item]:
        """The whole intents that the turns tell of, without those that were given."""
        session = await self.session(run)
        if session is None:
            return []
        turns, known = session.turns, self._known
        self._known = {turn.id for turn in turns}
        if is_under_way(run, goes_on=True):
            turns = settled(turns, self._run_id, known)
        found = list(unseen(list(intents_of(turns, self._run_id)), self._seen))
        if not found:
            return []
        items = self._from_store(run)
        for intent in found:
            self._seen = counted(intent, self._seen)
            items.append(Step(0, intent, is_next=False))
        return items

    def _from_store(self, run: RunInfo) -> list[Item]:
        if self._began is not None and not self._began.process:
            return []
        self._began = Began("", run.leg, run.attempt, run.agent)
        return [self._began]

    async def _taken(self, run: RunInfo, message: Message) -> list[Item]:
        began, ear = self._began, self._ear
        assert ear is not None
        process, attempt = message["process"], message["attempt"]
        is_same = began is not None and (began.process, began.attempt) == (process, attempt)
        if began is not None and not is_same and attempt < began.attempt:
            return []  # of who has lost the run
        items: list[Item] = []
        if message["behind"] is None:
            if not is_same:
                items.append(await self._begin(run, message))
            self._misses = False
        elif not is_same or message["behind"] != ear.number:
            if not (is_same and message["behind"] < ear.number) and not self._misses:
                self._misses = True
                relay = await relay_of(self._store)
                if relay is not None:
                    relay.listener.misses(ear)
            return []
        items += self._steps(message["steps"], is_whole=message["behind"] is not None)
        self._is_over = bool(message["over"]) and not self._misses
        return items

    async def _begin(self, run: RunInfo, message: Message) -> Began:
        """Another process tells of the run from now on, or this one of another attempt."""
        process, earlier = message["process"], list[Intent]()
        if known := set(message["earlier"]):
            session = await self.session(run)
            turns = [turn for turn in session.turns if turn.id in known] if session is not None else []
            earlier = list(intents_of(turns, self._run_id))
        self._began = Began(process, message["leg"], message["attempt"], run.agent, earlier)
        assert self._ear is not None
        self._ear.process, self._ear.number = process, 0
        self._segments, self._pieced = {}, set()
        self._is_over = False
        self._seen = count_of(earlier)
        last = earlier[-1] if earlier else None
        self._repeats = last.value["text"] if last is not None and last.name == "response_text" else None
        return self._began

    def _steps(self, rows: Sequence[Sequence[Any]], *, is_whole: bool) -> Iterator[Step]:
        ear = self._ear
        assert ear is not None
        for number, name, agent, when, *more in rows:
            time = datetime.fromisoformat(when)
            if len(more) == 1:
                intent = Intent(name, more[0], agent, self._run_id, number, time)
            else:
                piece = self._piece(name, *more)
                if piece is None:
                    continue
                intent = Intent(name, piece, agent, self._run_id, number, time, partial=True)
            if number <= ear.number:
                continue
            is_next = is_whole or number == ear.number + 1
            if intent.partial:
                self._pieced.add((name, agent))
            elif name in ANSWERS and (name, agent) not in self._pieced:
                is_next = False  # nobody wanted to see the pieces while they came
            else:
                self._pieced.discard((name, agent))
            ear.number = number
            if not intent.partial:
                if self._is_repeated(intent):
                    continue
                self._seen = counted(intent, self._seen)
            yield Step(number, intent, is_next)

    def _is_repeated(self, intent: Intent) -> bool:
        """Whether it is an answer of before, said again by who took up the run, and asked no model since."""
        if intent.name == "model_call" or self._repeats is None:
            self._repeats = None
            return False
        if intent.name not in ANSWERS:
            return False
        said, self._repeats = self._repeats, None
        return intent.name == "response_schema" or intent.value["text"] == said

    def _piece(
        self, name: str, delta: str, at: int, of: int, mode: str, kind: str | None, call_id: str | None
    ) -> dict[str, Any] | None:
        """The value of a piece, made again; None where it is known, or something before it is missing."""
        segment = self._segments.setdefault(of, Segment())
        if at > len(segment.raw):
            return None
        new = delta[len(segment.raw) - at :]
        if not new and segment.raw:
            return None
        segment.raw += new
        segment.kind = kind or segment.kind
        value: dict[str, Any] = {
            "partial": True,
            "complete": False,
            "mode": mode,
            "segment": of,
            "snapshot": _snapshot(name, mode, segment),
            "raw": segment.raw,
            "delta": new,
        }
        return value if call_id is None else value | {"id": call_id}


def _snapshot(name: str, mode: str, segment: Segment) -> Any:
    if mode == "text":
        return {"text": segment.raw}
    parsed = partial_json(segment.raw)
    if name == "response_schema":
        return {"type": segment.kind, "response": parsed}
    return {"type": segment.kind, "args": parsed} if name in CALLS else parsed
