"""What a middleware is: the hooks it may have, and the `ctx` they are given."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import TypeAdapter

from auwgent.errors import ConfigError
from auwgent.models.base import Reply, ToolSpec
from auwgent.session import Session, Turn, Usage

HOOKS = (
    "onRunStart",
    "onCheckpoint",
    "onLLMStart",
    "onIntentPartial",
    "onIntent",
    "onLLMEnd",
    "onRunComplete",
    "onError",
)
NEAR = 0.7  # how like a hook's name another one must be to be taken for a misspelt one


class Middleware:
    """Optional base of a middleware: every hook, doing nothing. Each may be `async` or plain.

    One instance serves the agent and all its runs; what belongs to one run goes on `ctx`.
    """

    name: ClassVar[str]
    target: str | Sequence[str] | None = None  # agents this middleware is for; None: all

    def onRunStart(self, session: Session, ctx: Context) -> Any:
        """Once, before the engine starts. A returned session (or dict of its form) replaces it."""

    def onCheckpoint(self, session: Session, ctx: Context) -> Any:
        """Whenever something must not be lost: before each model call, before and after each tool call."""

    def onLLMStart(self, prompt: str, ctx: Context) -> Any:
        """Before every model call. A returned string replaces the user's text in this call only."""

    def onIntentPartial(self, name: str, value: dict[str, Any], ctx: Context) -> Any:
        """For every streamed piece."""

    def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> Any:
        """Every intent before it takes effect. Return `{"skip": True}` or `{"result": x}` to change it."""

    def onLLMEnd(self, response: dict[str, Any], ctx: Context) -> Any:
        """When a model call ends an agent's turn."""

    def onRunComplete(self, session: Session, ctx: Context) -> Any:
        """Once, when the run is over: completed, failed or cancelled, as `ctx.status` says."""

    def onError(self, error: Exception, session: Session, ctx: Context) -> Any:
        """Once per error. `True` or `{"swallow": True, "response": "…"}`, or `{"forceStart": "llm_start"}`."""

    async def open(self) -> None:
        """When the agent is opened, in listed order."""

    async def close(self) -> None:
        """When the agent is closed, in reversed order."""


AuwgentMiddleware = Middleware  # the name that is documented for every Auwgent language


def misspelt_hooks(instance: Any) -> dict[str, str]:
    """Methods that never fire although they look as if they should, each with the hook that may be meant.

    That is any hook in another spelling, such as `on_run_start`, and what begins with `on` and a capital letter,
    as hooks alone do, where it is near one of them.
    """
    by_letters = {hook.lower(): hook for hook in HOOKS}
    meant: dict[str, str] = {}
    for name in dir(instance):
        letters = name.replace("_", "").lower()
        if name in HOOKS or name.startswith("_") or not letters.startswith("on"):
            continue
        near = difflib.get_close_matches(letters, by_letters, n=1, cutoff=NEAR)
        is_like = letters in by_letters or (near and re.match("on[A-Z]", name))
        if is_like and callable(inspect.getattr_static(instance, name, None)):
            meant[name] = by_letters[near[0]]
    return meant


CALL_SETTINGS = ("model", "provider", "config", "url", "headers", "apiKey")
SETTABLE = (*CALL_SETTINGS, "systemPrompt", "messages", "modelReply")
SETTABLE_AT_START = ("input",)
RESERVED = frozenset(
    (
        *CALL_SETTINGS,
        "systemPrompt",
        "messages",
        *SETTABLE_AT_START,
        "session",
        "sessionId",
        "userId",
        "runId",
        "rootAgent",
        "activeAgent",
        "stack",
        "rawBlock",
        "usage",
        "status",
        "error",
        "embed",
        "embedBatch",
        "setContext",
        "set_context",
    )
)
# What `ctx` can do beyond the contract. Context values and notes of the same names come first.
ADDED = frozenset(
    (
        "approve",
        "ask",
        "changeArguments",
        "changeTurns",
        "contextValues",
        "contextWindow",
        "modelReply",
        "modelUsage",
        "outputSchema",
        "toolSpecs",
    )
)
REPLY_KEYS = {"text", "calls", "model", "finish_reason", "provider_data"}  # of what a hook gives as a reply
EMBED_OFF = "ctx.embed needs a model under [embedding] in the config"

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
ChangeTurn = Callable[[Turn], None]
ChangeArguments = Callable[[str, dict[str, Any]], dict[str, Any]]


