"""A run that another process has at work, as it is heard here: all who read it in this process share what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from auwgent.relay.follow import Began, Ended, Step, follow
from auwgent.serve.leg import Leg
from auwgent.store.base import RunStore

LINGERS = 5.0  # seconds that a run is followed behind its last reader, who may come back


class Echo(Leg):
    """What one process tells of a run, from when it took it up; `earlier` is what happened before that."""

    def __init__(self, run_id: str, began: Began) -> None:
        super().__init__(run_id, began.agent, began.leg, began.process)
        self.earlier, self.attempt = began.earlier, began.attempt
        self.is_closed = False

    @property
    def is_over(self) -> bool:
        return self.is_closed

    def take(self, step: Step) -> None:
        """Take the next intent."""
        self.skip(step.number - 1, are_joined=step.is_next)
        self.put(step.intent)

    def close(self) -> None:
        """Nothing more will come of that process."""
        self.is_closed = True
        self.wake()


class Far:
    """A run of another process. It is followed as long as somebody reads it."""

    def __init__(self, store: RunStore, user: str, run_id: str, *, goes_on: bool) -> None:
        self.echoes: list[Echo] = []
        self.ended: Ended | None = None
        self._readers = 0
        self._news = asyncio.Event()
        self._following = follow(store, user, run_id, goes_on=goes_on)
        self._run_id = run_id
        self._task = asyncio.ensure_future(self._pump())
        self._task.add_done_callback(lambda _: self._over())
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: the run is over, or was left."""
        return self._task.done()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read it: meanwhile it is followed."""
        self._readers += 1
        if self._leaving is not None:
            self._leaving.cancel()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._leaving = asyncio.get_running_loop().call_later(LINGERS, self._task.cancel)

    async def echo(self, number: int) -> Echo | None:
        """Wait for what the process of that number tells; None where it is the end, or is only known to the store."""
        while len(self.echoes) <= number and not self._task.done():
            self._news.clear()
            await self._news.wait()
        if len(self.echoes) > number:
            return self.echoes[number]
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error
        return None

    async def _pump(self) -> None:
        async with aclosing(self._following) as following:
            async for items in following:
                for item in items:
                    if isinstance(item, Ended):
                        self.ended = item
                    elif isinstance(item, Step):
                        self.echoes[-1].take(item)
                    elif item.process:
                        self._begin(item)
                    else:  # nobody tells of it
                        return
                if self.echoes:
                    await self.echoes[-1].show()

    def _begin(self, began: Began) -> None:
        if self.echoes:
            self.echoes[-1].close()
        self.echoes.append(Echo(self._run_id, began))
        self._news.set()

    def _over(self) -> None:
        if self.echoes:
            self.echoes[-1].close()
        self._news.set()
