"""A run that a worker carries out, read as if it happened here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from auwgent.engine.order import Sink
from auwgent.engine.state import Run
from auwgent.fleet.ticket import Ticket
from auwgent.relay.stored import Seen
from auwgent.session import Session
from auwgent.stream import Stream

Submit = Callable[[], Awaitable[Ticket[Any]]]
SaidBefore = Callable[[], Awaitable[Seen]]


class Following(Stream[Any]):
    """The intents of a queued run. Cancelling it ends the run, `leave` only the looking on."""

    def __init__(self, submit: Submit, run_id: str, said_before: SaidBefore | None = None) -> None:
        """`said_before` tells of a later leg, before it is submitted, how much it need not tell again."""
        super().__init__(self._follow, run_id)
        self._submit, self._said_before = submit, said_before
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaves = False

    async def accepted(self) -> None:
        """Wait until the run is in the queue; raises what kept it out."""
        await asyncio.shield(self._accepted)

    def leave(self) -> asyncio.Future[None]:
        """Look no longer on; the run goes on."""
        self._leaves = True
        return self.cancel()

    async def _follow(self, sink: Sink, began: Callable[[Run], None]) -> Session[Any]:
        try:
            seen = (0, 0, 0, 0) if self._said_before is None else await self._said_before()
            ticket = await self._submit()
        except BaseException as error:
            if not self._accepted.done():
                self._accepted.set_exception(error)
                self._accepted.exception()  # whoever reads hears of it, too
            raise
        self._accepted.set_result(None)
        far = await ticket.leg(seen)
        try:
            async for intent in far:
                await sink(intent)
            return await ticket.result()
        except asyncio.CancelledError:
            if not self._leaves:
                await ticket.cancel()
            raise
        finally:
            if not self._leaves:
                self.session, self.usage = far.session, (await ticket.info()).usage