class Ask(Protocol):
    """A model call beside the conversation."""

    def __call__(self, agent: str, prompt: str, model: str | None, system: str) -> Awaitable[str]: ...


class Approve(Protocol):
    """A question to the user: may this call happen? The answer is for the call and its arguments as they are."""

    def __call__(self, agent: str, call: Mapping[str, Any]) -> Awaitable[bool]: ...


@dataclass(slots=True)
class RunFacts:
    """What is true of a whole run, shared by the ctx of all its agents."""

    run_id: str
    root_agent: str
    user_id: str
    session: Session
    input: Any
    values: dict[str, Any] = field(default_factory=dict)  # the run's context values
    notes: dict[str, Any] = field(default_factory=dict)  # what middleware put on ctx
    usage: Usage = field(default_factory=lambda: Usage(usd=0.0))
    status: str = "running"  # running | completed | failed | cancelled
    error: BaseException | None = None
    embed: Embed | None = None
    ask: Ask | None = None
    approve: Approve | None = None
    changes: list[ChangeTurn] = field(default_factory=list)  # to each turn before it is recorded
    arguments: list[ChangeArguments] = field(default_factory=list)  # from those recorded to those executed


@dataclass(slots=True)
class Place:
    """Where in a run one agent stands. Agents that run side by side have one each."""

    agent: str
    stack: tuple[str, ...] = ()
    system_prompt: str = ""
    messages: Sequence[Turn] = ()  # of the call under way
    tools: Sequence[ToolSpec] = ()  # what its model may call
    output: Mapping[str, Any] | None = None  # the schema of its answer
    window: Callable[[], int | None] = lambda: None  # tokens its model can read
    reply: Reply | None = None  # the model's, or what a hook gave in its place
    raw_block: str | None = None
    # Settings of the call under way, by CALL_SETTINGS: keys and headers among them.
    call: dict[str, Any] = field(default_factory=dict, repr=False)
    settable: Collection[str] = ()  # what the hooks now under way may set


class Context(MutableMapping[str, Any]):
    """The `ctx` of one run, as the hooks of one agent see it. Reads as a dict and by attribute.

    Names of the contract read the run's facts; every other name is the user's: the run's context values first
    written by config and `run(context=…)`, and whatever middleware puts there for the hooks to come.
    """

    __slots__ = ("_place", "_run")

    _run: RunFacts
    _place: Place

    def __init__(self, run: RunFacts, place: Place) -> None:
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "_place", place)

    def __getitem__(self, key: str) -> Any:
        if key in RESERVED:
            return _READ[key](self)
        if key in self._run.notes:
            return self._run.notes[key]
        if key in self._run.values or key not in ADDED:
            return self._run.values[key]
        return _READ[key](self)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in SETTABLE or key in SETTABLE_AT_START:
            self._set(key, value)
        elif key in RESERVED:
            raise AttributeError(f"ctx.{key} is read-only")
        else:
            self._run.notes[key] = value

    def __delitem__(self, key: str) -> None:
        del self._run.notes[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As of a dict: of tools that do so at once in threads of their own, all get what the first has put there."""
        return self[key] if key in self else self._run.notes.setdefault(key, default)

    def __iter__(self) -> Iterator[str]:
        yield from RESERVED
        own = {**self._run.values, **self._run.notes}
        yield from (key for key in own if key not in RESERVED)
        yield from (key for key in ADDED if key not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in RESERVED or key in ADDED or key in self._run.notes or key in self._run.values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Context.__slots__:  # the latter while it is being copied
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"ctx has no {name!r}; ctx.get({name!r}) gives None where a value may be missing"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return f"<ctx of run {self._run.run_id}, agent {self._place.agent!r}, {self._run.status}>"

    def _set(self, key: str, value: Any) -> None:
        if key not in self._place.settable:
            hooks = "onLLMStart and onError" if key in CALL_SETTINGS else "onLLMStart"
            hooks = "onRunStart" if key in SETTABLE_AT_START else hooks
            raise AttributeError(f"ctx.{key} may be set in {hooks} only")
        if key == "input":
            self._run.input = None if value is None else Turn(role="user", content=value).content
        elif key == "systemPrompt":
            self._place.system_prompt = value
        elif key == "messages":
            self._place.messages = [Turn.model_validate(turn) for turn in value]
        elif key == "modelReply":
            self._place.reply = None if value is None else _reply(value)
        else:
            self._place.call[key] = value

    def _set_context(self, values: Mapping[str, Any]) -> None:
        check_context(values)
        self._run.values = dict(values)

    def _change_turns(self, change: ChangeTurn) -> None:
        self._run.changes.append(change)

    def _change_arguments(self, change: ChangeArguments) -> None:
        self._run.arguments.append(change)

    async def _approve(self, call: Mapping[str, Any]) -> bool:
        if self._run.approve is None:
            raise ConfigError("ctx.approve works in a run only")
        return await self._run.approve(self._place.agent, call)

    async def _ask(self, prompt: str, *, model: str | None = None, system: str = "") -> str:
        if self._run.ask is None:
            raise ConfigError("ctx.ask works in a run only")
        return await self._run.ask(self._place.agent, prompt, model, system)

    async def _embed(self, text: str) -> list[float]:
        return (await self._embed_batch([text]))[0]

    async def _embed_batch(self, texts: Sequence[str]) -> list[list[float]]:
        if self._run.embed is None:
            raise ConfigError(EMBED_OFF)
        return await self._run.embed(list(texts))


_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)


def check_context(values: Mapping[str, Any]) -> None:
    """Refuse context values that would hide a name of `ctx`."""
    taken = sorted(name for name in values if name in RESERVED and name != "userId")
    if taken:
        names = ", ".join(repr(name) for name in taken)
        raise ConfigError(f"context values may not be called {names}: ctx uses these names itself")


def _reply(value: Any) -> Reply:
    """What a hook gives as the model's answer: a text, or a dict of the form that `ctx.modelReply` has."""
    if isinstance(value, str):
        value = {"text": value}
    unknown = sorted(set(value) - REPLY_KEYS)
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"ctx.modelReply has no {names}; it has {', '.join(sorted(REPLY_KEYS))}")
    return _REPLY.validate_python({"usage": Usage(usd=0.0), **value})


