"""What can be asked of stored sessions, and done with them, outside of runs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from auwgent.errors import SessionConflict, SessionNotFound
from auwgent.session import Session, Usage, mended, now
from auwgent.store import statements as sql
from auwgent.store.base import Hit, SessionInfo, UsageBy, UsageRow
from auwgent.store.database import Database
from auwgent.store.search import hits
from auwgent.store.tables import (
    as_key,
    check_ids,
    damaged,
    micros,
    moment,
    runs,
    sessions,
    text_of,
    to_json,
    turn_row,
    turns,
    turns_of,
)

PREVIEW = 80  # characters
SEARCHED = 50  # sessions that are searched at once
DAY = 86_400_000_000  # microseconds
BY_USE = (sessions.c.updated_at.desc(), sessions.c.no.desc())  # the last used first
# Of a run that died this is written down only when the next one comes.
STATUS = case((and_(runs.c.status.in_(sql.LIVING), ~sql.BEATS_NOW), "interrupted"), else_=runs.c.status)


class Archive(ABC):
    """The sessions of a database, as `SessionStore` describes it."""

    @abstractmethod
    async def database(self) -> Database:
        """The database, opened."""

    async def latest(self, user_id: str) -> str | None:
        """The id of the session that user used last."""
        found = await self.list_sessions(user_id, limit=1)
        return found[0].id if found else None

    async def list_sessions(
        self, user_id: str, *, limit: int | None = None, since: datetime | None = None
    ) -> list[SessionInfo]:
        """The user's sessions that something was said in, the last used first."""
        database = await self.database()
        return await database.run(database.read, lambda connection: _list(connection, user_id, limit, since))

    async def status(self, user_id: str, session_id: str) -> str | None:
        """How the last run of the session ended, as in `SessionInfo`; None where there was none."""
        of_session = and_(sessions.c.user_id == user_id, sessions.c.id == session_id)
        found = select(STATUS).join_from(sessions, runs, runs.c.no == sessions.c.run_no).where(of_session)
        database = await self.database()
        return await database.run(database.read, lambda connection: connection.execute(found).scalar())

    async def get(self, user_id: str, session_id: str) -> Session:
        """The session with all its turns; calls that were interrupted have the result `unknown`."""
        database = await self.database()

        def read(connection: Connection) -> tuple[tuple[str, str], Sequence[Row[Any]]]:
            row = _find(connection, user_id, session_id)
            return (row.system_prompt, row.stack), connection.execute(
                sql.HISTORY, {"of_session": row.no}
            ).all()

        head, history = await database.run(database.read, read)
        session = session_of(user_id, session_id, head, history)
        session.turns = mended(session.turns)
        return session

    async def search(self, user_id: str, words: str) -> AsyncIterator[Hit]:
        """Turns whose text has all of the words, in any case, the newest session first.

        The database is asked again as the reader goes on, and nothing stays locked meanwhile.
        """
        wanted = words.casefold().split()
        if not wanted:
            return
        newest = select(sessions.c.no).where(sessions.c.user_id == user_id).order_by(*BY_USE)
        database = await self.database()
        numbers = await database.run(
            database.read, lambda connection: connection.execute(newest).scalars().all()
        )
        for start in range(0, len(numbers), SEARCHED):
            read = partial(hits, session_nos=numbers[start : start + SEARCHED], wanted=wanted)
            for hit in await database.run(database.read, read):
                yield hit

    async def put(self, session: Session) -> None:
        """Store a session that came from elsewhere. `SessionConflict` where its user has one of that id."""
        database = await self.database()
        rows = [turn_row(turn, seat, 0) for seat, turn in enumerate(session.turns, 1)]
        check_ids(session.id, rows)

        def write(connection: Connection) -> None:
            number = _make(connection, session)
            for row in rows:
                row["session_no"] = number
            if rows:
                connection.execute(insert(turns), rows)

        await database.run(database.write, write)

    async def fork(self, user_id: str, session_id: str, new_id: str) -> None:
        """Copy a session with its turns. `SessionConflict` where the new id is taken."""

        def write(connection: Connection) -> None:
            row = _find(connection, user_id, session_id)
            _check_free(connection, user_id, new_id)
            copy_session(connection, row.no, new_id)

        database = await self.database()
        await database.run(database.write, write)

    async def rename(self, user_id: str, session_id: str, new_id: str) -> None:
        """Give a session another id. `SessionConflict` where it is taken, or a run holds the session."""

        def write(connection: Connection) -> None:
            row = _find(connection, user_id, session_id)
            _check_unheld(connection, row.no, session_id)
            _check_free(connection, user_id, new_id)
            connection.execute(update(sessions).where(sessions.c.no == row.no), {"id": new_id})

        database = await self.database()
        await database.run(database.write, write)

    async def delete(self, user_id: str, session_id: str) -> None:
        """Delete a session and all that was stored of it. `SessionConflict` where a run holds it."""

        def write(connection: Connection) -> None:
            row = _find(connection, user_id, session_id)
            _check_unheld(connection, row.no, session_id)
            connection.execute(delete(sessions).where(sessions.c.no == row.no))

        database = await self.database()
        await database.run(database.write, write)
        await database.run(database.compact)

    async def prune(
        self, user_id: str | None, *, before: datetime | None = None, keep: int | None = None
    ) -> int:
        """Delete sessions not used since `before`, and all but the last used `keep` of each user; how many.

        None as user: those of all users. Sessions that a run holds are left.
        """
        database = await self.database()
        count = await database.run(
            database.write, lambda connection: prune(connection, user_id, before, keep)
        )
        if count:
            await database.run(database.compact)
        return count

    async def usage(
        self, by: UsageBy, *, user_id: str | None = None, since: datetime | None = None
    ) -> list[UsageRow]:
        """Tokens and money of the runs that are stored, the most tokens first, days in their order."""
        database = await self.database()
        rows = await database.run(database.read, lambda connection: _usage(connection, by, user_id, since))
        return sorted(rows, key=lambda row: row.key) if by == "day" else rows


