"""Everything an agent's model may call by name, in one shape: tools, workflows, helpers, intents, the final answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from auwgent.engine.run import Frame
from auwgent.models.base import ToolSpec
from auwgent.session import ToolCall
from auwgent.tools.base import Approval

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
    run: Callable[[Frame, ToolCall, Any], Awaitable[Any]]
    approve: Approval = "allow"
    idempotent: bool = False
    terminal: bool = False

    @property
    def name(self) -> str:
        return self.spec.name
