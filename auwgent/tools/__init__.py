"""A tool as the engine sees it: a name, a schema for the model, a check of arguments, and a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from auwgent.models.base import ToolSpec

Approval = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of an agent.

    `check` takes the model's arguments and returns what `call` wants, or raises `ToolError` with words for the
    model. `call` takes that and the run's ctx. Its result reaches the model as it is when it is a string, else
    as JSON.
    """

    spec: ToolSpec
    check: Callable[[dict[str, Any]], Any]
    call: Callable[[Any, Any], Awaitable[Any]]
    approve: Approval = "allow"
    idempotent: bool = False
    timeout: float | None = None  # seconds
    result_chars: int | None = None  # of a result that the model is sent; None: as the limits say

    @property
    def name(self) -> str:
        return self.spec.name
