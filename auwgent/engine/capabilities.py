"""Everything an agent's model may call by name, in one shape: tools, workflows, helpers, intents, the final answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from auwgent.engine.agent import ANSWER, Agent
from auwgent.engine.state import Frame
from auwgent.models.base import ToolSpec
from auwgent.session import ToolCall
from auwgent.tape.base import Inner
from auwgent.tools import ToolOptions

Kind = Literal["tool", "workflow", "helper", "intent", "answer"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an agent's turn ended. `value` is what a caller reads: a text, or validated data."""

    value: Any
    event: str  # the intent it ended with
    payload: dict[str, Any]  # and what that carried
    agent: str  # whose turn it was
    stack: tuple[str, ...] = ()  # not empty: the user has the word next, and says it to the last of these


@dataclass(frozen=True, slots=True)
class Capability:
    """One name that the model may call.

    `check` gives what `run` wants, or raises `ToolError` with words for the model. `run` returns the result;
    an `Ending` as the result ends the agent's turn.
    """

    kind: Kind
    spec: ToolSpec
    check: Callable[[dict[str, Any]], Any]
    run: Callable[[Frame, Any, ToolCall], Awaitable[Any]]
    options: ToolOptions = field(default_factory=ToolOptions)
    terminal: bool = False
    inner: Callable[[Frame], Inner] | None = None  # of a workflow: what calls its own tools
    is_callers: bool = False  # a tool that the caller of the run runs itself

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.spec.name


def with_answer(agent: Agent, offered: Mapping[str, Capability], *, is_kept: bool) -> dict[str, Capability]:
    """Return what is offered, and a tool for the final answer where the model does not keep to its schema by itself."""
    if agent.output is None or is_kept:
        return dict(offered)
    spec = ToolSpec(
        ANSWER, "Give the final answer. Call it once, when you are done.", agent.output.spec.schema
    )
    return {**offered, ANSWER: Capability("answer", spec, dict, nothing_to_run)}


def is_answer(capability: Capability | None) -> bool:
    """Return whether a call of it is the final answer."""
    return capability is not None and capability.kind == "answer"


def answers_as_text(offered: Mapping[str, Capability]) -> bool:
    """Return whether a structured answer comes as the text itself, and not through a final-answer tool."""
    return not any(map(is_answer, offered.values()))


async def nothing_to_run(frame: Frame, checked: Any, call: ToolCall) -> Any:
    """Do nothing: the `run` of a capability whose call is itself all that happens."""
    return checked
