"""The base of a middleware: the hooks it may have, and the `ctx` they are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import TypeAdapter

from auwgent.errors import ConfigError
from auwgent.hooks.names import HOOKS
from auwgent.hooks.typed import TypedNames
from auwgent.models.base import Reply, ToolSpec
from auwgent.session import Session, Turn, Usage


class Middleware:
    """Optional base of a middleware: every hook, doing nothing. Each may be `async` or plain.

    One instance serves the agent and all its runs; what belongs to one run goes on `ctx`.
    """

    name: ClassVar[str]
    target: str | Sequence[str] | None = None  # agents this middleware is for; None: all

    def onRunStart(self, session: Session, ctx: Context) -> Any:
        """Called once in each leg, before the engine starts. A returned session (or dict of its form) replaces it."""

    def onCheckpoint(self, session: Session, ctx: Context) -> Any:
        """Called when something must not be lost: before each model call, before and after each tool call."""

    def onLLMStart(self, prompt: str, ctx: Context) -> Any:
        """Called before every model call. A returned string replaces the user's text in this call only."""

    def onIntentPartial(self, name: str, value: dict[str, Any], ctx: Context) -> Any:
        """Called for every streamed piece."""

    def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> Any:
        """Called for every intent before it takes effect. Return `{"skip": True}` or `{"result": x}` to change it."""

    def onLLMEnd(self, response: dict[str, Any], ctx: Context) -> Any:
        """Called when a model call ends an agent's turn."""

    def onRunComplete(self, session: Session, ctx: Context) -> Any:
        """Called once, when the leg is over: completed, failed, cancelled or paused, as `ctx.status` says."""

    def onError(self, error: Exception, session: Session, ctx: Context) -> Any:
        """On an error. Return `True` or `{"swallow": True, "response": "…"}`, or `{"forceStart": "llm_start"}`."""

    async def open(self) -> None:
        """Called when the agent is opened, in listed order."""

    async def close(self) -> None:
        """Called when the agent is closed, in reversed order."""


AuwgentMiddleware = Middleware  # the name that is documented for every Auwgent language


CALL_SETTINGS = ("model", "provider", "config", "url", "headers", "apiKey")
REPLY_KEYS = {"text", "calls", "model", "finish_reason", "provider_data"}  # of what a hook gives as a reply
EMBED_OFF = "ctx.embed needs a model under [embedding] in the config"

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
EmbedFor = Callable[[Any, Sequence[str]], Awaitable[list[list[float]]]]  # with the `AgentState` it is for
ChangeTurn = Callable[[Turn], None]
ChangeArguments = Callable[[str, dict[str, Any]], dict[str, Any]]
ChangeRequest = Callable[["Context"], None]
ChangeWords = Callable[[Any], Any]  # of a text or of plain data


class AskModel(Protocol):
    """A model call beside the conversation."""

    def __call__(self, agent: AgentState, prompt: str, model: str | None, system: str) -> Awaitable[str]: ...


class AskUser(Protocol):
    """A question to the user: may this call happen? The answer is for the call and its arguments as they are."""

    def __call__(self, agent: AgentState, call: Mapping[str, Any]) -> Awaitable[bool]: ...


class NotNow(BaseException):
    """Nobody can be asked about this call now: it waits, and the hook is asked again once there is an answer."""


