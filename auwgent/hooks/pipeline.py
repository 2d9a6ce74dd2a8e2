"""The middleware of an agent in order: who is asked at which hook, and what their answers do."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

from auwgent.errors import (
    AuwgentError,
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    Problem,
    RunPaused,
    RunTaken,
    SessionConflict,
    SessionNotFound,
    goes_through,
)
from auwgent.hooks.answers import Piece, Verdict, decided, judged, prompted, started_session
from auwgent.hooks.context import Context, Middleware, NotNow
from auwgent.hooks.metering import ASKING, Meter, Outlay
from auwgent.hooks.names import HOOKS, METHODS, answers_to_anything, misspelt_hooks
from auwgent.models.quotes import Quote, Reserved
from auwgent.session import Session
from auwgent.words import describe

log = logging.getLogger("auwgent.middleware")

# A hook that raises one of these says it to the user of the agent; everything else is the middleware's failure.
MEANT_FOR_THE_CALLER = (LimitExceeded, RunPaused, SessionConflict, SessionNotFound, MiddlewareError)


NAMES_OF_AGENTS = (str, list, tuple, set, frozenset)  # what a `target` may be

About = TypeVar("About")
Hook = TypeVar("Hook", bound=Callable[..., Any])
Who = Literal["all", "others", "watchers", "asides"]  # of the middleware a hook fires for


def leaves_input(hook: Hook) -> Hook:
    """Mark an `onRunStart` that never changes what the user said: a store in front of it may write that down."""
    hook.leaves_input = True  # type: ignore[attr-defined]
    return hook


@dataclass(frozen=True, slots=True)
class Installed:
    """A live middleware and how the config wants it: for which agents, and what its failure means."""

    instance: Any
    name: str
    targets: frozenset[str] | None = None  # None: every agent
    warn: bool = False  # a failure is logged and the run goes on

    @classmethod
    def of(
        cls,
        instance: Any,
        *,
        target: str | Collection[str] | None = None,
        on_error: Literal["raise", "warn"] = "raise",
    ) -> Installed:
        """Install an instance; `target` from the config wins over the class's own. `ConfigError` where it cannot be."""
        _refuse_silent(instance)
        name = getattr(instance, "name", None)
        name = name if isinstance(name, str) and name else type(instance).__name__
        if target is None:
            target = getattr(instance, "target", None)
            if answers_to_anything(instance) and not isinstance(target, NAMES_OF_AGENTS):
                target = None
        return cls(instance, name=name, targets=_targets(name, target), warn=on_error == "warn")

    def has(self, trait: str) -> bool:
        """Return whether its class says that it `watches`, `looksUp` inputs, or wants to hear of `asides`."""
        return getattr(self.instance, trait, False) is True

    def hook(self, name: str) -> Callable[..., Any] | None:
        """Return the hook's method, None where this middleware has none of its own."""
        method: Callable[..., Any] | None = getattr(self.instance, name, None)
        is_of_the_base = getattr(method, "__func__", None) is getattr(Middleware, name)
        return None if is_of_the_base else method


def _targets(name: str, target: Any) -> frozenset[str] | None:
    names = [target] if isinstance(target, str) else target
    if names is None:
        return None
    if isinstance(names, NAMES_OF_AGENTS) and all(isinstance(one, str) for one in names):
        return frozenset(names) or None
    raise ConfigError(
        [
            Problem(
                f"{name!r} has a `target` that is {type(target).__name__}, not the name of an agent or a list of names",
                hint="`target` limits a middleware to these agents; an attribute of your own needs another name",
            )
        ]
    )


def _refuse_silent(instance: Any) -> None:
    """Refuse a guard whose hook never fires: it would silently guard nothing."""
    kind = type(instance).__name__
    problems = [
        Problem(
            f"{kind!r} has a method {name!r}, which is not a hook",
            hint=f"did you mean {hook!r}? A method of your own needs a name that is less like it",
        )
        for name, hook in misspelt_hooks(instance).items()
    ]
    problems += [
        Problem(f"{name} of {kind!r} is {type(found).__name__}, not a method")
        for name in HOOKS
        if not callable(found := getattr(instance, name, None)) and found is not None
    ]
    if not problems and not any(callable(getattr(instance, name, None)) for name in METHODS):
        problems = [Problem(f"{kind!r} is not a middleware: it has none of the hooks {', '.join(HOOKS)}")]
    if problems:
        raise ConfigError(problems)


