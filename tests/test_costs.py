"""What grows with what, counted: statements, rows, hooks, requests, tasks. Seconds are in docs/performance.md."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from sqlalchemy import Engine, event

from auwgent import Runtime, auwgent
from tests.support.alone import alone as alone
from tests.support.raw_server import raw_server
from tests.support.wires import WIRES, Called, Wire

pytestmark = pytest.mark.process


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Idle:
    """Counts how often its hooks are called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def onCheckpoint(self, session: Any, ctx: Any) -> None:
        self.calls["onCheckpoint"] += 1

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self.calls["onLLMStart"] += 1

    async def onIntentPartial(self, name: str, value: Any, ctx: Any) -> None:
        self.calls["onIntentPartial"] += 1

    async def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        self.calls["onIntent"] += 1


def agent(*middleware: Any, calls: int = 0, text: str = "Done.") -> Any:
    """An agent whose model makes so many tool calls, one in each turn, and then says a text."""
    replies = [{"tool_calls": [{"name": "add", "args": {"a": n, "b": 1}}]} for n in range(calls)]
    params = {"replies": [*replies, text], "repeat": True}
    return auwgent(
        {
            "middleware": list(middleware),
            "agent": {"model": "main", "prompt": "You help.", "tools": [add]},
            "models": {"main": {"use": "scripted/main", "params": params}},
            "limits": {"llm_calls": 100},
        }
    )


def store(folder: Path) -> dict[str, str]:
    return {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{folder / 'sessions.db'}"}


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to databases meanwhile, by its first words: each row that is written counts for itself."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, rows: Any, _context: Any, many: bool) -> None:
        seen.extend([" ".join(statement.split()[:3])] * (len(rows) if many else 1))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.usefixtures("no_beats")
async def test_a_turn_in_a_long_session_takes_no_more_statements(tmp_path: Path) -> None:
    counts = []
    async with agent(store(tmp_path)) as asked:
        for _ in range(12):
            with statements() as seen:
                await asked.run("Hello", session_id="s1")
            counts.append(len(seen))
    assert len(set(counts[1:])) == 1, counts


@pytest.mark.usefixtures("no_beats")
async def test_each_tool_call_takes_the_same_number_of_statements(tmp_path: Path) -> None:
    counts = []
    for calls in (2, 4, 8):
        async with agent(store(tmp_path), calls=calls) as asked:
            with statements() as seen:
                await asked.run("Hello")
        counts.append(len(seen))
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


async def test_each_turn_is_one_row(tmp_path: Path) -> None:
    async with agent(store(tmp_path), calls=3) as asked:
        for _ in range(4):
            session = await asked.run("Hello", session_id="s1")
    with closing(connect(tmp_path / "sessions.db")) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM auwgent_turns")
    assert rows == len(session.turns)


async def test_stored_bytes_grow_with_the_turns_alone(tmp_path: Path) -> None:
    sizes = []
    async with agent(store(tmp_path), text="x" * 1000) as asked:
        for turn in range(1, 121):
            await asked.run("Hello", session_id="s1")
            if turn % 40 == 0:
                with closing(connect(tmp_path / "sessions.db")) as connection:
                    sizes.append(connection.execute("PRAGMA page_count").fetchone()[0])
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], rel=0.3, abs=2)


async def test_each_model_turn_is_one_request() -> None:
    idle = Idle()
    async with agent(idle, calls=5) as asked:
        await asked.run("Hello")
    assert idle.calls["onLLMStart"] == 6


async def test_each_middleware_hears_of_a_piece_once() -> None:
    one, other = Idle(), Idle()
    text = "word " * 50
    async with agent(one, other, text=text) as asked, aclosing(asked.stream("Hello")) as stream:
        partials = [intent async for intent in stream if intent.partial]
    assert one.calls == other.calls
    assert one.calls["onIntentPartial"] == len(partials) > 50


async def test_checkpoints_are_one_for_each_model_call_one_for_its_calls_and_two_for_each_of_them() -> None:
    idle = Idle()
    async with agent(idle, calls=6) as asked:
        await asked.run("Hello")
    assert idle.calls["onCheckpoint"] == 7 + 6 + 2 * 6


async def test_nothing_of_a_run_is_left_when_it_is_over(tmp_path: Path) -> None:
    async with agent(store(tmp_path), calls=2) as asked:
        session = await asked.run("Hello", session_id="s1")
        async for _ in asked.stream("Hello", session_id="s1"):
            break  # a reader that has had enough
        gc.collect()  # ends the abandoned iterator
        await asyncio.sleep(0.1)
        kept = weakref.ref(session)
        del session
        gc.collect()
        assert kept() is None
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("wire", WIRES[:2], ids=str)
async def test_runs_over_http_leave_no_object_of_ours_behind(wire: Wire, tmp_path: Path) -> None:
    """Turns, requests, places in queues: as many as before, however many runs there were."""
    answers = [wire.streamed("", Called("add", '{"a": 1, "b": 2}')), wire.streamed("Three.")]
    async with raw_server() as server:
        model = {"use": wire.model, "via": wire.via, "base_url": server.url, "api_key": "sk-x"}
        config = {"agent": {"model": "main", "tools": [add]}, "models": {"main": model}}
        async with Runtime({"middleware": [store(tmp_path)], **config}) as asked:
            counts = []
            for runs in (2, 4, 4):
                for _ in range(runs):
                    server.answers = list(answers)
                    assert (await asked.run("Add")).text == "Three."
                counts.append(ours())
    assert counts[2] - counts[1] == Counter(), "some more than before; what other tests left may go meanwhile"


def ours() -> Counter[type]:
    """Objects of this package that are alive, by their class."""
    gc.collect()
    return Counter(type(one) for one in gc.get_objects() if str(type(one).__module__).startswith("auwgent."))