@dataclass(slots=True)
class RunState:
    """The part of a run's state that hooks may see, shared by the ctx of all its agents."""

    run_id: str
    root_agent: str
    user_id: str
    session: Session
    input: Any
    is_input_final: bool = True  # whether no `onRunStart` to come may change it
    values: dict[str, Any] = field(default_factory=dict)  # the run's context values
    notes: dict[str, Any] = field(default_factory=dict)  # what middleware put on ctx
    usage: Usage = field(default_factory=lambda: Usage(usd=0.0))
    status: str = "running"  # running | completed | failed | cancelled | paused
    error: BaseException | None = None
    leg: int = 1  # how often the run was taken up, counted from 1
    keep: bool = True  # False: nothing that was said may be stored
    asked: str | None = None  # a hash of its input and agent, where its caller gave it an id
    behind: str | None = None  # the id of the turn that it goes on from, where its caller says so
    job: str | None = None  # what a queue knows it by that gave it to this process
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # JSON: what its later attempts need, without secrets
    pending: Sequence[Mapping[str, Any]] = ()  # the calls that it has paused for
    memo: dict[str, Any] = field(
        default_factory=dict
    )  # JSON: what middleware keeps for later legs and attempts
    told_progress: Callable[[], dict[str, Any]] = dict  # what its later legs and attempts go on from
    rehearsal: bool = False  # True: a test or a replay, on a store that is thrown away
    embed: EmbedFor | None = None
    embed_model: str = ""  # provider/model, where that is known
    ask_model: AskModel | None = None
    ask_user: AskUser | None = None
    cancel: Callable[[], None] = lambda: None  # ends the run, from any thread
    turn_changes: list[ChangeTurn] = field(default_factory=list)  # applied to each turn before it is recorded
    argument_changes: list[ChangeArguments] = field(
        default_factory=list
    )  # applied just before a call is made
    request_changes: list[ChangeRequest] = field(default_factory=list)  # the last ones to each request
    word_changes: list[ChangeWords] = field(
        default_factory=list
    )  # to what is sent or kept, but is of no turn
    own_values: Mapping[str, Any] = field(default_factory=dict)  # the context values that it began with

    def final(self, words: Any) -> Any:
        """A text or plain data as it may be sent and kept: calls beside the conversation, arguments that are logged."""
        for change in self.word_changes:
            words = change(words)
        return words


@dataclass(slots=True, eq=False)
class AgentState:
    """The part of one agent's state that hooks may see. Agents that run side by side have one each."""

    active: str  # the agent that hooks are told of
    stack: tuple[str, ...] = ()
    system_prompt: str = ""
    messages: Sequence[Turn] = ()  # of the call under way
    tool_specs: Sequence[ToolSpec] = ()  # what its model may call
    output_schema: Mapping[str, Any] | None = None  # of its answer
    window: Callable[[], int | None] = lambda: None  # tokens its model can read
    reply: Reply | None = None  # the model's, or what a hook gave in its place; as recorded, once it is
    is_reply_changed: bool = False  # whether what was recorded is not what the model said
    own_prompt: Callable[[], str] = lambda: ""  # the system prompt as the config alone makes it
    aside: str | None = None  # the middleware that asks a model beside the conversation
    embeds: Sequence[str] | None = None  # the texts that this middleware wants vectors of, and no answer
    raw_block: str | None = None
    # Settings of the call under way, by CALL_SETTINGS: keys and headers among them.
    call: dict[str, Any] = field(default_factory=dict, repr=False)
    answered: bool = False  # whether the call that hooks are asked about was answered in an earlier leg
    setting: str | None = None  # the hook under way that may set some names of ctx

    @contextmanager
    def may_set(self, hook: str) -> Iterator[None]:
        """Allow what this hook may set on ctx, as long as it is under way."""
        self.setting = hook
        try:
            yield
        finally:
            self.setting = None


