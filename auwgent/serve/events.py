"""A run's intents as server-sent events, which can be taken up behind any of them, in any process of the store.

An id names the process, the leg and the number of an intent, and how many whole intents of each kind came before it:
by these a reader is told what is missing where the intents themselves are no longer held, from the run's turns.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Self

from auwgent.errors import SessionNotFound
from auwgent.intents import ANSWERS, CALLS, RESULTS, SKIPPED, Intent
from auwgent.render.run import MERGED
from auwgent.serve.desk import Desk
from auwgent.serve.faults import told
from auwgent.serve.live import Live
from auwgent.serve.sse import event
from auwgent.serve.told import intents_of, told_of
from auwgent.session import Session
from auwgent.store.base import RunInfo

LOOK = 0.5  # seconds between two looks at a run of another process
_CLASSES = (("model_call",), ANSWERS, CALLS, (*RESULTS, *SKIPPED, "tool_error"))
_ID = re.compile(r"([0-9a-f]{8})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader is. `seen` counts whole intents: model calls, answers, calls and results."""

    process: str = ""
    leg: int = 0
    number: int = 0
    seen: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def parse(cls, given: str) -> Self | None:
        """Return the place that an id names; the beginning for an empty one, None for one that is not ours."""
        if not given:
            return cls()
        match = _ID.fullmatch(given)
        if match is None:
            return None
        leg, number, *seen = map(int, match.groups()[1:])
        return cls(match[1], leg, number, (seen[0], seen[1], seen[2], seen[3]))

    def __str__(self) -> str:
        return ".".join([self.process, *map(str, (self.leg, self.number, *self.seen))])

    def behind(self, intent: Intent, number: int) -> Place:
        """Return the place behind an intent."""
        if intent.partial:
            return replace(self, number=number)
        models, answers, calls, results = self._counted(intent)
        return replace(self, number=number, seen=(models, answers, calls, results))

    def _counted(self, intent: Intent) -> Iterator[int]:
        for names, count in zip(_CLASSES, self.seen, strict=True):
            yield count + (intent.name in names)


