"""A tool as the engine sees it: a name, a schema for the model, a check of arguments, and a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from auwgent.config.tables import ToolOptions
from auwgent.models.base import ToolSpec

__all__ = ["Tool", "ToolOptions"]


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
    options: ToolOptions = field(default_factory=ToolOptions)

    @property
    def name(self) -> str:
        return self.spec.name