class Context(TypedNames, MutableMapping[str, Any]):
    """The `ctx` of one run, as the hooks of one agent see it. Reads as a dict and by attribute.

    Names of the contract read the run's facts; every other name is the user's: the run's context values first
    written by config and `run(context=…)`, and whatever middleware puts there for the hooks to come.
    """

    __slots__ = ("_agent", "_run")

    _run: RunState
    _agent: AgentState

    def __init__(self, run: RunState, agent: AgentState) -> None:
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "_agent", agent)

    def __getitem__(self, key: str) -> Any:
        name = NAMES.get(key)
        if name is not None and name.is_reserved:
            return name.read(self)
        if key in self._run.notes:
            return self._run.notes[key]
        if key in self._run.values or name is None:
            return self._run.values[key]
        return name.read(self)

    def __setitem__(self, key: str, value: Any) -> None:
        name = NAMES.get(key)
        if name is not None and name.settable:
            if self._agent.setting not in name.settable:
                hooks = [hook for hook in name.settable if hook in HOOKS]
                raise AttributeError(f"ctx.{key} may be set in {' and '.join(hooks)} only")
            self._set(key, value)
        elif name is not None and name.is_reserved:
            raise AttributeError(f"ctx.{key} is read-only")
        else:
            self._run.notes[key] = value

    def __delitem__(self, key: str) -> None:
        del self._run.notes[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Like `dict.setdefault`, and atomic across the threads of tools: all callers get the first value."""
        return self[key] if key in self else self._run.notes.setdefault(key, default)

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*NAMES, *self._run.values, *self._run.notes))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in NAMES or key in self._run.notes or key in self._run.values

    if not TYPE_CHECKING:  # which are told the names that there are

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
        return f"<ctx of run {self._run.run_id}, agent {self._agent.active!r}, {self._run.status}>"

    def _set(self, key: str, value: Any) -> None:
        if key == "input":
            self._run.input = None if value is None else Turn(role="user", content=value).content
        elif key == "systemPrompt":
            self._agent.system_prompt = value
        elif key == "messages":
            self._agent.messages = [Turn.model_validate(turn) for turn in value]
        elif key == "modelReply":
            paid = self._agent.reply.usage if self._agent.reply is not None else Usage(usd=0.0)
            self._agent.reply = None if value is None else _reply(value, paid)
        else:
            self._agent.call[key] = value

    def _set_context(self, values: Mapping[str, Any]) -> None:
        check_context(values)
        self._run.values = dict(values)

    async def _approve(self, call: Mapping[str, Any]) -> bool:
        if self._run.ask_user is None:
            raise ConfigError("ctx.approve works in a run only")
        return await self._run.ask_user(self._agent, call)

    async def _ask(self, prompt: str, *, model: str | None = None, system: str = "") -> str:
        if self._run.ask_model is None:
            raise ConfigError("ctx.ask works in a run only")
        return await self._run.ask_model(self._agent, prompt, model, system)

    async def _embed(self, text: str) -> list[float]:
        return (await self._embed_batch([text]))[0]

    async def _embed_batch(self, texts: Sequence[str]) -> list[list[float]]:
        if self._run.embed is None:
            raise ConfigError(EMBED_OFF)
        return await self._run.embed(self._agent, list(texts))


@cache
def _replies() -> TypeAdapter[Reply]:
    return TypeAdapter(Reply)


def check_context(values: Mapping[str, Any]) -> None:
    """Refuse context values that would hide a name of `ctx`."""
    taken = sorted(key for key in values if key in NAMES and NAMES[key].is_reserved and key != "userId")
    if taken:
        names = ", ".join(repr(name) for name in taken)
        raise ConfigError(f"context values may not be called {names}: ctx uses these names itself")


def _reply(value: Any, usage: Usage) -> Reply:
    """Return what a hook gives as the model's answer: a text, or a dict of the form that `ctx.modelReply` has."""
    if isinstance(value, str):
        value = {"text": value}
    unknown = sorted(set(value) - REPLY_KEYS)
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"ctx.modelReply has no {names}; it has {', '.join(sorted(REPLY_KEYS))}")
    return _replies().validate_python({"usage": usage, **value})


def _shown(reply: Reply | None) -> dict[str, Any] | None:
    if reply is None:
        return None
    shown: dict[str, Any] = _replies().dump_python(reply, mode="json", include=REPLY_KEYS)
    return shown


def _copy(session: Session) -> Session:
    """Return a session of its own turns, so that nothing a hook does to it reaches the run's."""
    turns = [turn.model_copy() for turn in session.turns]
    return session.model_copy(update={"turns": turns, "stack": list(session.stack)})


@dataclass(frozen=True, slots=True)
class Name:
    """A name of `ctx`: how it is read, which hooks may set it, and whether context values may not hide it."""

    read: Callable[[Context], Any]
    settable: tuple[str, ...] = ()
    is_reserved: bool = True


def _setting(key: str) -> Name:
    return Name(lambda ctx: ctx._agent.call.get(key), ("onLLMStart", "onError"))


