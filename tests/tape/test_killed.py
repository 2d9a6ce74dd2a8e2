"""A process that is killed while it writes a tape leaves one that plays up to there, and is gone on with."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.errors import TapeMiss
from auwgent.tape import TapeFile
from tests.support.processes import forked
from tests.tape.acting import on_tape, recorded
from tests.tape.dying import STEPS, one_by_one, record_and_die

pytestmark = pytest.mark.process

MOMENTS = ("in its middle", "behind it")  # before it is behind the one before


async def seen_of(tape: Path) -> tuple[list[Any], bool]:
    """The whole intents of a played run, and whether it came to its end."""
    seen: list[Any] = []

    def note(name: str, value: dict[str, Any], agent: str) -> None:
        if name != "error":
            kept = {key: item for key, item in value.items() if key not in ("id", "seconds")}
            seen.append((name, kept, agent))

    async with Runtime(on_tape(one_by_one(), tape)) as agent:
        agent.on_intent(note)
        try:
            await agent.run("Refund order 7")
        except TapeMiss:
            return seen, False
    return seen, True


def test_at_each_write(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    asyncio.run(recorded(one_by_one(), whole))
    lines = whole.read_bytes().splitlines(keepends=True)
    expected, ended = asyncio.run(seen_of(whole))
    assert ended
    shown = []
    for number in range(1, len(lines)):  # the head is written with the first entry
        for moment in MOMENTS:
            tape = tmp_path / f"{number} {moment}.jsonl"
            process = forked.Process(target=record_and_die, args=(tape, number, moment))
            process.start()
            process.join(60)
            assert process.exitcode == -signal.SIGKILL, (number, moment)
            left = number if moment == "behind it" else number - 1
            if left == 0:
                continue  # not even its head is there
            assert len(TapeFile(tape).entries()) == left
            seen, ended = asyncio.run(seen_of(tape))
            assert seen == expected[: len(seen)]
            assert ended == (left == len(lines) - 1)
            shown.append((left, len(seen)))
            TapeFile(tape).append({"voice": "more"})
            assert tape.read_bytes() == b"".join(lines[: left + 1]) + b'{"voice": "more"}\n'
    assert sorted(shown) == sorted(shown, key=lambda pair: pair[1])  # the more is left, the more plays
    assert len({seen for _, seen in shown}) > len(STEPS)
