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
from auwgent.intents import CALLS, Intent
from auwgent.relay.follow import is_under_way
from auwgent.relay.stored import Seen, count_of, counted, intents_of, settled, unseen
from auwgent.render.run import MERGED
from auwgent.serve.desk import Desk
from auwgent.serve.faults import told
from auwgent.serve.leg import Leg
from auwgent.serve.live import Live
from auwgent.serve.sse import event
from auwgent.serve.told import told_of
from auwgent.session import Session
from auwgent.store.base import RunInfo, is_run_store

LOOK = 0.5  # seconds between two looks at a run of another process, where it cannot tell of it
STORED = "0" * 8  # in place of a process, in the ids of what the store tells
_ID = re.compile(r"([0-9a-f]{8})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader is. `seen` counts whole intents: model calls, answers, calls and results."""

    process: str = ""
    leg: int = 0
    number: int = 0
    seen: Seen = (0, 0, 0, 0)

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
        return replace(self, number=number, seen=counted(intent, self.seen))


class RunEvents:
    """The events of one run. `legs` are those held in this process."""

    def __init__(self, desk: Desk, user: str, run_id: str, legs: Sequence[Live]) -> None:
        self._desk, self._user, self._run_id, self._legs = desk, user, run_id, legs

    async def behind(self, after: Place, cut: Callable[[], None]) -> AsyncGenerator[str, None]:
        """Yield the events behind a place, until the run is over, or waits for answers."""
        legs = [live for live in self._legs if live.leg >= after.leg]
        texts = self._here(legs, after, cut) if legs else self._elsewhere(after, cut)
        async with aclosing(texts):
            async for text in texts:
                yield text

    async def _here(
        self, legs: Sequence[Live], place: Place, cut: Callable[[], None]
    ) -> AsyncGenerator[str, None]:
        """Yield what the legs of this process tell."""
        await legs[0].begun.wait()
        earlier = await self._earlier(legs[0])
        for live in legs:
            async with aclosing(self._taken_up(live, place, earlier, cut)) as texts:
                async for text in texts:
                    yield text
            earlier += [intent for intent in live.held() if not intent.partial]
            place = Place(live.process, live.leg, live.count, count_of(earlier))
        last = legs[-1]
        if last.status == "paused" and is_run_store(self._desk.store):
            run = await self._desk.run_store().run(self._user, self._run_id)
            if run.leg > last.leg:  # it was answered, and went on elsewhere
                async with aclosing(self._elsewhere(place, cut)) as texts:
                    async for text in texts:
                        yield text
                return
        yield self._over(last.status, last.session, last.usage.model_dump(mode="json"), last.error)

    async def _elsewhere(self, place: Place, cut: Callable[[], None]) -> AsyncGenerator[str, None]:
        """Yield what the process tells that has the run; without one, what the store knows."""
        run = await self._desk.run_store().run(self._user, self._run_id)
        if not is_under_way(run, goes_on=self._desk.goes_on_by_itself):
            async with aclosing(self._stored(place)) as texts:
                async for text in texts:
                    yield text
            return
        far = self._desk.far(self._user, self._run_id)
        async with far.reading():
            number = max(0, len(far.echoes) - 1)  # it knows what came before
            while (echo := await far.echo(number)) is not None:
                number += 1
                async with aclosing(self._taken_up(echo, place, echo.earlier, cut)) as texts:
                    async for text in texts:
                        yield text
                intents = [*echo.earlier, *(one for one in echo.held() if not one.partial)]
                place = Place(echo.process, echo.leg, echo.count, count_of(intents))
            if far.echoes and far.ended is not None:
                run = far.ended.run
                usage = None if run.usage is None else run.usage.model_dump(mode="json")
                yield self._over(run.status, far.ended.session, usage, run.error)
                return
            run = await self._desk.run_store().run(self._user, self._run_id)
            if far.echoes and run.leg == far.echoes[-1].leg and run.attempt > far.echoes[-1].attempt:
                yield self._restarted()  # by one who cannot be heard, or was quicker
        async with aclosing(self._stored(place)) as texts:
            async for text in texts:
                yield text

    async def _taken_up(
        self, leg: Leg, place: Place, earlier: Sequence[Intent], cut: Callable[[], None]
    ) -> AsyncGenerator[str, None]:
        """Yield a leg, to a reader who may come from another process, or has not heard what happened before."""
        is_behind = False
        if (place.process, place.leg) != (leg.process, leg.leg):
            if place.process not in ("", STORED) and place.leg == leg.leg:
                is_behind = True
                yield self._restarted()
            is_behind = is_behind or (place.process == STORED and any(place.seen))
            place = replace(place, process=leg.process, leg=leg.leg, number=0)
            for intent in unseen(earlier, place.seen):
                is_behind = True
                place = place.behind(intent, 0)
                yield event(intent.as_json(), intent.name, str(place))
            place = replace(place, seen=count_of(earlier))
        async with aclosing(self._live(leg, place, earlier, cut, is_behind=is_behind)) as texts:
            async for text in texts:
                yield text

    async def _live(
        self,
        live: Leg,
        place: Place,
        earlier: Sequence[Intent],
        cut: Callable[[], None],
        *,
        is_behind: bool,
    ) -> AsyncGenerator[str, None]:
        begin = min(place.number, live.count)
        if is_behind or not live.holds(begin):
            upto = live.count
            for number, intent in live.numbered(begin, upto):
                if not intent.partial:
                    place = place.behind(intent, number)
                    yield event(intent.as_json(), intent.name, str(place))
            place = replace(place, number=upto)
            yield self._snapshot([*earlier, *live.so_far(upto)], live.agent, place)
            begin = upto
        merger = Merger()
        async with aclosing(live.read(begin, cut)) as batches:
            async for batch in batches:
                texts = []
                for come, whole in batch:
                    for number, intent in merger.of(come, whole):
                        place = place.behind(intent, number)
                        texts.append(event(intent.as_json(), intent.name, str(place)))
                    if come in live.gaps:
                        texts += [event(one.as_json(), one.name, str(place)) for _, one in merger.rest()]
                        so_far = [*earlier, *live.so_far(come)]
                        texts.append(self._snapshot(so_far, live.agent, place))
                yield "".join(texts)
        for number, intent in merger.rest():
            yield event(intent.as_json(), intent.name, str(place.behind(intent, number)))

    async def _stored(self, after: Place) -> AsyncGenerator[str, None]:
        """Yield what the store knows of the run behind a place; follow it there where it is under way."""
        store, place = self._desk.run_store(), replace(after, process=STORED)
        known = set[str]()
        while True:
            run = await store.run(self._user, self._run_id)
            session = await self._session(run)
            is_live = is_under_way(run, goes_on=self._desk.goes_on_by_itself)
            turns = session.turns if session is not None else []
            shown = settled(turns, self._run_id, known) if is_live else turns
            known = {turn.id for turn in turns}
            intents = list(intents_of(shown, self._run_id))
            for intent in unseen(intents, place.seen):
                place = place.behind(intent, place.number)
                yield event(intent.as_json(), intent.name, str(place))
            if not is_live:
                break
            await asyncio.sleep(LOOK)
        yield self._snapshot(intents, run.agent, place)
        if run.status == "paused":
            calls = [call for call in run.calls if call["id"] not in run.answers]
            paused = Intent("paused", {"calls": calls}, run.agent, run.run_id, 0, run.made_at)
            yield event(paused.as_json(), "paused", str(place))
        usage = None if run.usage is None else run.usage.model_dump(mode="json")
        yield self._over(run.status, session, usage, run.error)

    async def _earlier(self, live: Live) -> list[Intent]:
        """What happened in the run before this process took it up."""
        known = set(live.earlier)
        if not known:
            return []
        session = await self._session(await self._desk.run_store().run(self._user, self._run_id))
        turns = [turn for turn in session.turns if turn.id in known] if session is not None else []
        return list(intents_of(turns, self._run_id))

    async def _session(self, run: RunInfo) -> Session | None:
        if run.session_id is None:
            return None
        try:
            return await self._desk.run_store().get(run.user_id, run.session_id)
        except SessionNotFound:
            return None

    def _restarted(self) -> str:
        return event({"event": "restarted", "run_id": self._run_id}, "restarted")

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
