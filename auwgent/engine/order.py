"""What a run is given: the services of its agent, and the order of its caller; and what it leaves when it pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from auwgent.engine.agent import Agent, Approver, BackOff
from auwgent.hooks.context import Embed
from auwgent.hooks.pipeline import Pipeline
from auwgent.intents import Handlers, Intent
from auwgent.limits import Limits
from auwgent.models.base import ModelSpec, Route
from auwgent.questions import Question
from auwgent.session import Part, Session, ToolCall, new_id
from auwgent.tape.base import Tape
from auwgent.tools import Tool


class ModelSource(Protocol):
    """The engine's source of models: by configured name or `provider/model`, with settings for one call."""

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route: ...

    def spec(self, name: str, /, **settings: Any) -> ModelSpec: ...

    def window(self, name: str, /, **settings: Any) -> int | None:
        """Return tokens that the model and its fallbacks can read, where that is known."""
        ...

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        """Return whether the model and its fallbacks make answers fit a schema by themselves, also beside tools."""
        ...


@runtime_checkable
class Followed(Protocol):
    """A sink that also tells of the run elsewhere, as long as somebody reads it there."""

    @property
    def wants_pieces(self) -> bool: ...

    def starts(self, attempt: int, earlier: Sequence[str], /) -> None:
        """The run has its session, in which it had the turns of these ids already."""
        ...

    def saying(self, again: Callable[[], Awaitable[None]], /) -> AbstractContextManager[None]:
        """An answer is under way, whose pieces nobody wanted so far: `again` shows what has come of it."""
        ...

    async def __call__(self, intent: Intent, /) -> None: ...


Sink = Followed | Callable[[Intent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all runs of an agent."""

    agents: Mapping[str, Agent]
    root: str
    pipeline: Pipeline
    models: ModelSource
    limits: Limits
    handlers: Handlers
    partial_handlers: Handlers
    embed: Embed | None = None
    approver: Approver | None = None
    back_off: BackOff = BackOff()  # noqa: RUF009 - frozen
    tape: Tape | None = None  # asked in place of tools, MCP servers and persons
    rehearsal: bool = False  # a test or a replay, on a store that is thrown away


@dataclass(frozen=True, slots=True)
class Order:
    """The caller's settings for one run."""

    input: str | list[Part] | None  # None: go on with an interrupted session, without new input
    session_id: str | None = None
    user_id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    session: Session | None = None  # where to begin, unless a middleware has it stored
    behind: str | None = None  # the id of the turn that it goes on from
    whole: bool = False  # ask models for whole answers instead of streams
    run_id: str = field(default_factory=new_id)
    agent: str = ""  # who answers; the root where it is empty
    leg: int = 1
    answers: Mapping[str, Any] | None = None  # to what an earlier leg has paused for; by the ids of calls
    context: Mapping[str, Any] = field(default_factory=dict)  # what the caller gave of `values`
    caller_tools: tuple[Tool, ...] = ()  # what the caller runs itself
    can_pause: bool = False  # whether a store can keep it, and all that its later legs need
    keep: bool = True  # False: nothing that is said may be stored
    asked: str | None = None  # a hash of input and agent, where the caller gave the run its id
    job: str | None = None  # what a queue knows the run by that gave it to this process
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # JSON: what later attempts need, without secrets
    record: Path | None = None  # a tape that is written


@dataclass(frozen=True, slots=True)
class Left:
    """Where a helper goes on that was at work when its run paused or died."""

    turns: tuple[str, ...]  # the ids of its turns
    calls: tuple[ToolCall, ...]  # of its last message, to be made now
    before: frozenset[object]  # the agents that were done when it began


class Pause(Exception):
    """The run waits for the answers to these questions, and goes on in another leg."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} calls wait for an answer")
        self.questions = list(questions)


@dataclass(frozen=True, slots=True)
class Start:
    """The session as `onRunStart` left it: where a forced `run_start` begins again."""

    stack: tuple[str, ...]
    turns: int
    system_prompt: str
    earlier: tuple[str, ...] = ()  # the ids of the turns that the run had already