def session_of(user_id: str, session_id: str, head: tuple[str, str], history: Sequence[Row[Any]]) -> Session:
    """The session with that head and history. Calls of a run that was interrupted may lack their results."""
    try:
        return Session(
            id=session_id,
            user_id=user_id,
            system_prompt=json.loads(head[0]),
            stack=json.loads(head[1]),
            turns=turns_of(history),
        )
    except ValueError as error:  # of json or pydantic
        raise damaged(session_id) from error


def copy_session(connection: Connection, session_no: int, new_id: str) -> None:
    """Copy a session to another id of its user, without what a run that is not over has said so far."""
    time = micros(now())
    head = select(
        sessions.c.user_id,
        literal(new_id),
        literal(time),
        literal(time),
        sessions.c.system_prompt,
        sessions.c.stack,
    ).where(sessions.c.no == session_no)
    names = ["user_id", "id", "created_at", "updated_at", "system_prompt", "stack"]
    copy_no = connection.execute(
        insert(sessions).from_select(names, head).returning(sessions.c.no)
    ).scalar_one()
    own = {"no", "session_no", "run_no", "run_id"}
    rest = [column for column in turns.c if column.name not in own]
    # The runs belong to the original, so the copies name theirs themselves.
    history = (
        select(literal(copy_no), null(), func.coalesce(turns.c.run_id, runs.c.id), *rest)
        .join_from(turns, runs, turns.c.run_no == runs.c.no, isouter=True)
        .where(turns.c.session_no == session_no, or_(runs.c.no.is_(None), ~sql.ALIVE))
        .order_by(turns.c.seat, turns.c.no)
    )
    columns = ["session_no", "run_no", "run_id", *(column.name for column in rest)]
    connection.execute(insert(turns).from_select(columns, history))


def prune(
    connection: Connection, user_id: str | None, before: datetime | None, keep: int | None = None
) -> int:
    """Delete what `Archive.prune` says; how many sessions."""
    place = func.row_number().over(partition_by=sessions.c.user_id, order_by=sessions.c.updated_at.desc())
    ranked = select(sessions.c.no, sessions.c.user_id, sessions.c.updated_at, place.label("place")).subquery()
    doomed: list[ColumnElement[bool]] = []
    if before is not None:
        doomed.append(ranked.c.updated_at < micros(before))
    if keep is not None:
        doomed.append(ranked.c.place > keep)
    if not doomed:
        return 0
    held = exists().where(runs.c.session_no == ranked.c.no, sql.ALIVE)
    found = select(ranked.c.no).where(or_(*doomed), ~held)
    if user_id is not None:
        found = found.where(ranked.c.user_id == user_id)
    return connection.execute(delete(sessions).where(sessions.c.no.in_(found))).rowcount