class Pipeline:
    """All middleware of one agent, in listed order. Alive as long as the agent; holds nothing of a run."""

    def __init__(self, installed: Iterable[Installed]) -> None:
        self.installed = tuple(installed)
        self.ordered = sorted(self.installed, key=lambda one: one.has("watches"))
        # Behind these nobody changes what the user said.
        self.rewording = [
            one
            for one in self.ordered
            if (method := one.hook("onRunStart")) and not getattr(method, "leaves_input", False)
        ]
        # Whoever looks an input up is given it as the others have left it: redacted, or withheld.
        self.starting = sorted(self.ordered, key=lambda one: one.has("watches") or one.has("looksUp"))
        self.hooks = {
            name: tuple((one, method) for one in self.ordered if (method := one.hook(name)) is not None)
            for name in HOOKS
        }

    def listens(self, hook: str) -> bool:
        """Return whether any middleware has that hook."""
        return bool(self.hooks[hook])

    async def open(self) -> None:
        """Open in listed order. When one fails, those opened before are closed again."""
        opened: list[Installed] = []
        for one in self.installed:
            try:
                await _maybe_await(getattr(one.instance, "open", _nothing)())
            except BaseException as error:
                await self._close(opened)
                if isinstance(error, AuwgentError) or not isinstance(error, Exception):
                    raise
                raise MiddlewareError(
                    f"middleware {one.name!r} failed to open: {describe(error)}",
                    middleware=one.name,
                    hook="open",
                ) from error
            opened.append(one)

    async def close(self) -> None:
        """Close in reversed order, all of them; failures are logged."""
        await self._close(list(self.installed))

    async def _close(self, opened: list[Installed]) -> None:
        for one in reversed(opened):
            try:
                await _maybe_await(getattr(one.instance, "close", _nothing)())
            except Exception as error:
                log.warning("middleware %r failed to close: %s", one.name, describe(error))

    def begin(self) -> Chain:
        """Return the pipeline for one run."""
        return Chain(self)