NAMES: dict[str, Name] = {
    # The contract's
    "input": Name(lambda ctx: ctx._run.input, ("onRunStart",)),
    "session": Name(lambda ctx: _copy(ctx._run.session)),
    "sessionId": Name(lambda ctx: ctx._run.session.id),
    "userId": Name(lambda ctx: ctx._run.user_id or ctx._run.values.get("userId", "")),
    "runId": Name(lambda ctx: ctx._run.run_id),
    "leg": Name(lambda ctx: ctx._run.leg),
    "answered": Name(lambda ctx: ctx._agent.answered),
    "keep": Name(lambda ctx: ctx._run.keep),
    "rehearsal": Name(lambda ctx: ctx._run.rehearsal),
    "rootAgent": Name(lambda ctx: ctx._run.root_agent),
    "activeAgent": Name(lambda ctx: ctx._agent.active),
    "stack": Name(lambda ctx: list(ctx._agent.stack)),
    "systemPrompt": Name(lambda ctx: ctx._agent.system_prompt, ("onLLMStart",)),
    "messages": Name(lambda ctx: list(ctx._agent.messages), ("onLLMStart",)),
    "rawBlock": Name(lambda ctx: ctx._agent.raw_block),
    "usage": Name(lambda ctx: ctx._run.usage),
    "status": Name(lambda ctx: ctx._run.status),
    "error": Name(lambda ctx: ctx._run.error),
    "embed": Name(lambda ctx: ctx._embed),
    "embedModel": Name(lambda ctx: ctx._run.embed_model, is_reserved=False),
    "embedBatch": Name(lambda ctx: ctx._embed_batch),
    "setContext": Name(lambda ctx: ctx._set_context),
    "set_context": Name(lambda ctx: ctx._set_context),
    **{key: _setting(key) for key in CALL_SETTINGS},
    # Ours beyond it: context values and notes of the same names come first.
    "approve": Name(lambda ctx: ctx._approve, is_reserved=False),
    "ask": Name(lambda ctx: ctx._ask, is_reserved=False),
    "aside": Name(lambda ctx: ctx._agent.aside, is_reserved=False),
    "embeds": Name(lambda ctx: ctx._agent.embeds, is_reserved=False),
    "cancelRun": Name(lambda ctx: ctx._run.cancel, is_reserved=False),
    "changeArguments": Name(lambda ctx: ctx._run.argument_changes.append, is_reserved=False),
    "changeRequests": Name(lambda ctx: ctx._run.request_changes.append, is_reserved=False),
    "changeWords": Name(lambda ctx: ctx._run.word_changes.append, is_reserved=False),
    "changeTurns": Name(lambda ctx: ctx._run.turn_changes.append, is_reserved=False),
    "contextValues": Name(lambda ctx: dict(ctx._run.values), is_reserved=False),
    "contextWindow": Name(lambda ctx: ctx._agent.window(), is_reserved=False),
    "modelReply": Name(lambda ctx: _shown(ctx._agent.reply), ("onLLMStart", "final"), is_reserved=False),
    "modelUsage": Name(
        lambda ctx: None if ctx._agent.reply is None else ctx._agent.reply.usage, is_reserved=False
    ),
    "ownPrompt": Name(lambda ctx: ctx._agent.own_prompt(), is_reserved=False),
    "inputIsFinal": Name(lambda ctx: ctx._run.is_input_final, is_reserved=False),
    "runAsked": Name(lambda ctx: ctx._run.asked, is_reserved=False),
    "runBehind": Name(lambda ctx: ctx._run.behind, is_reserved=False),
    "runJob": Name(lambda ctx: ctx._run.job, is_reserved=False),
    "runPending": Name(lambda ctx: [dict(call) for call in ctx._run.pending], is_reserved=False),
    "runMemo": Name(lambda ctx: ctx._run.memo, is_reserved=False),
    "runProgress": Name(lambda ctx: ctx._run.told_progress(), is_reserved=False),
    "runSettings": Name(lambda ctx: dict(ctx._run.settings), is_reserved=False),
    "replyChanged": Name(lambda ctx: ctx._agent.is_reply_changed, is_reserved=False),
    "outputSchema": Name(lambda ctx: ctx._agent.output_schema, is_reserved=False),
    "toolSpecs": Name(lambda ctx: [asdict(tool) for tool in ctx._agent.tool_specs], is_reserved=False),
}
