"""Carries out what is asynchronous from plain code, also where an event loop is at work, as in a notebook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def finished(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Carry out a coroutine and return its result; in a thread of its own where this one runs an event loop.

    That loop stands still meanwhile. Ctrl-C cancels the coroutine, and waits until it has ended.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def main() -> T:
        begun.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await work()

    with ThreadPoolExecutor(1, thread_name_prefix="auwgent-run") as pool:
        result = pool.submit(copy_context().run, asyncio.run, main())
        try:
            return result.result()
        except KeyboardInterrupt:
            loop, task = begun.result()
            assert task is not None
            with contextlib.suppress(RuntimeError):  # it is over, and its loop is closed
                loop.call_soon_threadsafe(task.cancel)
            raise
