"""The middleware of an agent in order: who is asked at which hook, and what their answers do."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from auwgent.errors import (
    AuwgentError,
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    Problem,
    SessionConflict,
    SessionNotFound,
)
from auwgent.hooks.answers import Decision, Verdict, apply, decision, prompt_text, started_session
from auwgent.hooks.context import HOOKS, Context, Middleware, misspelt_hooks
from auwgent.secrecy import scrubbed
from auwgent.session import Session

log = logging.getLogger("auwgent.middleware")

# A hook that raises one of these says it to the user of the agent; everything else is the middleware's failure.
MEANT_FOR_THE_CALLER = (LimitExceeded, SessionConflict, SessionNotFound, MiddlewareError)


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
        target: str | Sequence[str] | None = None,
        on_error: Literal["raise", "warn"] = "raise",
    ) -> Installed:
        """Install an instance; `target` from the config wins over the class's own. `ConfigError` where it cannot be."""
        _refuse_misspelt(instance)
        wanted = target if target is not None else getattr(instance, "target", None)
        names = [wanted] if isinstance(wanted, str) else wanted
        is_names = isinstance(names, list | tuple | set | frozenset) and all(
            isinstance(n, str) for n in names
        )
        if names is not None and not is_names:
            raise ConfigError(
                f"{type(instance).__name__!r} has an attribute `target` that is {type(wanted).__name__}; it must be "
                "the name of an agent, or a list of them: call an attribute of another meaning something else"
            )
        return cls(
            instance,
            name=str(getattr(instance, "name", None) or type(instance).__name__),
            targets=frozenset(names) if names else None,
            warn=on_error == "warn",
        )

    def hook(self, name: str) -> Callable[..., Any] | None:
        """The hook's method, None where this middleware has none of its own."""
        method: Callable[..., Any] | None = getattr(self.instance, name, None)
        inherited = getattr(type(self.instance), name, None) is getattr(Middleware, name, None)
        return None if inherited or not callable(method) else method


def _refuse_misspelt(instance: Any) -> None:
    """A guard whose hook never fires guards nothing, and nobody would know."""
    problems = [
        Problem(
            f"{type(instance).__name__!r} has a method {name!r}, which is no hook",
            hint=f"did you mean {hook!r}? A method of your own needs a name that is less like it",
        )
        for name, hook in misspelt_hooks(instance).items()
    ]
    if problems:
        raise ConfigError(problems)


class Pipeline:
    """All middleware of one agent, in listed order. Alive as long as the agent; holds nothing of a run."""

    def __init__(self, installed: Iterable[Installed]) -> None:
        self.installed = tuple(installed)
        self._hooks = {
            name: tuple((one, method) for one in self.installed if (method := one.hook(name)) is not None)
            for name in HOOKS
        }

    def listens(self, hook: str) -> bool:
        """Whether any middleware has that hook."""
        return bool(self._hooks[hook])

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
        """The pipeline for one run."""
        return Chain(self)