def _find(connection: Connection, user_id: str, session_id: str) -> Row[Any, Any, Any]:
    row = connection.execute(sql.SESSION, {"user_id": user_id, "session_id": session_id}).one_or_none()
    if row is None:
        raise SessionNotFound(
            f"there is no session {session_id!r}" + (f" of user {user_id!r}" if user_id else "")
        )
    return row


def _check_free(connection: Connection, user_id: str, session_id: str) -> None:
    who = {"user_id": as_key("user_id", user_id), "session_id": as_key("session id", session_id)}
    if connection.execute(sql.SESSION, who).one_or_none():
        raise SessionConflict(f"there is a session {session_id!r} already")


def _check_unheld(connection: Connection, session_no: int, session_id: str) -> None:
    place = {"of_session": session_no, "before_no": sql.ENDLESS}
    if any(run.is_alive for run in connection.execute(sql.AHEAD, place)):
        raise SessionConflict(f"session {session_id!r} is held by a run")


def _make(connection: Connection, session: Session) -> int:
    _check_free(connection, session.user_id, session.id)
    times = [micros(turn.created_at) for turn in session.turns] or [micros(now())]
    values = {
        "user_id": session.user_id,
        "id": session.id,
        "created_at": min(times),
        "updated_at": max(times),
        "system_prompt": to_json(session.system_prompt),
        "stack": to_json(session.stack),
    }
    number: int = connection.execute(insert(sessions).values(values).returning(sessions.c.no)).scalar_one()
    return number


def _list(
    connection: Connection, user_id: str, limit: int | None, since: datetime | None
) -> list[SessionInfo]:
    own = turns.c.session_no == sessions.c.no
    count = select(func.count()).where(own).correlate(sessions).scalar_subquery()
    first = (
        select(turns.c.body)
        .where(own, turns.c.role == "user")
        .order_by(turns.c.seat)
        .limit(1)
        .correlate(sessions)
        .scalar_subquery()
    )
    found = (
        select(sessions.c.id, sessions.c.created_at, sessions.c.updated_at, count, STATUS, first)
        .join_from(sessions, runs, runs.c.no == sessions.c.run_no, isouter=True)
        .where(sessions.c.user_id == user_id, exists().where(own))
        .order_by(*BY_USE)
        .limit(limit)
    )
    if since is not None:
        found = found.where(sessions.c.updated_at >= micros(since))
    return [
        SessionInfo(session_id, user_id, moment(created), moment(updated), number, status, _preview(body))
        for session_id, created, updated, number, status, body in connection.execute(found)
    ]


def _preview(body: str | None) -> str:
    if body is None:
        return ""
    line = " ".join(text_of("user", body).split())
    return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"


def _usage(
    connection: Connection, by: UsageBy, user_id: str | None, since: datetime | None
) -> list[UsageRow]:
    key: ColumnElement[Any] = {
        "model": turns.c.model,
        "agent": turns.c.agent,
        "session": sessions.c.id,
        "day": turns.c.created_at // DAY,
    }[by]
    counts = [
        func.sum(column)
        for column in (
            turns.c.input_tokens,
            turns.c.output_tokens,
            turns.c.cached_tokens,
            turns.c.reasoning_tokens,
        )
    ]
    # What was copied here by fork or import was used elsewhere: it has no run.
    found = (
        select(
            key,
            func.count(),
            func.count(turns.c.usd),
            *counts,
            func.sum(turns.c.usd),
            func.max(turns.c.estimated),
        )
        .join_from(turns, sessions, turns.c.session_no == sessions.c.no)
        .where(turns.c.input_tokens.is_not(None), turns.c.run_no.is_not(None))
        .group_by(key)
        .order_by(func.sum(turns.c.input_tokens + turns.c.output_tokens).desc())
    )
    if user_id is not None:
        found = found.where(sessions.c.user_id == user_id)
    if since is not None:
        found = found.where(turns.c.created_at >= micros(since))
    return [
        UsageRow(
            key=str(datetime.fromtimestamp(key * 86400, UTC).date()) if by == "day" else key or "",
            calls=calls,
            unpriced=calls - priced,
            usage=Usage(
                input_tokens=sent,
                output_tokens=received,
                cached_tokens=cached,
                reasoning_tokens=reasoning,
                usd=usd,
                estimated=bool(estimated),
            ),
        )
        for key, calls, priced, sent, received, cached, reasoning, usd, estimated in connection.execute(found)
    ]
