"""How quickly and how cheaply pieces of runs come to a reader in another process, over PostgreSQL.

    python benchmarks/relay.py --runs 50 --rate 20 --seconds 10 postgresql://postgres@127.0.0.1:5432/test

One process carries out so many runs at once, whose model says a word so many times a second; another one reads all of
them. Each word is the time when it was said, by the clock that both share. Nothing is read for a while first, so that
what reading costs is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from auwgent import Runtime
from auwgent.middleware import SQLModelSessions
from auwgent.models.base import ModelRequest, Piece, Reply, TextPiece
from auwgent.models.scripted import ScriptedModel
from auwgent.relay.follow import Step, follow
from auwgent.session import Usage, new_id


class Clock(ScriptedModel):
    """Says what time it is, again and again."""

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        rate, seconds = (float(part) for part in request.system.split())
        words, due, end = [], time.monotonic(), time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            words.append(f"{now:.4f} ")
            yield TextPiece(words[-1])
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield Reply(text="".join(words), model=self.spec.name, usage=Usage(), finish_reason="stop")


def config(url: str, rate: float, seconds: float) -> dict[str, Any]:
    return {
        "agent": {"model": "main", "prompt": f"{rate} {seconds}"},
        "models": {"main": {"use": "benchmarks.relay.Clock", "params": {"replies": ["x"]}}},
        "middleware": [{"use": "auwgent.middleware.SQLModelSessions", "url": url}],
    }


def work(url: str, runs: list[str], rate: float, seconds: float, pipe: Any) -> None:
    """Carry out the runs; tells the CPU seconds of the first third of the time, and of the last."""

    async def main() -> None:
        async with Runtime(config(url, rate, seconds)) as agent:
            running = [asyncio.ensure_future(agent.run("Go", session_id=one, run_id=one)) for one in runs]
            await asyncio.sleep(seconds / 4)
            spent = []
            for told in ("unread", "read"):
                pipe.send(told)
                before = time.process_time()
                await asyncio.sleep(seconds / 4)
                spent.append(time.process_time() - before)
            await asyncio.wait(running)
            pipe.send(spent)

    asyncio.run(main())


async def read(url: str, runs: list[str]) -> tuple[list[float], int, float]:
    """Read all; gives how late each piece came, how many words, and the CPU seconds."""
    store = SQLModelSessions(url)
    await store.open()
    late: list[float] = []
    words = 0

    async def one(run_id: str) -> None:
        nonlocal words
        is_first = True
        async with aclosing(follow(store, "", run_id)) as batches:
            async for items in batches:
                for item in items:
                    if not isinstance(item, Step) or not item.intent.partial:
                        continue
                    said = item.intent.value["delta"].split()
                    now = time.monotonic()
                    if not is_first:  # it holds all that was said before
                        late.extend(now - float(word) for word in said)
                        words += len(said)
                    is_first = False

    before = time.process_time()
    await asyncio.gather(*(one(run_id) for run_id in runs))
    spent = time.process_time() - before
    await store.close()
    return late, words, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20.0, help="words a second of each run")
    parser.add_argument("--seconds", type=float, default=12.0)
    given = parser.parse_args()
    runs = [new_id() for _ in range(given.runs)]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(
        target=work, args=(given.url, runs, given.rate, given.seconds, theirs)
    )
    worker.start()
    assert ours.recv() == "unread"
    assert ours.recv() == "read"
    began = time.monotonic()
    late, words, spent = asyncio.run(read(given.url, runs))
    seconds = time.monotonic() - began
    unread, reading = ours.recv()
    worker.join()
    cuts = statistics.quantiles(late, n=100)
    said = given.runs * given.rate * given.seconds / 4
    print(
        json.dumps(
            {
                "runs": given.runs,
                "words_a_second": round(words / seconds),
                "late_ms": {"p50": round(1e3 * cuts[49], 1), "p99": round(1e3 * cuts[98], 1)},
                "worker_us_a_word": {
                    "unread": round(1e6 * unread / said, 1),
                    "read": round(1e6 * reading / said, 1),
                },
                "reader_us_a_word": round(1e6 * spent / max(1, words), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
