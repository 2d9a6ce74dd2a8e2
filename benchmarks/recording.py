"""What recording costs: CPU of a streamed answer and of tool calls, in runs with a tape and in runs without.

    ./dev python benchmarks/recording.py

A line holds medians of rounds that alternate. Models are scripted, in this process, and nothing is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from auwgent import Runtime

PIECES, CALLS = 2000, 20


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def config(replies: list[Any]) -> dict[str, Any]:
    models = {"main": {"use": "scripted/main", "params": {"replies": replies, "restart": True}}}
    agent = {"model": "main", "tools": [add]}
    return {
        "middleware": [],
        "agent": agent,
        "models": models,
        "limits": {"llm_calls": 1000, "repeats": 1000},
    }


SCENES: dict[str, tuple[list[Any], int]] = {
    "a piece": (["word " * PIECES], PIECES),
    "a tool call and the model call with it": (
        [{"tool_calls": [{"name": "add", "args": {"a": 1, "b": number}}]} for number in range(CALLS)]
        + ["Done."],
        CALLS,
    ),
}


async def cpu_of(replies: list[Any], tape: Path | None) -> float:
    """CPU seconds of a run."""
    async with Runtime(config(replies)) as agent:
        began = time.process_time()
        async for _ in agent.stream("Begin", record=tape):
            pass
        return time.process_time() - began


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print("| CPU µs | not recorded | recorded | more |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for what, (replies, number) in SCENES.items():
            plain, recorded = [], []
            for turn in range(rounds):
                plain.append(await cpu_of(replies, None))
                recorded.append(await cpu_of(replies, Path(folder) / f"{number}-{turn}.jsonl"))
            one, other = (statistics.median(each) / number * 1e6 for each in (plain, recorded))
            print(f"| {what} | {one:.1f} | {other:.1f} | {other - one:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
