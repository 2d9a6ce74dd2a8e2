"""Every call to the database may fail: what was acknowledged is there, nothing is there twice, the session goes on.

A commit may also be done, and nobody hears of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from auwgent import auwgent
from auwgent.errors import AuwgentError
from auwgent.middleware import SQLModelSessions
from auwgent.pairing import paired
from auwgent.session import Session
from tests.support.bench import Hook

WARM_UP = "warm-up"
TOOLS = ("one", "two", "three")
REPLIES = [
    {"when": "go", "tool_calls": [{"name": "one"}]},
    {"result": "one done", "tool_calls": [{"name": "two"}, {"name": "three"}]},
    {"result": "done", "text": "All done."},
    {"result": "unknown", "text": "I cannot tell."},
    {"result": "not made", "text": "It was not made."},
    {"when": "and", "text": "Still here."},
]
FAULTS: dict[str, Callable[[], Exception]] = {
    "sqlite": lambda: sqlite3.OperationalError("disk I/O error"),
    "postgresql": lambda: psycopg.OperationalError("consuming input failed: the server is gone"),
}


class Fault:
    """Fails the N-th statement or commit that is sent to a database, once; or loses the answer to the N-th commit."""

    def __init__(self, number: int, *, loses: bool = False) -> None:
        self.left = number
        self.loses = loses
        self.hit = ""

    def count(self, what: str, connection: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.hit = what
            fault = FAULTS[connection.engine.dialect.name]()
            if not self.loses:
                raise fault
            connection.connection.dbapi_connection.commit()
            raise OperationalError(what, None, fault, connection_invalidated=True)


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """The driver's calls from now on may fail."""

    def executed(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not fault.loses and "auwgent_workers" not in statement:  # beats come at their own times
            fault.count(statement.split()[0], connection)

    def committed(connection: Any) -> None:
        fault.count("COMMIT", connection)

    listeners: list[tuple[str, Callable[..., Any]]] = [
        ("before_cursor_execute", executed),
        ("commit", committed),
    ]
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)


class Acknowledged:
    """What was told of as stored: turns that were there when a checkpoint came back, and tools that ran."""

    def __init__(self) -> None:
        self.turns: dict[str, str] = {}
        self.ran: Counter[str] = Counter()
        self.watch = Hook(onCheckpoint=self.note, onRunComplete=lambda *_: None)

    def note(self, session: Session, ctx: Any) -> None:
        """The store stands before this: it has stored these turns."""
        if session.id != WARM_UP:
            self.turns.update({turn.id: turn.text for turn in session.turns})

    def tools(self) -> list[Any]:
        def made(name: str) -> Any:
            def tool() -> str:
                self.ran[name] += 1
                return f"{name} done"

            tool.__name__, tool.__doc__ = name, f"Do {name}."
            return tool

        return [made(name) for name in TOOLS]


def agent_on(url: str, seen: Acknowledged) -> Any:
    return auwgent(
        {
            "middleware": [SQLModelSessions(url), seen.watch],
            "agent": {"model": "main", "tools": seen.tools()},
            "models": {"main": {"use": "scripted/main", "params": {"replies": REPLIES}}},
        }
    )


async def trial(url: str, fault: Fault) -> tuple[str, str]:
    """A run of which a call fails, and another run after it; which call it was, and how the first run ended."""
    number = fault.left
    seen, name = Acknowledged(), f"s{number}"
    outcome = "completed"
    async with agent_on(url, seen) as agent:
        await agent.run("and before", session_id=WARM_UP)
        with failing(fault):
            try:
                session = await agent.run("go", session_id=name)
                seen.note(session, None)
            except AuwgentError as error:
                outcome = type(error).__name__
        again = await agent.run("and now?", session_id=name)
        stored = await agent.store.get("", name)
        status = await agent.store.run_status("", name)
    texts = {turn.id: turn.text for turn in stored.turns}
    assert seen.turns.items() <= texts.items(), f"{fault.hit} {number}: acknowledged and not stored"
    assert len(texts) == len(stored.turns)
    assert all(count == 1 for count in seen.ran.values()), f"{fault.hit} {number}: {seen.ran}"
    assert paired(stored.turns) == stored.turns
    assert (again.text, status) == ("Still here.", "completed")
    assert again.turns == stored.turns
    said = [turn.text for turn in stored.turns if turn.role == "user"]
    assert said.count("go") <= 1
    if outcome == "completed":
        assert "All done." in texts.values()
        assert set(seen.ran) == set(TOOLS)
    return fault.hit, outcome


@pytest.mark.parametrize("loses", [False, True], ids=["calls that fail", "commits of which nobody hears"])
async def test_whichever_call_fails_nothing_acknowledged_is_lost_and_nothing_is_done_twice(
    url: str, loses: bool
) -> None:
    ends: list[tuple[str, str]] = []
    while not ends or ends[-1][0]:
        ends.append(await trial(url, Fault(len(ends) + 1, loses=loses)))
        assert len(ends) < 200
    assert len(ends) > (8 if loses else 30)
    assert ends[-1] == ("", "completed")
    assert {outcome for _, outcome in ends} <= {"completed", "StoreError", "MiddlewareError"}
