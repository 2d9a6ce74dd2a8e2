"""A leg of a run that another process has at work, read as if it were carried out here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from auwgent.errors import RunFailed
from auwgent.intents import Intent
from auwgent.questions import unanswered
from auwgent.relay.follow import Began, Ended, Item, follow
from auwgent.relay.stored import Seen, counted, unseen
from auwgent.session import Session, Usage
from auwgent.store.base import RunStore


class FarStream:
    """The intents of a leg, from its beginning, whichever processes have it one after the other.

    Leaving it does not end the run; `cancel` does. `seen` counts the whole intents of earlier legs, which are not
    given again. As a model that is asked again, a process that takes the run up says what it says in new segments.
    """

    earlier: Sequence[str] = ()

    def __init__(
        self,
        store: RunStore,
        user: str,
        run_id: str,
        *,
        leg: int = 1,
        seen: Seen = (0, 0, 0, 0),
        goes_on: bool = True,
    ) -> None:
        self.run_id = run_id
        self.session: Session | None = None
        self.usage: Usage | None = None
        self._store, self._user, self._leg, self._seen = store, user, leg, seen
        self._by_itself = goes_on
        self._segments = self._next = 0  # of the processes before; the next one that is free

    def __aiter__(self) -> AsyncIterator[Intent]:
        return self._intents()

    def cancel(self) -> asyncio.Future[None]:
        """End the run. Waiting for what is returned waits until whoever has it has heard of it."""
        return asyncio.ensure_future(self._store.cancel(self._user, self.run_id))

    async def aclose(self) -> None:
        """Leave it."""

    async def _intents(self) -> AsyncGenerator[Intent, None]:
        following = follow(self._store, self._user, self.run_id, goes_on=self._by_itself)
        async with aclosing(following):
            async for items in following:
                for item in items:
                    if isinstance(item, Ended) or (isinstance(item, Began) and item.leg > self._leg):
                        await self._end(item)
                        return
                    for intent in self._of(item):
                        yield intent

    def _of(self, item: Item) -> Iterator[Intent]:
        if isinstance(item, Began):
            self._segments = self._next
            for intent in unseen(item.earlier, self._seen):
                yield self._counted(intent)
        elif not isinstance(item, Ended):
            yield self._counted(item.intent)

    def _counted(self, intent: Intent) -> Intent:
        if not intent.partial:
            self._seen = counted(intent, self._seen)
            return intent
        segment = self._segments + intent.value["segment"]
        self._next = max(self._next, segment + 1)
        return replace(intent, value={**intent.value, "segment": segment})

    async def _end(self, item: Ended | Began) -> None:
        """The leg is over: the run, too, or it waits, or it has gone on already."""
        if isinstance(item, Began):
            run = await self._store.run(self._user, self.run_id)
            session = None if run.session_id is None else await self._store.get(self._user, run.session_id)
            status = "paused"
        else:
            run, session, status = item.run, item.session, str(item.run.status)
        calls: Sequence[dict[str, Any]] = unanswered(run.calls, run.answers) if status == "paused" else ()
        self.usage = run.usage
        if session is not None:
            self.session = session.tell(status, calls)
        if status not in ("completed", "paused"):
            told = run.error or {"message": f"the run was {status}", "kind": status}
            raise RunFailed(told["message"], kind=told["kind"] if status == "failed" else status)
