"""What stands between a run and its tools and questions, to write down what comes of them, or to answer itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from auwgent.session import ToolCall
from auwgent.tools import Tool

Inner = Callable[[str, Mapping[str, Any]], Awaitable[Any]]  # calls a workflow's own tool, with all hooks
Answer = bool | str | None  # of a person: yes, no, no because …; None: not now
Found = tuple[Mapping[str, Tool], Sequence[str]]  # tools of MCP servers by name, and why others are missing

# The calls that the workflow under way has made of its own tools: name and arguments, in the order of their begin.
INNER: ContextVar[list[tuple[str, dict[str, Any]]] | None] = ContextVar("inner calls", default=None)


@dataclass(frozen=True, slots=True)
class Asking:
    """A call that wants an answer: whose it is, what is called, and the call as the turn records it."""

    agent: str
    kind: str  # tool | workflow
    call: ToolCall


class Tape(Protocol):
    """Asked by the engine in place of each tool, each list of MCP tools and each question."""

    async def call(self, asking: Asking, work: Callable[[], Awaitable[Any]], inner: Inner | None) -> Any:
        """Return the result of a call that `work` would make; its failure is a `ToolError`.

        `inner` makes a call of a workflow's own tools; None for a tool.
        """

    async def tools(self, agent: str, find: Callable[[], Awaitable[Found]]) -> Found:
        """Return the tools of an agent's MCP servers, which `find` would ask."""

    async def answer(self, asking: Asking, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to the question whether a call may be made, which `ask` would put to a person."""
