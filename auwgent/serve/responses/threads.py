"""Where a response goes on from an earlier one: in its session where it is the last one there, else in a copy."""

from __future__ import annotations

from typing import Any

from auwgent.inputs import Input
from auwgent.locks import KeyedLock
from auwgent.serve.desk import Desk
from auwgent.serve.live import Live
from auwgent.serve.responses.stored import StoredLeg
from auwgent.serve.users import Who
from auwgent.session import new_id


class Threads:
    """Decides it, for one request of a session after the other."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines = KeyedLock()

    async def goes_on(self, who: Who, input: Input, previous: StoredLeg, **options: Any) -> Live:
        """Begin a run behind an earlier response."""
        session_id = previous.session.id
        async with self._lines.turn((who.user, session_id)):
            behind = previous.last_turn()
            if not await self._is_newest(who, previous):
                copy = new_id()
                await self._desk.run_store().fork(who.user, session_id, copy, at=behind)
                session_id, behind = copy, None
            # Another process may be about to go on from it, too: who gets the session second goes on in a copy.
            return self._desk.begin(who, input, session_id=session_id, behind=behind, **options)

    async def _is_newest(self, who: Who, previous: StoredLeg) -> bool:
        """Return whether nothing was said in the session behind that response, and nobody is about to."""
        if not previous.is_last:
            return False
        run, session_id = previous.run, previous.session.id
        others = (one for one in self._desk.house.under_way() if one.user == who.user)
        if any(one.session_id == session_id and one.run_id != run.run_id for one in others):
            return False
        newest = await self._desk.run_store().runs(who.user, session_id=session_id, limit=1)
        return bool(newest) and newest[0].run_id == run.run_id
