"""Keyed locks that work across event loops and threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import Future
from contextlib import asynccontextmanager


class ProcessLock:
    """A lock between the threads of a process. A process that was forked has one of its own, which nobody holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> bool:
        """Take the lock; whether this is the first time in a process that was forked."""
        is_forked = os.getpid() != self._process
        if is_forked:
            self._lock, self._process = threading.Lock(), os.getpid()
        self._lock.acquire()
        return is_forked

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class KeyedLock:
    """One queue for each key: first come, first served, one at a time. Of a parent process nobody stands in it."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Future[None]] = {}  # in each line; done when it is over
        self._lock = ProcessLock()

    @asynccontextmanager
    async def turn(self, key: Hashable | None) -> AsyncIterator[None]:
        """Wait until all earlier holders of this key are done; do not wait where it is None."""
        if key is None:
            yield
            return
        over: Future[None] = Future()
        with self._lock as is_forked:
            if is_forked:
                self._last = {}
            before, self._last[key] = self._last.get(key), over
        if before is not None:
            try:
                await asyncio.shield(asyncio.wrap_future(before))
            except asyncio.CancelledError:
                before.add_done_callback(lambda _: self._leave(key, over))
                raise
        try:
            yield
        finally:
            self._leave(key, over)

    def _leave(self, key: Hashable, over: Future[None]) -> None:
        with self._lock:
            if self._last.get(key) is over:
                del self._last[key]
        over.set_result(None)
