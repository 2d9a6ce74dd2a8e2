"""An agent as the engine sees it: live objects only, built once, shared by all runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from auwgent.models.base import ToolSpec
from auwgent.outputs import Output
from auwgent.prompts import Prompt
from auwgent.session import Turn
from auwgent.tools import Tool

# Our tool for a structured answer, where a provider cannot keep to a schema by itself.
ANSWER = "final_answer"
# Our tool that reads more of a result that was cut.
READ_RESULT = "read_result"
Handoff = Literal["return", "user", "user_then_continue"]


@dataclass(frozen=True, slots=True)
class Workflow:
    """A function the model may call, with tools of its own that the model cannot reach."""

    function: Tool
    tools: Mapping[str, Tool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CustomIntent:
    """An event the model may emit. `check` validates its fields, or raises `ToolError`."""

    spec: ToolSpec
    check: Callable[[dict[str, Any]], dict[str, Any]]
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Remote:
    """Tools that are known only once their servers have answered, and why others are missing."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    failures: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: the root, or a helper that another agent may call."""

    name: str
    model: str  # provider/model, or a name of [models.*]
    prompt: Prompt
    description: str = ""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    remote: Callable[[], Awaitable[Remote]] | None = None  # its servers, asked before the first model call
    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    helpers: tuple[str, ...] = ()
    intents: Mapping[str, CustomIntent] = field(default_factory=dict)
    output: Output | None = None
    examples: tuple[Turn, ...] = ()
    inherit: bool | tuple[str, ...] = False  # which of its caller's tools a helper may use too
    handoff: Handoff = "return"

    def system_prompt(self, values: Mapping[str, Any]) -> str:
        """Return its system prompt with a run's context values."""
        return self.prompt.render(values, output=self.output.spec.schema if self.output else None)


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a forced start, in seconds: doubled each time."""

    first: float = 0.5
    longest: float = 30.0


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A question to a person: may this call happen? Bound to this run, call and these arguments, asked once."""

    run_id: str
    call_id: str
    agent: str
    tool: str
    args: Mapping[str, Any]


# Yes, no, or a text: no, because …
Approver = Callable[[ApprovalRequest], Awaitable[bool | str | None] | bool | str | None]

__all__ = [
    "ANSWER",
    "READ_RESULT",
    "Agent",
    "ApprovalRequest",
    "Approver",
    "BackOff",
    "CustomIntent",
    "Handoff",
    "Remote",
    "Workflow",
]