class Events:
    """The events of one run. `legs` are those held in this process."""

    def __init__(self, desk: Desk, user: str, run_id: str, legs: Sequence[Live]) -> None:
        self._desk, self._user, self._run_id, self._legs = desk, user, run_id, legs
        self._process = desk.house.name

    async def behind(self, after: Place, cut: Callable[[], None]) -> AsyncGenerator[str, None]:
        """Yield the events behind a place, until the run is over, or waits for answers."""
        legs = [live for live in self._legs if live.leg >= after.leg]
        knows = after.process in ("", self._process)
        begins = bool(legs) and legs[0].leg in (after.leg, 1)
        if not legs or (not begins and after.process != self._process):
            async with aclosing(self._stored(after, follows=not legs)) as texts:
                async for text in texts:
                    yield text
            after = Place()
        elif not knows:
            yield event({"event": "restarted", "run_id": self._run_id}, "restarted")
            after = Place()
        for live in legs:
            first = after if live.leg == after.leg else Place()
            async with aclosing(self._live(live, first, cut)) as texts:
                async for text in texts:
                    yield text
        if legs:
            last = legs[-1]
            yield self._over(last.status, last.session, last.usage.model_dump(mode="json"), last.error)

    async def _live(self, live: Live, after: Place, cut: Callable[[], None]) -> AsyncGenerator[str, None]:
        place = replace(after, process=self._process, leg=live.leg)
        begin = min(after.number, live.count)
        if not live.holds(begin):
            upto = live.count
            for number, intent in live.numbered(begin, upto):
                if not intent.partial:
                    place = place.behind(intent, number)
                    yield event(intent.as_json(), intent.name, str(place))
            place = replace(place, number=upto)
            yield self._snapshot(live.so_far(), live.agent, place)
            begin = upto
        merger = Merger()
        async with aclosing(live.read(begin, cut)) as batches:
            async for batch in batches:
                texts = []
                for come, whole in batch:
                    for number, intent in merger.of(come, whole):
                        place = place.behind(intent, number)
                        texts.append(event(intent.as_json(), intent.name, str(place)))
                yield "".join(texts)
        for number, intent in merger.rest():
            yield event(intent.as_json(), intent.name, str(place.behind(intent, number)))

    async def _stored(self, after: Place, *, follows: bool) -> AsyncGenerator[str, None]:
        """Yield what the store knows of the run behind a place; follow it there where it is under way elsewhere."""
        store, place = self._desk.run_store(), replace(after, process="0" * 8)
        skip = list(after.seen)
        while True:
            run = await store.run(self._user, self._run_id)
            session = await self._session(run)
            intents = list(intents_of(session.turns, self._run_id)) if session is not None else []
            for intent in _unseen(intents, skip):
                place = place.behind(intent, place.number)
                yield event(intent.as_json(), intent.name, str(place))
            skip = list(place.seen)
            if not follows or run.status not in ("running", "queued"):
                break
            await asyncio.sleep(LOOK)
        if not follows:
            return
        yield self._snapshot(intents, run.agent, place)
        if run.status == "paused":
            calls = [call for call in run.calls if call["id"] not in run.answers]
            paused = Intent("paused", {"calls": calls}, run.agent, run.run_id, 0, run.made_at)
            yield event(paused.as_json(), "paused", str(place))
        usage = None if run.usage is None else run.usage.model_dump(mode="json")
        yield self._over(run.status, session, usage, run.error)

    async def _session(self, run: RunInfo) -> Session | None:
        if run.session_id is None:
            return None
        try:
            return await self._desk.run_store().get(run.user_id, run.session_id)
        except SessionNotFound:
            return None

    def _snapshot(self, intents: Sequence[Intent], agent: str, place: Place) -> str:
        whole = told_of(intents, self._desk.speaks(agent))
        calls = [one.value for one in intents if one.name in CALLS and not one.partial]
        value = {"event": "snapshot", "run_id": self._run_id, "text": whole.text, "calls": calls}
        return event(value, "snapshot", str(place))

    def _over(self, status: str, session: Session | None, usage: Any, error: Any) -> str:
        value = {
            "event": "run",
            "status": status,
            "run_id": self._run_id,
            "session_id": session.id if session is not None else None,
            "text": session.text if session is not None else "",
            "usage": usage,
        }
        if error is not None and status == "failed":
            value["error"] = told(error) if isinstance(error, BaseException) else error
        return event(value, "run")


class Merger:
    """Puts pieces of one answer together: each repeats all that came before, so that short ones would be its square."""

    def __init__(self) -> None:
        self._held: tuple[int, Intent] | None = None  # the last piece, while it waits for more
        self._deltas: list[str] = []  # of what waits
        self._waiting = self._length = 0  # characters of it, and of all that came of the answer

    def of(self, number: int, intent: Intent) -> Iterator[tuple[int, Intent]]:
        """Yield what may leave now."""
        if not intent.partial:
            yield from self.rest()
            self._length = 0
            yield number, intent
            return
        if self._held is not None and self._held[1].value["segment"] != intent.value["segment"]:
            yield from self.rest()
            self._length = 0
        self._held = number, intent
        self._deltas.append(intent.value["delta"])
        self._waiting += len(intent.value["delta"])
        self._length += len(intent.value["delta"])
        if self._waiting * MERGED >= self._length:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[int, Intent]]:
        """Yield what still waits."""
        if self._held is not None:
            number, piece = self._held
            if len(self._deltas) > 1:
                piece = replace(piece, value={**piece.value, "delta": "".join(self._deltas)})
            yield number, piece
        self._held, self._deltas, self._waiting = None, [], 0


def _unseen(intents: Sequence[Intent], skip: Sequence[int]) -> Iterator[Intent]:
    """Yield the intents without the first so many of each class."""
    left = list(skip)
    for intent in intents:
        place = next((index for index, names in enumerate(_CLASSES) if intent.name in names), None)
        if place is not None and left[place] > 0:
            left[place] -= 1
        else:
            yield intent
