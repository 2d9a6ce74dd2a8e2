"""A shop whose tools are asked about: what was done in it, in which process whatever, is in the list of its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from auwgent import Runtime, Session, ToolError
from auwgent.middleware import SQLModelSessions

PAY = [
    {"when": "pay", "tool_calls": [{"id": "p1", "name": "pay", "args": {"euro": 7}}]},
    {"result": "paid", "text": "It is paid."},
    {"result": "denied", "text": "So it is not."},
    "Well.",
]
BOTH = [
    {
        "when": "pay",
        "tool_calls": [
            {"id": "p1", "name": "pay", "args": {"euro": 7}},
            {"id": "l1", "name": "look"},
            {"id": "p2", "name": "pay", "args": {"euro": 8}},
        ],
    },
    "Done.",
]
FETCH = {
    "name": "fetch",
    "description": "Fetches.",
    "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
}
FETCHING = [
    {"when": "get", "tool_calls": [{"id": "f1", "name": "fetch", "args": {"what": "milk"}}]},
    "Here: {result}",
]


class Till:
    """An agent `Main` on a database, with the tools `pay`, which is asked about, and `look`, which is not.

    `helpers` are names and the tables of helpers; each has a scripted model of its name, as `Main` has `main`.
    """

    def __init__(
        self,
        url: str | None,
        replies: Sequence[Any] | Mapping[str, Sequence[Any]] = tuple(PAY),
        *,
        approve: str = "ask",
        middleware: Sequence[Any] = (),
        behind: Sequence[Any] = (),
        on_approval: Any = None,
        helpers: Mapping[str, Any] = {},
        takes: float = 0.0,
        **more: Any,
    ) -> None:
        self.done: list[Any] = []
        self.takes = takes
        scripts = replies if isinstance(replies, Mapping) else {"main": replies}
        tools = {
            "pay": {"use": self.pay, "approve": approve},
            "look": self.look,
            "fail": self.fail,
        }
        tables = {
            name: {
                "description": name,
                "model": name,
                **table,
                "tools": [tools[one] for one in table.get("tools", ())],
            }
            for name, table in helpers.items()
        }
        more_tools = more.pop("tools", ())
        agent = {
            "model": "main",
            "tools": [*tools.values(), *more_tools],
            "helpers": list(more.pop("calls", helpers)),
        }
        agent |= more.pop("agent", {})
        store = [SQLModelSessions(url)] if url is not None else []
        self.config = {
            "middleware": [*middleware, *store, *behind],
            "agent": agent,
            "helpers": tables,
            "models": {
                name: {
                    "use": f"scripted/{name}",
                    "retries": 0,
                    "params": {"replies": list(script), "repeat": True},
                }
                for name, script in scripts.items()
            },
            **more,
        }
        self.agent = Runtime(self.config, on_approval=on_approval)

    async def pay(self, euro: int) -> str:
        """Pays."""
        self.done.append(euro)
        await asyncio.sleep(self.takes)
        return "paid"

    async def look(self) -> str:
        """Looks."""
        self.done.append("look")
        return "seen"

    async def fail(self) -> str:
        """Fails."""
        self.done.append("fail")
        raise ToolError("it is broken")

    async def __aenter__(self) -> Self:
        await self.agent.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.agent.close()

    @property
    def store(self) -> Any:
        """The store of its sessions."""
        return self.agent.store

    async def heard(self, *args: Any, **options: Any) -> list[tuple[str, dict[str, Any]]]:
        """The whole intents of a run, but for its model calls."""
        stream = self.agent.stream(*args, **options)
        return [(one.name, one.value) async for one in stream if not one.partial and one.name != "model_call"]


def outcomes(session: Session) -> dict[str | None, str | None]:
    """How each call of a session ended."""
    return {turn.tool_call_id: turn.outcome for turn in session.turns if turn.role == "tool"}


def texts(session: Session) -> dict[str | None, str]:
    """What each call of a session gave."""
    return {turn.tool_call_id: turn.text for turn in session.turns if turn.role == "tool"}
