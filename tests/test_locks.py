"""Waiting lines, across tasks and threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from auwgent.locks import KeyedLock


async def test_those_with_one_key_come_one_after_the_other_and_others_at_once() -> None:
    lines, log = KeyedLock(), list[str]()

    async def work(key: str | None, name: str) -> None:
        async with lines.turn(key):
            log.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append(f"{name} out")

    await asyncio.gather(work("s", "first"), work("s", "second"), work("t", "other"), work(None, "free"))
    assert log.index("first out") < log.index("second in")
    assert max(log.index("other in"), log.index("free in")) < log.index("first out")


async def test_one_that_is_cancelled_while_it_waits_keeps_the_order_of_the_rest() -> None:
    lines, log = KeyedLock(), list[str]()
    go_on = asyncio.Event()

    async def work(name: str) -> None:
        async with lines.turn("s"):
            log.append(name)
            await go_on.wait()

    tasks = [asyncio.create_task(work(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert log == ["first"]
    go_on.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert log == ["first", "third"]


def test_threads_with_event_loops_of_their_own_are_never_in_together() -> None:
    lines, inside, most = KeyedLock(), list[int](), list[int]()

    async def work(number: int) -> None:
        async with lines.turn("s"):
            inside.append(number)
            most.append(len(inside))
            await asyncio.sleep(0.001)
            inside.remove(number)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] * 8
