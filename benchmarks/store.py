"""What the store costs beside raw sqlite3: to go on with a session of any length, and to keep each turn."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import StoreRun

LENGTHS = (10, 1_000, 10_000)  # turns of the sessions that are gone on with
SIZES = (10, 100, 200, 1_000, 2_000)  # turns of the sessions that are measured as they grow
WINDOW = 20
COPIES = 20  # of each session: one that is gone on with grows
TEXT = "Some forty words of a conversation, as people have them with an assistant about this and that. " * 2

GoOn = Callable[[str], Awaitable[None]]


class Raw:
    """The least that sqlite3 can do: a row for each turn, the newest ones read by an index."""

    def __init__(self, path: Path, window: int | None) -> None:
        self._limit = -1 if window is None else window
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE turns (no INTEGER PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL);"
            "CREATE INDEX of_session ON turns (session, no)"
        )

    async def go_on(self, session_id: str) -> None:
        """Read the history, then append what was asked and answered."""
        newest = "SELECT body FROM turns WHERE session = ? ORDER BY no DESC LIMIT ?"
        [json.loads(body) for (body,) in self.connection.execute(newest, (session_id, self._limit))]
        self.append(session_id)

    def append(self, session_id: str) -> None:
        turns = [{"role": role, "content": TEXT} for role in ("user", "assistant")]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO turns (session, body) VALUES (?, ?)",
            [(session_id, json.dumps(turn)) for turn in turns],
        )
        self.connection.execute("COMMIT")


class Ours:
    """What a run does with the default store, but for its checkpoints: it gets the session, and ends."""

    def __init__(self, path: Path, window: int | None) -> None:
        self.store = SQLModelSessions(f"sqlite:///{path}", window=window)

    async def go_on(self, session_id: str) -> None:
        run = await StoreRun(self.store, session_id).start()
        run.say(TEXT)
        run.say(TEXT, "assistant")
        await run.end()


async def cpu(operation: Awaitable[None]) -> float:
    """Milliseconds of this process, all its threads included."""
    before = time.process_time()
    await operation
    return (time.process_time() - before) * 1e3


async def going_on(folder: Path, rounds: int) -> None:
    """Load and append, at each length, by turns."""
    raw, windowed = Raw(folder / "raw.db", WINDOW), Ours(folder / "ours.db", WINDOW)
    whole = Ours(folder / "ours.db", None)
    for length in LENGTHS:
        for _ in range(length // 2):
            raw.append(f"{length} 0")
            await windowed.go_on(f"{length} 0")
        for copy in range(1, COPIES):
            copied = "INSERT INTO turns (session, body) SELECT ?, body FROM turns WHERE session = ?"
            raw.connection.execute(copied, (f"{length} {copy}", f"{length} 0"))
            await windowed.store.fork("u1", f"{length} 0", f"{length} {copy}")
    short: dict[str, GoOn] = {"raw sqlite3": raw.go_on, f"auwgent, window = {WINDOW}": windowed.go_on}
    long: dict[str, GoOn] = {"auwgent, whole history": whole.go_on}  # on its own: it leaves much behind
    ways = short | long
    figures: dict[tuple[str, int], list[float]] = {(way, n): [] for way in ways for n in LENGTHS}
    for together in (short, long):
        for turn in range(rounds):
            gc.collect()
            for length in LENGTHS[turn % 3 :] + LENGTHS[: turn % 3]:
                for way, go_on in together.items():
                    figures[way, length].append(await cpu(go_on(f"{length} {turn % COPIES}")))
    print(f"\n### The store: load and append, {rounds} rounds\n")
    print(line("CPU ms at", *(f"{length:,} turns" for length in LENGTHS), "longest ÷ shortest"))
    print(line(*["---"] * (len(LENGTHS) + 2)))
    for way in ways:
        of_way = [figures[way, length] for length in LENGTHS]
        growth = median(of_way[-1]) / median(of_way[0])
        print(line(way, *map(spread, of_way), f"{growth:.2f}"))
    await windowed.store.close()
    await whole.store.close()


async def growing(folder: Path) -> None:
    """Bytes and milliseconds for each turn, as a session grows turn by turn."""
    raw, ours = Raw(folder / "raw.db", WINDOW), Ours(folder / "ours.db", WINDOW)
    print("\n### The store: each turn, as a session grows\n")
    print(
        line("turns", "bytes of JSON", "raw sqlite3", "auwgent", "÷ JSON", "raw, CPU ms", "auwgent, CPU ms")
    )
    print(line(*["---"] * 7))
    size = 0
    for goal in SIZES:
        spent: dict[Any, list[float]] = {raw: [], ours: []}
        for _ in range((goal - size) // 2):
            for one, times in spent.items():
                times.append(await cpu(one.go_on("s")) / 2)
        size = goal
        session = await ours.store.get("u1", "s")
        told = len(session.model_dump_json())
        sizes = [stored(folder / name) for name in ("raw.db", "ours.db")]
        each = [f"{number / size:,.0f}" for number in (told, *sizes)]
        print(line(f"{size:,}", *each, f"{sizes[1] / told:.2f}", *map(spread, spent.values())))
    await ours.store.close()


def stored(path: Path) -> int:
    """Bytes of the database, whether they stand in the file or in its WAL."""
    with closing(sqlite3.connect(path)) as connection:
        [(pages,)] = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
    return int(pages)


def spread(values: list[float]) -> str:
    """The median, and where the middle half lies."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.2f} ({low:.2f} to {high:.2f})"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the store beside raw sqlite3.")
    parser.add_argument("--rounds", type=int, default=40, help="how often everybody has a turn (40)")
    rounds = parser.parse_args().rounds
    for measure in (lambda folder: going_on(folder, rounds), growing):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
