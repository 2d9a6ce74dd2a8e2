"""Many runs with tools and streaming, many at a time: what a long-lived process keeps.

`./dev python benchmarks/soak.py [--runs 10000] [--at-once 256] [--via direct] [--store]` prints resident memory,
open files, tasks and threads after each tenth of the runs. All four must stay as they are after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import ours
import run


async def main(options: argparse.Namespace, url: str) -> None:
    folder = tempfile.mkdtemp(prefix="auwgent-soak-")
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{folder}/sessions.db"}
    middleware = [*([store] if options.store else []), ours.Idle()]
    agent = ours.agent("tools-3", url, options.via, middleware)
    print(f"{'runs':>8} {'RSS MB':>8} {'files':>6} {'tasks':>6} {'threads':>8}")
    async with agent:
        for tenth in range(11):
            count = (
                options.at_once if tenth == 0 else options.runs // 10
            )  # the first ones open the connections
            await _many(agent, count, options.at_once)
            gc.collect()
            files = _open_files()
            tasks = len(asyncio.all_tasks()) - 1
            done = tenth * options.runs // 10
            print(
                f"{done:>8} {_resident():>8.1f} {files:>6} {tasks:>6} {threading.active_count():>8}",
                flush=True,
            )


async def _many(agent: Any, count: int, at_once: int) -> None:
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            async for _ in agent.stream("Hello"):
                pass

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident() -> float:
    """Megabytes of this process in memory, as Linux counts them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run an agent many times and watch what the process keeps.")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--via", choices=["direct", "litellm"], default="direct")
    parser.add_argument("--store", action="store_true", help="with a SQLite store, too")
    given = parser.parse_args()
    with run.provider() as address:
        asyncio.run(main(given, address))