def _shown(reply: Reply | None) -> dict[str, Any] | None:
    if reply is None:
        return None
    shown: dict[str, Any] = _REPLY.dump_python(reply, mode="json", include=REPLY_KEYS)
    return shown


def _copy(session: Session) -> Session:
    """A session of its own turns, so that nothing a hook does to it reaches the run's."""
    turns = [turn.model_copy() for turn in session.turns]
    return session.model_copy(update={"turns": turns, "stack": list(session.stack)})


_READ: dict[str, Callable[[Context], Any]] = {
    "input": lambda ctx: ctx._run.input,
    "session": lambda ctx: _copy(ctx._run.session),
    "sessionId": lambda ctx: ctx._run.session.id,
    "userId": lambda ctx: ctx._run.user_id or ctx._run.values.get("userId", ""),
    "runId": lambda ctx: ctx._run.run_id,
    "rootAgent": lambda ctx: ctx._run.root_agent,
    "activeAgent": lambda ctx: ctx._place.agent,
    "stack": lambda ctx: list(ctx._place.stack),
    "systemPrompt": lambda ctx: ctx._place.system_prompt,
    "messages": lambda ctx: list(ctx._place.messages),
    "toolSpecs": lambda ctx: [asdict(tool) for tool in ctx._place.tools],
    "outputSchema": lambda ctx: ctx._place.output,
    "contextWindow": lambda ctx: ctx._place.window(),
    "modelUsage": lambda ctx: None if ctx._place.reply is None else ctx._place.reply.usage,
    "modelReply": lambda ctx: _shown(ctx._place.reply),
    "rawBlock": lambda ctx: ctx._place.raw_block,
    "usage": lambda ctx: ctx._run.usage,
    "status": lambda ctx: ctx._run.status,
    "error": lambda ctx: ctx._run.error,
    "approve": lambda ctx: ctx._approve,
    "ask": lambda ctx: ctx._ask,
    "changeArguments": lambda ctx: ctx._change_arguments,
    "changeTurns": lambda ctx: ctx._change_turns,
    "contextValues": lambda ctx: dict(ctx._run.values),
    "embed": lambda ctx: ctx._embed,
    "embedBatch": lambda ctx: ctx._embed_batch,
    "setContext": lambda ctx: ctx._set_context,
    "set_context": lambda ctx: ctx._set_context,
} | {name: (lambda ctx, name=name: ctx._place.call.get(name)) for name in CALL_SETTINGS}
