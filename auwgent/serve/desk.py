"""The desk: begins runs for requests, finds those under way, and knows who may have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from starlette.requests import Request

from auwgent.config import ServeConfig
from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import RunConflict
from auwgent.inputs import Input, content_of
from auwgent.intents import Intent
from auwgent.relay.form import process_name
from auwgent.relay.stored import Seen, intents_of
from auwgent.relay.stream import FarStream
from auwgent.runs import asked_of
from auwgent.runtime import Runtime
from auwgent.serve.far import Far
from auwgent.serve.faults import Refusal
from auwgent.serve.live import Live
from auwgent.serve.metrics import Metrics
from auwgent.serve.told import Told, told_of
from auwgent.serve.users import Who
from auwgent.session import Session, new_id
from auwgent.store.base import OVER, RunInfo, RunStore, SessionStore, is_run_store
from auwgent.stream import Stream

HELD = 300.0  # seconds that what happened in a run is held behind its end
SWEEP = 1.0  # seconds between two looks for them
MOST_HELD = 1_000  # runs whose intents are held behind their end


# Whether whoever asked for a run can be asked about its calls; known to the run's own tasks.
can_ask: ContextVar[bool] = ContextVar("can_ask", default=False)


def approver(request: ApprovalRequest) -> bool | str | None:
    """Say for a run that was begun here whether a call may happen: its user is asked later, or not at all."""
    return None if can_ask.get() else "the user cannot be asked here"


class House:
    """What outlives a change of the config: the runs under way, the figures, and whether it is closing."""

    def __init__(self) -> None:
        self.name = process_name()
        self.metrics = Metrics()
        self.is_draining = False
        self.hidden: set[tuple[str, str]] = set()  # responses that users deleted here
        self._swept = 0.0  # when those that were over long ago were last looked for
        self._far: dict[tuple[str, str], Far] = {}  # runs of other processes that are read here
        self._legs: dict[tuple[str, str], list[Live]] = {}  # by user and run id, the newest leg last

    def under_way(self) -> list[Live]:
        """Return the legs that are not over."""
        return [live for legs in self._legs.values() for live in legs if not live.is_over]

    def legs(self, user: str, run_id: str) -> list[Live]:
        """Return the legs of a run that are held here, the newest last."""
        return list(self._legs.get((user, run_id), ()))

    def newest(self, user: str, run_id: str) -> Live | None:
        """Return the newest leg of a run that is held here."""
        return next(reversed(self.legs(user, run_id)), None)

    def far(self, store: RunStore, user: str, run_id: str, *, goes_on: bool) -> Far:
        """Return a run of another process as it is heard from here; all who read it share what comes."""
        self._far = {key: far for key, far in self._far.items() if not far.is_over}
        if (user, run_id) not in self._far:
            self._far[user, run_id] = Far(store, user, run_id, goes_on=goes_on)
        return self._far[user, run_id]

    def add(self, live: Live) -> None:
        """Hold a leg; let go of those that were over long ago."""
        self._sweep()
        self._legs.setdefault((live.user, live.run_id), []).append(live)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept < SWEEP:
            return
        self._swept = now
        over = [(key, live) for key, legs in self._legs.items() for live in legs if live.is_over]
        for number, (key, live) in enumerate(over):
            if now - live.ended_at > HELD or len(over) - number > MOST_HELD:
                self._legs[key].remove(live)
                if not self._legs[key]:
                    del self._legs[key]


class Desk:
    """What a protocol is given: the agent under one config, and the runs of the house.

    `config` is the table [serve], `store` the store of the sessions or None, `metrics` the figures of the process.
    """

    def __init__(self, house: House, agent: Runtime) -> None:
        self.house, self.agent = house, agent
        self.config: ServeConfig = agent.config.serve
        self.metrics = house.metrics

    @property
    def store(self) -> SessionStore | None:
        """The store of the agent's sessions."""
        return self.agent.store

    def run_store(self) -> RunStore:
        """Return the store, which tells of runs; `Refusal` where there is none."""
        if not is_run_store(self.store):
            words = "this server keeps nothing: its config has no store that tells of runs"
            raise Refusal(400, "no_store", words, retry=False)
        return self.store

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that a request may name, the default one first."""
        return tuple(self.config.agents) or (self.agent.config.agent.name,)

    def agent_named(self, name: str | None, param: str = "model") -> str:
        """Return the agent that a request names, or the default one; `Refusal` 404 where it may not."""
        if not name:
            return self.agents[0]
        if name not in self.agents:
            words = f"there is no model {name!r} here; there are {', '.join(self.agents)}"
            raise Refusal(404, "model_not_found", words, param=param)
        return name

    def options(self, **wanted: Any) -> dict[str, Any]:
        """Return those options of a run that are wanted; `Refusal` where one needs a store that is not there."""
        given = {name: value for name, value in wanted.items() if value not in (None, [], {})}
        if given.keys() & {"run_id", "caller_tools"}:
            self.run_store()
        return given

    def begin(
        self,
        who: Who,
        input: Input,
        *,
        agent: str,
        background: bool = False,
        asks: bool = False,
        **options: Any,
    ) -> Live:
        """Begin a run, or a later leg of one, for this user, and return what holds it; nothing is waited for.

        With `asks` the run pauses where a call is to be approved; else that is a no at once. `options` are those of
        `agent.run` but for the user. The same `run_id` again gives the run that is under way or was held.
        `ArgumentError` where the input cannot be, `Refusal` where no run may begin now.
        """
        content = content_of(input)
        asked = asked_of(content, agent)
        run_id = options.get("run_id")
        if run_id is not None and "answers" not in options and (legs := self.house.legs(who.user, run_id)):
            return _joined(legs[-1], asked, options.get("session_id"))
        is_queued = self._is_queued(options)
        options.pop("is_queued", None)
        self._check_room(is_queued=is_queued)
        if options.get("keep") is not False and run_id is None and not options.get("session_id"):
            options["session_id"] = new_id()
        can_ask.set(asks)
        if "answers" not in options:  # later legs are of the agent that the run began with
            options["agent"] = agent
        if is_queued:
            stream: Stream[Any] = self.agent.follow(content, asks=asks, user_id=who.user, **options)
        else:
            stream = self.agent.stream(content, user_id=who.user, **options)
        live = Live(stream, self.metrics, user=who.user, session_id=options.get("session_id"), agent=agent)
        live.is_background, live.asked = background, asked
        self.house.add(live)
        return live

    def goes_on(self, run: RunInfo, *, background: bool = False, asks: bool = False) -> Live:
        """Begin the next leg of a paused run, whose answers are written down."""
        live = self.begin(
            Who(run.user_id),
            None,
            agent=run.agent,
            run_id=run.run_id,
            answers=dict(run.answers),
            is_queued=run.is_queued,
            background=background,
            asks=asks,
        )
        live.leg, live.session_id = run.leg + 1, run.session_id
        return live

    def follows(self, run: RunInfo, leg: int, seen: Seen) -> Live:
        """Return what holds a leg of a run that another process has at work, as it is heard here.

        `seen` are the whole intents of its earlier legs.
        """
        known = self.house.newest(run.user_id, run.run_id)
        if known is not None and known.leg == leg:
            return known
        stream = FarStream(
            self.run_store(), run.user_id, run.run_id, leg=leg, seen=seen, goes_on=self.goes_on_by_itself
        )
        live = Live(stream, self.metrics, user=run.user_id, session_id=run.session_id, agent=run.agent)
        live.leg, live.is_background, live.created = leg, True, int(run.made_at.timestamp())
        self.house.add(live)
        return live

    async def cancel(self, run: RunInfo) -> RunInfo:
        """End a run, wherever it is carried out, and return it as it stands then; one that is over stays as it is."""
        if run.status in OVER:
            return run
        live = self.house.newest(run.user_id, run.run_id)
        if live is not None and not live.is_over:
            await live.cancel()
        else:
            await self.agent.cancel(run.run_id, user_id=run.user_id)
        return await self.run_store().run(run.user_id, run.run_id)

    @property
    def goes_on_by_itself(self) -> bool:
        """Whether a run whose process died is taken up by another one."""
        return self.agent.config.queue is not None

    def far(self, user: str, run_id: str) -> Far:
        """Return a run of another process, as it is heard from here."""
        return self.house.far(self.run_store(), user, run_id, goes_on=self.goes_on_by_itself)

    def speaks(self, agent: str) -> Callable[[str], bool]:
        """Return whether what an agent says is meant for the user, where that one was asked."""
        return lambda name: name == agent or self.agent.speaks_to_user(name)

    def stored(self, live: Live, session: Session) -> Sequence[Intent]:
        """Return the intents of a run as its session tells of them, where it happened in another process."""
        return list(intents_of(session.turns, live.run_id))

    def told(self, live: Live, session: Session) -> Told:
        """Return what the leg said."""
        return told_of(live.held() if live.count else self.stored(live, session), self.speaks(live.agent))

    @asynccontextmanager
    async def reading(self, live: Live) -> AsyncIterator[None]:
        """Read a run that this request began: whoever leaves before its end cancels it, where the config says so."""
        try:
            yield
        except GeneratorExit:
            await self.left(live)
            raise
        except asyncio.CancelledError:
            await self.left(live)
            raise

    async def left(self, live: Live) -> None:
        """The one who asked for a run has left."""
        if self.config.disconnect == "cancel" and not live.is_background:
            await live.cancel()

    async def whole(self, request: Request, live: Live) -> None:
        """Wait until the leg is over, however it ends; whoever hangs up before leaves it."""
        ended = asyncio.ensure_future(live.ended())
        leaving = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait([ended, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self.left(live)
                raise Refusal(499, "client_closed_request", "the client has left")
        finally:
            ended.cancel()
            leaving.cancel()

    def _is_queued(self, options: Mapping[str, Any]) -> bool:
        """Return whether a run is for workers: where there is a queue, each that is kept but for this process's."""
        if self.agent.config.queue is None or options.get("keep") is False or "session" in options:
            return False
        return "answers" not in options or bool(options.get("is_queued"))

    def _check_room(self, *, is_queued: bool = False) -> None:
        if self.house.is_draining:
            raise Refusal(
                503, "draining", "this server is closing; ask another one, or again soon", retry_after=5
            )
        if self.metrics.runs_active >= self.config.max_runs and not is_queued:
            words = f"{self.config.max_runs} runs are under way, which is all that `max_runs` allows; try again soon"
            raise Refusal(503, "overloaded", words, retry_after=1)


def who(request: Request) -> Who:
    """Return the user of a request, as the gate found it."""
    found: Who = request.state.who
    return found


def _joined(live: Live, asked: str, session_id: str | None) -> Live:
    if live.asked != asked:
        raise RunConflict(f"there is a run {live.run_id!r} already, with another input, or of another agent")
    if session_id is not None and session_id != live.session_id:
        raise RunConflict(f"there is a run {live.run_id!r} already, for another session")
    return live


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