class Chain:
    """The pipeline as one run sees it: it remembers which middleware takes part, and where it was last asked."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._sits_out = set(map(id, pipeline.installed))  # until its turn at onRunStart has come
        self._last_ctx: dict[int, Context] = {}  # of each middleware
        self._saving = asyncio.Lock()
        self._saver: asyncio.Task[Any] | None = None

    def listens(self, hook: str) -> bool:
        """Return whether any middleware has that hook."""
        return self._pipeline.listens(hook)

    @property
    def has_meters(self) -> bool:
        """Whether any middleware wants to know of each request."""
        return any(isinstance(one.instance, Meter) for one in self._pipeline.installed)

    async def reserve(
        self, quote: Quote, ctx: Context, *, call: bool, retry: bool
    ) -> AsyncGenerator[Reserved, None]:
        """Ask each meter about a request, in listed order; one that says no raises."""
        for one in self._pipeline.installed:
            if isinstance(one.instance, Meter) and _meant(one, ctx):
                outlay = Outlay(quote, ctx.activeAgent, ASKING.get(), call, one.targets, retry)
                reserved = await _call(one, "reserve", one.instance.reserve, outlay, ctx)
                if reserved is not None:
                    if reserved.output_tokens is not None:
                        quote = replace(quote, output_tokens=min(quote.output_tokens, reserved.output_tokens))
                    yield reserved

    async def start(self, session: Session, ctx: Context, adopt: Callable[[Session], Session]) -> Session:
        """Fire `onRunStart`; `adopt` installs the session that a hook returned, or a copy, and gives it back.

        One that a class `hands_over` is nobody else's, and a long history is not copied again. A class of the user's
        that is made of such a one may keep it.
        """
        owner = session.user_id
        hooks = {id(one): method for one, method in self._pipeline.hooks["onRunStart"]}
        rewording = list(self._pipeline.rewording)
        for one in self._pipeline.starting:
            if one in rewording:
                rewording.remove(one)
            ctx._run.is_input_final = not rewording
            if _meant(one, ctx):
                self._last_ctx[id(one)] = ctx
                if method := hooks.get(id(one)):
                    read = partial(started_session, one.name, session, owner)
                    returned = await _call(one, "onRunStart", method, session, ctx, read=read)
                    if returned is None:
                        continue  # it failed, and may: it sits the run out
                    if returned is not session and "hands_over" not in vars(type(one.instance)):
                        returned = returned.model_copy(deep=True)
                    session = adopt(returned)
            self._sits_out.discard(id(one))
        return session

    async def fire(self, hook: str, ctx: Context, about: About, who: Who = "all") -> About:
        """Fire a hook of each middleware that takes part, in the hook's order; gives what they made of `about`.

        Those that watch come last, wherever they are listed: they see what the others have made of it. Of a call
        beside the conversation only those hear that want to, also before their run has started.
        """
        row = FIRING[hook]
        hooks = self._pipeline.hooks[hook]
        # Of a call beside the conversation nothing is told behind its end: who may change it comes first, here too.
        for one, method in reversed(hooks) if row.backwards and who != "asides" else hooks:
            if who == "asides":
                if not one.has("asides") or one.name == ASKING.get():
                    continue
            elif id(one) in self._sits_out or who == ("others" if one.has("watches") else "watchers"):
                continue
            if not _meant(one, ctx):
                continue
            if who != "asides":
                self._last_ctx[id(one)] = ctx
            if row.wants is None or row.wants(one.instance, about):
                read = None if row.read is None else partial(row.read, one.name, about)
                given = row.given(about)
                if row.shown is not None and one.has("watches"):
                    given = row.shown(ctx, about)
                await _call(one, hook, method, *given, ctx, read=read)
        return about

    async def checkpoint(self, session: Session, ctx: Context, moment: dict[str, Any]) -> None:
        """Fire `onCheckpoint`, one checkpoint of a run after the other; `ctx["checkpoint"]` is the moment."""
        if self.listens("onCheckpoint"):
            async with self._saving:
                self._saver = asyncio.current_task()
                try:
                    ctx["checkpoint"] = moment
                    await self.fire("onCheckpoint", ctx, session)
                finally:
                    self._saver = None

    @property
    def is_saving(self) -> bool:
        """Whether this is asked from within an `onCheckpoint`: another one would wait for it for ever."""
        return self._saver is not None and self._saver is asyncio.current_task()

    async def complete(self, session: Session, ctx: Context) -> AuwgentError | None:
        """Fire `onRunComplete` of each that took part. No failure keeps another from saving; gives the first one.

        A middleware that is not meant for the agent the run ended with gets the ctx of the last one it is meant for.
        """
        first: AuwgentError | None = None
        for one, method in reversed(self._pipeline.hooks["onRunComplete"]):
            own = ctx if _meant(one, ctx) else self._last_ctx.get(id(one))
            if id(one) in self._sits_out or own is None:
                continue
            try:
                await _call(one, "onRunComplete", method, session, own)
            except AuwgentError as error:
                if first is not None:
                    log.warning("%s", error)
                first = first or error
        return first


def as_kept(ctx: Context, verdict: Verdict) -> tuple[str, dict[str, Any]]:
    """Return an intent as it may be written down: what is restored for a tool is for that tool alone."""
    value = dict(verdict.value)
    if "args" in value:
        value["args"] = ctx._run.final(value["args"])
    return verdict.name, value


@dataclass(frozen=True, slots=True)
class Firing:
    """How a hook fires: what it is given, in which order, and what is done with what it returns."""

    given: Callable[[Any], tuple[Any, ...]]  # the arguments before ctx, from what it is about
    read: Callable[[str, Any, Any], None] | None = (
        None  # (name of the middleware, what it is about, returned)
    )
    shown: Callable[[Context, Any], tuple[Any, ...]] | None = None  # the same, for those that watch
    backwards: bool = False
    wants: Callable[[Any, Any], bool] | None = None  # (instance, what it is about); None: always


FIRING = {
    "onCheckpoint": Firing(lambda session: (session,)),
    "onLLMStart": Firing(lambda asked: (asked.prompt,), prompted),
    "onIntentPartial": Firing(lambda piece: (piece.name, piece.value), wants=Piece.is_for),
    "onIntent": Firing(lambda verdict: (verdict.name, verdict.value), judged, as_kept),
    "onLLMEnd": Firing(lambda response: (response,), backwards=True),
    "onError": Firing(lambda failure: (failure.error, failure.session), decided, backwards=True),
}


async def _call(
    one: Installed,
    hook: str,
    method: Callable[..., Any],
    *args: Any,
    read: Callable[[Any], Any] | None = None,
) -> Any:
    """Call the hook; `read` makes something of what it returns. None where it failed, and may."""
    asking = ASKING.set(one.name)
    try:
        returned = await _maybe_await(method(*args))
        return returned if read is None else read(returned)
    except BaseException as error:
        if goes_through(error) or isinstance(error, NotNow):
            raise
        # A run that is not to be done is not done without it.
        if one.warn and not isinstance(error, (RunTaken, RunPaused)):
            log.warning("middleware %r failed in %s: %s", one.name, hook, describe(error))
            return None
        if isinstance(error, MEANT_FOR_THE_CALLER):
            raise
        raise MiddlewareError(
            f"middleware {one.name!r} failed in {hook}: {describe(error)}", middleware=one.name, hook=hook
        ) from error
    finally:
        ASKING.reset(asking)


def _meant(one: Installed, ctx: Context) -> bool:
    return one.targets is None or ctx.activeAgent in one.targets


def _nothing() -> None:
    return None


async def _maybe_await(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
