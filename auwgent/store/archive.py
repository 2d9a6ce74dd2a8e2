"""What can be asked of stored sessions, and done with them, outside of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from auwgent import store
from auwgent.session import Session
from auwgent.store.base import Hit, SessionInfo, UsageBy, UsageRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

P = ParamSpec("P")
T = TypeVar("T")

SEARCHED = 50  # sessions that are searched at once


class Archive(ABC):
    """The sessions of a database, as `SessionStore` describes it."""

    @abstractmethod
    async def database(self) -> store.database.Database:
        """The database, opened."""

    async def latest(self, user_id: str) -> str | None:
        """The id of the session that user used last."""
        found = await self.list_sessions(user_id, limit=1)
        return found[0].id if found else None

    async def list_sessions(
        self, user_id: str, *, limit: int | None = None, since: datetime | None = None
    ) -> list[SessionInfo]:
        """The user's sessions that something was said in, the last used first."""
        return await self._read(store.transactions.listed, user_id, limit, since)

    async def run_status(self, user_id: str, session_id: str) -> str | None:
        """How the last run of the session ended, as in `SessionInfo`; None where there was none."""
        return await self._read(store.transactions.status, user_id, session_id)

    async def get(self, user_id: str, session_id: str) -> Session:
        """The session with all its turns; calls that were interrupted have the result `unknown`."""
        return await self._read(store.transactions.get, user_id, session_id)

    async def search(self, user_id: str, words: str) -> AsyncIterator[Hit]:
        """Turns whose text has all of the words, in any case, the newest session first.

        The database is asked again as the reader goes on, and nothing stays locked meanwhile.
        """
        wanted = words.casefold().split()
        if not wanted:
            return
        numbers = await self._read(store.transactions.newest, user_id)
        for start in range(0, len(numbers), SEARCHED):
            for hit in await self._read(store.search.hits, numbers[start : start + SEARCHED], wanted):
                yield hit

    async def put(self, session: Session) -> None:
        """Store a session that came from elsewhere. `SessionConflict` where its user has one of that id."""
        await self._write(store.transactions.put, session)

    async def fork(self, user_id: str, session_id: str, new_id: str) -> None:
        """Copy a session with its turns. `SessionConflict` where the new id is taken."""
        await self._write(store.transactions.fork, user_id, session_id, new_id)

    async def rename(self, user_id: str, session_id: str, new_id: str) -> None:
        """Give a session another id. `SessionConflict` where it is taken, or a run holds the session."""
        await self._write(store.transactions.rename, user_id, session_id, new_id)

    async def delete(self, user_id: str, session_id: str) -> None:
        """Delete a session and all that was stored of it. `SessionConflict` where a run holds it."""
        await self._write(store.transactions.remove, user_id, session_id)
        await self._compact()

    async def prune(
        self, user_id: str | None, *, before: datetime | None = None, keep: int | None = None
    ) -> int:
        """Delete sessions not used since `before`, and all but the last used `keep` of each user; how many.

        None as user: those of all users. Sessions that a run holds are left.
        """
        count = await self._write(store.transactions.prune, user_id, before, keep)
        if count:
            await self._compact()
        return count

    async def usage(
        self, by: UsageBy, *, user_id: str | None = None, since: datetime | None = None
    ) -> list[UsageRow]:
        """Tokens and money of the runs that are stored, the most tokens first, days in their order."""
        rows = await self._read(store.transactions.usage, by, user_id, since)
        return sorted(rows, key=lambda row: row.key) if by == "day" else rows

    async def _read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        database = await self.database()
        return await database.run(database.read, lambda connection: work(connection, *args, **kwargs))

    async def _write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        database = await self.database()
        return await database.run(database.write, lambda connection: work(connection, *args, **kwargs))

    async def _compact(self) -> None:
        database = await self.database()
        await database.run(database.compact)
