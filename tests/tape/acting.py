"""An agent with a bit of everything, what it does, and how two of its runs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auwgent import Runtime, Session
from auwgent.hooks.context import Context


@dataclass
class World:
    """What tools do to it."""

    done: list[str] = field(default_factory=list)

    def find_order(self, number: int) -> dict[str, Any]:
        """Find an order."""
        self.done.append(f"find {number}")
        return {"number": number, "total": 12.5, "items": ["tea"]}

    def refund(self, number: int) -> str:
        """Pay an order back."""
        self.done.append(f"refund {number}")
        return f"order {number} is paid back"

    def breaks(self) -> str:
        """Never works."""
        self.done.append("breaks")
        raise ValueError("no such luck")

    def remove(self, user: str) -> str:
        """Remove a user."""
        self.done.append(f"remove {user}")
        return f"{user} is gone"

    async def clean_up(self, users: list[str], ctx: Context) -> str:
        """Remove users."""
        self.done.append("clean up")
        return "; ".join([await ctx.call_tool("remove", user=user) for user in users])


def scripted(name: str, *replies: Any, **params: Any) -> dict[str, Any]:
    return {"use": f"scripted/{name}", "retries": 0, "params": {"replies": list(replies), **params}}


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def config(world: World, **parts: Any) -> dict[str, Any]:
    """An agent whose model calls two tools, a workflow, a helper, and a tool that fails; then it answers."""
    replies = [
        {
            "text": "Let me look.",
            "reasoning": "Which order?",
            "tool_calls": [call("find_order", number=7), call("clean_up", users=["ada", "bob"])],
        },
        {"tool_calls": [call("Joker", input="A joke"), call("refund", number=7), call("breaks")]},
        "Order 7 is paid back, and {result}.",
    ]
    agent = {
        "model": "main",
        "prompt": "You help {{ ctx.user_name }}.",
        "tools": [world.find_order, world.refund, world.breaks],
        "workflows": [{"use": world.clean_up, "tools": [world.remove]}],
        "helpers": ["Joker"],
    }
    return {
        "middleware": [],
        "agent": {**agent, **parts.pop("agent", {})},
        "helpers": {"Joker": {"description": "Tells jokes", "model": "fun", "prompt": "Be funny."}},
        "models": {"main": scripted("main", *replies), "fun": scripted("fun", "Knock knock.")},
        "context": {"user_name": "Ada"},
        **parts,
    }


@dataclass
class Seen:
    """A run as handlers and callers see it."""

    session: Session
    intents: list[Any]

    def of(self, name: str) -> list[Any]:
        return [value for one, _, value in self.intents if one == name]


async def watched(agent: Any, text: str | None = "Refund order 7", **options: Any) -> Seen:
    stream = agent.stream(text, **options)
    intents = []
    async for intent in stream:
        value = {key: item for key, item in intent.value.items() if key not in ("id", "seconds")}
        intents.append((intent.name, intent.partial, value))
    assert stream.session is not None
    return Seen(stream.session, intents)


def without_ids(session: Session) -> list[dict[str, Any]]:
    """The turns but for ids and times; calls are known by their numbers."""
    numbers: dict[str, int] = {}
    turns = []
    for turn in session.turns:
        plain = turn.model_dump(mode="json", exclude={"id", "run_id", "created_at"})
        for one in plain.get("tool_calls") or ():
            numbers[one["id"]] = one["id"] = len(numbers)
        if turn.tool_call_id is not None:
            plain["tool_call_id"] = numbers[turn.tool_call_id]
        turns.append(plain)
    return turns


def on_tape(config: Mapping[str, Any], tape: Path, **agent: Any) -> dict[str, Any]:
    """The same agent, played."""
    return {**config, "agent": {**config["agent"], "model": f"tape/{tape}", **agent}}


async def recorded(config: Mapping[str, Any], tape: Path, **options: Any) -> Seen:
    async with Runtime(config) as agent:
        return await watched(agent, record=tape, **options)


async def played(config: Mapping[str, Any], tape: Path, **options: Any) -> Seen:
    async with Runtime(on_tape(config, tape)) as agent:
        return await watched(agent, **options)
