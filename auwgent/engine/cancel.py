"""Ends a run from elsewhere: from another task, thread or process. Who waits for the run is not cancelled by it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from auwgent.errors import RunFailed


class Cancel:
    """The way to end one run. Calling it does that; again and again, where the run does not heed it."""

    def __init__(self) -> None:
        self.over: Future[None] = Future()  # done when the run has ended, and was saved
        self._wanted = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._strikes = 0

    def __call__(self) -> None:
        """End the run, from any thread; one that is not under way yet ends as soon as it is."""
        self._wanted = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the run with it
                self._loop.call_soon_threadsafe(self._strike)

    @contextlib.contextmanager
    def reaching(self) -> Iterator[None]:
        """Reach the task that carries out the run, in here. `RunFailed` stands for a cancel that came this way."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._task, self._loop = task, asyncio.get_running_loop()
        if self._wanted:
            self._loop.call_soon(self._strike)
        try:
            yield
        except asyncio.CancelledError:
            strikes, self._task = self._strikes, None
            for _ in range(strikes):
                task.uncancel()
            if strikes and task.cancelling() <= before:
                raise RunFailed("the run was cancelled", kind="cancelled") from None
            raise
        finally:
            self._task = None
            self.over.set_result(None)

    def _strike(self) -> None:
        if self._task is not None:
            self._strikes += 1
            self._task.cancel()


class Cancels:
    """The ways to end the runs of a process, by their users and ids."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[Cancel]] = {}

    @contextlib.contextmanager
    def of(self, user_id: str, run_id: str) -> Iterator[Cancel]:
        """Yield the way to end a run, which is known while the block lasts."""
        cancel, key = Cancel(), (user_id, run_id)
        self._known.setdefault(key, []).append(cancel)
        try:
            yield cancel
        finally:
            self._known[key].remove(cancel)
            if not self._known[key]:
                del self._known[key]

    async def __call__(self, user_id: str, run_id: str, seconds: float) -> bool:
        """End a run, and wait so long for that; False where there is none here."""
        here = list(self._known.get((user_id, run_id), ()))
        for cancel in here:
            cancel()
        if here:
            await asyncio.wait([asyncio.wrap_future(cancel.over) for cancel in here], timeout=seconds)
        return bool(here)
