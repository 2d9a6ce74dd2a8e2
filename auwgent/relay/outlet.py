"""Where a run's intents go: to whoever asked for it, and to those who read it in other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from auwgent.engine.order import Order, Sink
from auwgent.intents import Intent
from auwgent.relay.follow import relay_of
from auwgent.relay.speaker import Telling


class Outlet:
    """The sink of a run that other processes may read."""

    def __init__(self, telling: Telling, sink: Sink | None) -> None:
        self._telling, self._sink = telling, sink
        self._saying: list[Callable[[], Awaitable[None]]] = []
        self._showing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        telling.catches_up = self._catches_up

    @property
    def wants_pieces(self) -> bool:
        """Whether anybody wants to see pieces now."""
        return self._sink is not None or self._telling.is_wanted

    def starts(self, attempt: int, earlier: Sequence[str]) -> None:
        """The run has its session, in which it had these turns already."""
        self._telling.starts(attempt, earlier)

    @contextmanager
    def saying(self, again: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """While an answer is under way: who begins to read it is shown what has come of it."""
        self._saying.append(again)
        try:
            yield
        finally:
            self._saying.remove(again)

    def over(self) -> None:
        """The leg is over, and saved."""
        self._telling.over()

    def _catches_up(self) -> None:
        """A reader has come. Called in another thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._show_again)

    def _show_again(self) -> None:
        for again in self._saying:
            showing = asyncio.ensure_future(again())
            self._showing.add(showing)
            showing.add_done_callback(self._showing.discard)

    async def __call__(self, intent: Intent) -> None:
        self._telling.hear(intent)
        if self._sink is not None:
            await self._sink(intent)


async def outlet(store: object, order: Order, sink: Sink | None) -> Outlet | None:
    """Return the outlet of a run; None where no other process can read it."""
    relay = await relay_of(store) if order.keep else None
    if relay is None:
        return None
    return Outlet(relay.speaker.begins(order.user_id, order.run_id, order.leg), sink)