class Chain:
    """The pipeline as one run sees it: it remembers which middleware takes part, and where it was last asked."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._sits_out = set(map(id, pipeline.installed))  # until its turn at onRunStart has come
        self._last_ctx: dict[int, Context] = {}  # of each middleware
        self._saving = asyncio.Lock()

    def listens(self, hook: str) -> bool:
        """Whether any middleware has that hook."""
        return self._pipeline.listens(hook)

    async def run_start(self, session: Session, ctx: Context, adopt: Callable[[Session], Session]) -> Session:
        """`onRunStart` of each; `adopt` takes the session over as each left it, and gives it back as it became."""
        owner = session.user_id
        hooks = {id(one): method for one, method in self._pipeline._hooks["onRunStart"]}
        for one in self._pipeline.installed:
            if _meant(one, ctx):
                self._last_ctx[id(one)] = ctx
                if method := hooks.get(id(one)):
                    read = partial(started_session, one.name, session, owner)
                    returned = await self._call(one, "onRunStart", method, session, ctx, read=read)
                    if returned is None:
                        continue  # it failed, and may: it sits the run out
                    session = adopt(returned)
            self._sits_out.discard(id(one))
        return session

    async def checkpoint(self, session: Session, ctx: Context, moment: dict[str, Any]) -> None:
        """`onCheckpoint` of each, one checkpoint of a run after the other; `ctx["checkpoint"]` is the moment."""
        if not self.listens("onCheckpoint"):
            return
        async with self._saving:
            ctx["checkpoint"] = moment
            for one, method in self._taking_part("onCheckpoint", ctx):
                await self._call(one, "onCheckpoint", method, session, ctx)

    async def llm_start(self, prompt: str, ctx: Context) -> str:
        """`onLLMStart` of each; gives the prompt as they left it."""
        for one, method in self._taking_part("onLLMStart", ctx):
            returned = await self._call(
                one, "onLLMStart", method, prompt, ctx, read=partial(prompt_text, one.name)
            )
            prompt = prompt if returned is None else returned
        return prompt

    async def intent_partial(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        """`onIntentPartial` of each. What one of them has held back altogether the next ones do not hear of."""
        has_words = bool(value.get("delta"))
        for one, method in self._taking_part("onIntentPartial", ctx):
            if has_words and not value.get("delta"):
                return
            await self._call(one, "onIntentPartial", method, name, value, ctx)

    async def last_partial(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        """A last and empty piece, `complete`, for middleware that `holdsBack`; what it lets go others hear of, too."""
        for one, method in self._taking_part("onIntentPartial", ctx):
            value["complete"] = bool(getattr(one.instance, "holdsBack", False))
            if value["complete"] or value["delta"]:
                await self._call(one, "onIntentPartial", method, name, value, ctx)
        value["complete"] = False

    async def intent(self, name: str, value: dict[str, Any], ctx: Context) -> Verdict:
        """`onIntent` of each. All of them see it; a skip holds against a later result."""
        verdict = Verdict(value)
        for one, method in self._taking_part("onIntent", ctx):
            read = partial(apply, one.name, name, verdict)
            await self._call(one, "onIntent", method, name, verdict.value, ctx, read=read)
        return verdict

    async def llm_end(self, response: dict[str, Any], ctx: Context) -> None:
        """`onLLMEnd` of each, reversed."""
        for one, method in self._taking_part("onLLMEnd", ctx, backwards=True):
            await self._call(one, "onLLMEnd", method, response, ctx)

    async def error(self, error: Exception, session: Session, ctx: Context) -> Decision | None:
        """`onError` of each, reversed. All of them are told; the first decision holds."""
        first: Decision | None = None
        for one, method in self._taking_part("onError", ctx, backwards=True):
            read = partial(decision, one.name)
            made = await self._call(one, "onError", method, error, session, ctx, read=read)
            first = first or made
        return first

    async def run_complete(self, session: Session, ctx: Context) -> AuwgentError | None:
        """`onRunComplete` of each that took part, reversed. No failure keeps another from saving; gives the first.

        A middleware that is not meant for the agent the run ended with gets the ctx of the last one it is meant for.
        """
        first: AuwgentError | None = None
        for one, method in reversed(self._pipeline._hooks["onRunComplete"]):
            own = ctx if _meant(one, ctx) else self._last_ctx.get(id(one))
            if id(one) in self._sits_out or own is None:
                continue
            try:
                await self._call(one, "onRunComplete", method, session, own)
            except AuwgentError as error:
                if first is not None:
                    log.warning("%s", error)
                first = first or error
        return first

    def _taking_part(
        self, hook: str, ctx: Context, *, backwards: bool = False
    ) -> Iterator[tuple[Installed, Callable[..., Any]]]:
        hooks = self._pipeline._hooks[hook]
        for one, method in reversed(hooks) if backwards else hooks:
            if id(one) not in self._sits_out and _meant(one, ctx):
                self._last_ctx[id(one)] = ctx
                yield one, method

    async def _call(
        self,
        one: Installed,
        hook: str,
        method: Callable[..., Any],
        *args: Any,
        read: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Call the hook; `read` makes something of what it returns. None where it failed, and may."""
        try:
            returned = await _maybe_await(method(*args))
            return returned if read is None else read(returned)
        except Exception as error:
            if one.warn:
                log.warning("middleware %r failed in %s: %s", one.name, hook, describe(error))
                return None
            if isinstance(error, MEANT_FOR_THE_CALLER):
                raise
            raise MiddlewareError(
                f"middleware {one.name!r} failed in {hook}: {describe(error)}", middleware=one.name, hook=hook
            ) from error


def describe(error: BaseException) -> str:
    """An exception in one line: its type, and its words where it has any, without secrets."""
    words = scrubbed(" ".join(str(error).split()))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _meant(one: Installed, ctx: Context) -> bool:
    return one.targets is None or ctx.activeAgent in one.targets


def _nothing() -> None:
    return None


async def _maybe_await(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
