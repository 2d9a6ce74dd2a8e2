"""A run as the one who asked for it reads it: its intents as they come, and a way to end it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol

from auwgent.engine.order import Sink
from auwgent.engine.state import Run
from auwgent.intents import Intent
from auwgent.session import Answer_co, Session, Usage


class Carry(Protocol):
    """Carries out a run: its intents go to the sink; who is told that it `began` may look at it."""

    def __call__(self, sink: Sink, began: Callable[[Run], None], /) -> Awaitable[Session[Any]]: ...


class Stream(Generic[Answer_co]):
    """A run as an asynchronous iterator of intents. `session`, `usage` and `status` are there once it is over.

    `usage` is that of all its legs and attempts. `calls` are those that it waits for, where it has paused.
    """

    def __init__(self, carry: Carry, run_id: str) -> None:
        self._carry = carry
        self.run_id = run_id
        self.session: Session[Answer_co] | None = None
        self.usage: Usage | None = None
        self.status = "running"
        self.calls: list[dict[str, Any]] = []
        self._queue: asyncio.Queue[Intent | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(1)  # in the queue: the run waits for a slow reader
        self._left = asyncio.Event()  # nobody reads on, and what comes is dropped
        self._task: asyncio.Task[None] | None = None
        self._begun: list[Run] = []

    def __aiter__(self) -> AsyncIterator[Intent]:
        return self._intents()

    @property
    def earlier(self) -> Sequence[str]:
        """The ids of the turns that the run had before, from earlier legs and attempts; known once it has begun."""
        start = self._begun[-1].start if self._begun else None
        return () if start is None else start.earlier

    def cancel(self) -> asyncio.Future[None]:
        """End the run, from any task: it is saved as `cancelled`, and whoever reads comes to the end.

        Waiting for what is returned waits until it has been saved; that is not needed.
        """
        if self._task is None:  # it has not begun, and never will
            self._left.set()
        elif not self._left.is_set() and not self._task.done():
            self._left.set()
            self._task.cancel()
        return asyncio.ensure_future(self._saved())

    async def aclose(self) -> None:
        """End the run, if it is not over, and wait until it has been saved; for `contextlib.aclosing`."""
        await self.cancel()

    async def _saved(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # it has been raised, or the reader left

    async def _intents(self) -> AsyncGenerator[Intent, None]:
        if self._left.is_set():
            return
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._queue.put_nowait(None))
        try:
            while (intent := await self._queue.get()) is not None:
                self._room.release()
                yield intent
            if self._left.is_set():
                await self._saved()
            else:
                await self._task
        finally:
            await self.aclose()

    async def _sink(self, intent: Intent) -> None:
        if not self._left.is_set():
            await self._room.acquire()
            self._queue.put_nowait(intent)

    async def _run(self) -> None:
        begun = self._begun
        try:
            self.session = await self._carry(self._sink, begun.append)
        finally:
            self.status = self.session.status if self.session is not None else "failed"
            self.calls = [] if self.session is None else self.session.pending
            if begun:
                self.run_id, self.status = begun[-1].run_id, begun[-1].status
                self.calls = [dict(call) for call in begun[-1].pending]
                self.session = begun[-1].session if self.session is None else self.session
                self.usage = begun[-1].usage
