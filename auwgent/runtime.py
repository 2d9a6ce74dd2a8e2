"""The agent as its users hold it: built from a config, run, streamed, opened and closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, Unpack

from auwgent.assembly import check_keys
from auwgent.config import Config
from auwgent.deck import Recorders
from auwgent.engine.agent import Agent, Approver
from auwgent.engine.cancel import Cancels
from auwgent.engine.order import Order, Services, Sink
from auwgent.engine.run import attach, carry_out
from auwgent.engine.state import Run
from auwgent.errors import AuwgentError, ConfigError, RunFailed, RunTaken, SessionNotFound
from auwgent.hooks.context import EMBED_OFF, check_context
from auwgent.hooks.pipeline import Installed
from auwgent.imports import late
from auwgent.inputs import Input
from auwgent.intents import Handlers
from auwgent.locks import KeyedLock
from auwgent.loops import finished
from auwgent.options import RunOptions, check_options, order_of, user_of
from auwgent.relay.follow import said_before
from auwgent.relay.outlet import outlet
from auwgent.render.page import notebook
from auwgent.runs import (
    found,
    outcome_of,
    over,
    overrides_of,
    taken_up,
    with_output,
)
from auwgent.session import Answer_co, Session, complete, new_id
from auwgent.store.base import RunInfo, SessionStore, is_store
from auwgent.stream import Stream
from auwgent.tape import Tape
from auwgent.variant import Variant, Variants

if TYPE_CHECKING:
    from auwgent.fleet.following import Following
    from auwgent.fleet.queue import Queue
    from auwgent.fleet.ticket import Ticket

Session.shown_as = notebook

PATIENCE, LOOK = 10.0, 1.0  # seconds: a cancel waits for its run; between looks at a process that may be dead

Source = str | Path | Mapping[str, Any]


class Runtime(Generic[Answer_co]):
    """An agent. It serves many runs at once; what belongs to one run lives in that run alone."""

    def __init__(
        self,
        source: Source,
        *,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        middleware: Sequence[Any] = (),
        on_approval: Approver | None = None,
        rehearsal: Path | None = None,
        tape: Tape | None = None,
        deck: Callable[[Services], Services] | None = None,
    ) -> None:
        """As `auwgent` takes it. For a `rehearsal` what is kept goes to that folder, and logs and meters sit out;
        a `tape` is asked in place of tools and persons; a `deck` changes what its runs are made with.
        """
        complete()
        self._source, self._profile, self._overrides, self._deck = source, profile, tuple(overrides), deck
        self._handlers, self._partial_handlers = Handlers(), Handlers()
        self._variants = Variants(
            source,
            profile,
            self._overrides,
            more=[Installed.of(one() if isclass(one) else one) for one in middleware],
            rehearsal=rehearsal,
            deck=deck,
            handlers=self._handlers,
            partial_handlers=self._partial_handlers,
            approver=on_approval,
            tape=tape,
        )
        self._lines = KeyedLock()  # of the runs of a session
        self._cancels = Cancels()
        self._openers = self._runs = 0  # who opened it and has yet to close it; runs under way
        self._counting = threading.Lock()
        self._recorders = Recorders()
        self._main = self._variants.get(profile)

    @property
    def config(self) -> Config:
        """The config in force."""
        return self._main.config

    @property
    def middleware(self) -> list[Any]:
        """The live middleware, in listed order."""
        return [one.instance for one in self._main.parts.installed]

    def on_intent(self, handler: Any) -> Any:
        """Hear of every intent: a function `(name, value, agent_name)`, or a class with a method per intent."""
        self._handlers.add(handler)
        return handler

    def on_intent_partial(self, handler: Any) -> Any:
        """Hear of every streamed piece, as `on_intent` does of whole intents."""
        self._partial_handlers.add(handler)
        return handler

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents by name, with what each may call."""
        return self._main.parts.agents

    def speaks_to_user(self, agent: str) -> bool:
        """Return whether what this agent says is meant for the user, and not for the agent that called it."""
        named = self._main.parts.agents.get(agent)
        return named is None or named.name == self._main.parts.root or named.handoff != "return"

    @property
    def store(self) -> SessionStore | None:
        """The store of its sessions: the first middleware that has all the verbs of one."""
        return next((one for one in self.middleware if is_store(one)), None)

    async def run(self, input: Input, **options: Unpack[RunOptions]) -> Session[Answer_co]:
        """Carry out one run; gives the session as it is then. Its options are those of `RunOptions`.

        A run that has paused goes on by `run(None, session_id=…, answers={…})`, once each of its calls has an answer.
        Errors carry `.session`, as far as the run got.
        """
        variant, order = self._prepared(input, **options)
        return await self._carried(variant, order)

    async def submit(
        self,
        input: Input,
        *,
        priority: int = 0,
        at: datetime | None = None,
        asks: bool = True,
        **options: Unpack[RunOptions],
    ) -> Ticket[Answer_co]:
        """Queue a run for workers, as [queue] says; it is accepted when this returns, and ends whatever dies.

        Takes what `run` takes. Of runs of different sessions those with a larger `priority` begin first; `at` is when
        a run is accepted, and so has its place in its session. Without `asks` nobody can be asked about its calls.
        """
        variant, order = self._prepared(input, **options)
        await variant.open()
        ticket: Ticket[Answer_co] = await late("auwgent.fleet.submitting:submit")(
            variant.queue, variant.parts.agents, order, priority=priority, at=at, asks=asks
        )
        return ticket

    async def carry(self, run: RunInfo, job: str, sink: Sink | None = None) -> Session[Answer_co]:
        """Carry out a run that a queue has given to this process. `RunTaken` where it is another's, or over."""
        order = Order(input=None, user_id=run.user_id, run_id=run.run_id, asked=run.asked or "", job=job)
        variant, order = self._taken_up(run, order)
        return await self._once(variant, order, sink)

    def follow(self, input: Input, *, asks: bool = True, **options: Unpack[RunOptions]) -> Following:
        """Queue a run, and read it as `stream` does one that happens here. In an event loop."""
        run_id = options.get("run_id") or new_id()
        given: RunOptions = {**options, "run_id": run_id}
        user = user_of(self.config.context, options.get("user_id"))
        is_later = options.get("answers") is not None
        before = (lambda: said_before(self.queue.store, user, run_id)) if is_later else None
        following: Following = late("auwgent.fleet.following:Following")(
            lambda: self.submit(input, asks=asks, **given), run_id, before
        )
        return following

    @property
    def queue(self) -> Queue:
        """The queue of its config; `ConfigError` where there is none."""
        return self._main.queue

    def stream(self, input: Input, **options: Unpack[RunOptions]) -> Stream[Answer_co]:
        """Carry out one run, and give its intents as they come, partial ones too. Leaving the loop cancels the run."""
        run_id = options.get("run_id") or new_id()

        async def carry(sink: Sink, began: Callable[[Run], None]) -> Session:
            variant, order = self._prepared(input, **options)
            return await self._carried(variant, replace(order, run_id=run_id), sink, began)

        return Stream(carry, run_id)

    async def cancel(self, run_id: str, *, user_id: str | None = None) -> None:
        """End a run of this or another process: it is saved as `cancelled`, and who waits for it gets `RunFailed`.

        Waits until it has ended, for a few seconds at most. `SessionNotFound` where that user has no such run.
        """
        user, store = user_of(self.config.context, user_id), self._main.store
        if await self._cancels(user, run_id, PATIENCE):
            return
        if store is None:
            raise SessionNotFound(
                f"there is no run {run_id!r} under way here, and no store that tells of others"
            )
        await self._main.open()
        await store.cancel(user, run_id)
        await over(store, user, run_id, PATIENCE)

    async def replay(self, session_id: str, **how: Any) -> Any:
        """Replay a stored session, as `auwgent.replay` says: `at`, `models`, `prompt`, `tools`, `keep`."""
        return await late("auwgent.replay:replay")(self, session_id, **how)

    def rehearsed(
        self,
        folder: Path,
        overrides: Sequence[str],
        on_approval: Approver | None,
        tape: Tape | None,
        deck: Callable[[Services], Services] | None = None,
    ) -> Runtime[Any]:
        """Return an agent of the same config, with more overrides, for a rehearsal that keeps all in a folder."""
        return Runtime(
            self._source,
            profile=self._profile,
            overrides=(*self._overrides, *overrides),
            on_approval=on_approval,
            rehearsal=folder,
            tape=tape,
            deck=deck,
        )

    @property
    def embed_model(self) -> str:
        """The `provider/model` under `[embedding]`; empty where there is none."""
        return getattr(self._main.parts.embed, "model", "")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text, by the model under `[embedding]`."""
        if self._main.parts.embed is None:
            raise ConfigError(EMBED_OFF)
        return await self._main.parts.embed(texts)

    def run_sync(self, input: Input, **options: Unpack[RunOptions]) -> Session[Answer_co]:
        """`run` for plain code, in any thread and in a notebook: opens the agent, runs, and closes it again.

        While other runs are under way or somebody else has it open, it stays open. Inside an event loop it takes a
        thread of its own, and the loop stands still meanwhile: servers use `await agent.run(…)`.
        """
        return finished(lambda: self._run_once(input, options))

    def check_keys(self) -> None:
        """Raise `ConfigError` where a model in use has no key, as each run does before it begins."""
        if not self._main.config.plays_tape:
            check_keys(self._main.config, self._main.parts.catalog, self._main.parts.installed)

    def preload(self) -> None:
        """Begin to load what the root agent's model needs, in a thread: LiteLLM takes seconds. Returns at once."""
        self._main.parts.catalog.preload(self._main.config.agent.model)

    async def open(self) -> None:
        """Open middleware and whatever else holds connections. A run opens the agent where nobody did."""
        self._count(openers=1)
        try:
            await self._main.open()
        except BaseException:
            self._count(openers=-1)
            raise

    async def close(self) -> None:
        """Close what was opened, once as many have closed it as opened it. The agent can be opened again."""
        if self._count(openers=-1) == 0:
            await self._variants.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run_once(self, input: Input, options: RunOptions) -> Session:
        await self.open()
        try:
            return await self.run(input, **options)
        finally:
            if self._runs:
                self._count(openers=-1)
            else:
                await self.close()

    def _count(self, *, openers: int = 0, runs: int = 0) -> int:
        """Count those who use the agent, in whatever thread; gives how many have it open."""
        with self._counting:
            self._openers, self._runs = max(0, self._openers + openers), self._runs + runs
            return self._openers

    def _prepared(self, input: Input, **options: Unpack[RunOptions]) -> tuple[Variant, Order]:
        """Return what carries out a run, and what it is to do. What cannot be is a `ConfigError` here."""
        check_options(options)
        profile = self._profile if options.get("profile") is None else options.get("profile")
        variant = self._variants.get(profile)
        check_context(options.get("context") or {})
        if not variant.config.plays_tape and self._deck is None:
            check_keys(variant.config, variant.parts.catalog, variant.parts.installed)
        order = order_of(
            input,
            options,
            config=variant.config,
            agents=variant.parts.agents,
            agent=variant.agent_named(options.get("agent")),
            has_store=variant.store is not None,
            profile=profile,
            overrides=self._overrides,
        )
        return variant, order

    async def _carried(
        self,
        variant: Variant,
        order: Order,
        sink: Sink | None = None,
        began: Callable[[Run], None] | None = None,
    ) -> Session:
        """Carry out the run, unless one of its id is there already: then what comes of that."""
        if variant.store is not None and order.keep:
            await variant.open()
            order = await found(variant.store, order)
        while True:
            store = variant.store if order.asked is not None else None
            if store is not None:
                try:
                    known = await outcome_of(store, order)
                except AuwgentError as error:
                    if error.session is not None:
                        with_output(error.session, variant.parts.agents)
                    raise
                if isinstance(known, Session):
                    return with_output(known, variant.parts.agents)
                if known is not None:
                    variant, order = self._taken_up(known, order)
            try:
                return await self._once(variant, order, sink, began)
            except RunTaken:
                if store is None:
                    raise
            await asyncio.sleep(LOOK)  # it may have lost its process, which takes a while to be seen

    async def _once(
        self,
        variant: Variant,
        order: Order,
        sink: Sink | None = None,
        began: Callable[[Run], None] | None = None,
    ) -> Session:
        """Carry out the run here and now."""
        services = replace(variant.services, root=order.agent or variant.parts.root)
        with self._cancels.of(order.user_id, order.run_id) as cancel:
            out = await outlet(variant.store, order, sink)
            run = Run(self._recorders.recording(services, order.record), order, out or sink, cancel)
            try:
                with cancel.reaching():
                    async with self._at_work(variant, order):
                        if began is not None:
                            began(run)
                        return await carry_out(run)
            except RunFailed as error:  # it was cancelled
                raise attach(error, run.session) from None
            finally:
                if out is not None:
                    out.over()
                is_kept = variant.store is not None and order.keep
                run.session.tell(run.status if is_kept else "", [dict(call) for call in run.pending])
                with_output(run.session, variant.parts.agents)

    def _taken_up(self, run: RunInfo, order: Order) -> tuple[Variant, Order]:
        """Return what goes on with a run that was paused or interrupted."""
        overrides = overrides_of(run.settings, self._overrides)
        variant = self._variants.get(run.settings.get("profile"), overrides)
        return variant, taken_up(run, order, variant.parts.root, variant.parts.agents, variant.config.context)

    @asynccontextmanager
    async def _at_work(self, variant: Variant, order: Order) -> AsyncIterator[None]:
        """The agent open, and this run the only one of its session, unless a store wants them to meet."""
        waits = order.keep and order.job is None and getattr(self.store, "on_busy", "queue") == "queue"
        key = (order.user_id, order.session_id) if waits and order.session_id is not None else None
        async with self._lines.turn(key):
            self._count(runs=1)
            try:
                await variant.open()
                await variant.warm()
                yield
            finally:
                self._count(runs=-1)
