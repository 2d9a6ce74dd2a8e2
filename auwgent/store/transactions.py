"""What is asked of stored sessions, and done with them, outside of runs: each in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
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
from auwgent.session import Session, Usage, now, paired
from auwgent.store import statements as sql
from auwgent.store.base import SessionInfo, UsageBy, UsageRow
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
DAY = 86_400_000_000  # microseconds
BY_USE = (sessions.c.updated_at.desc(), sessions.c.no.desc())  # the last used first
# Of a run that died this is written down only when the next one comes.
STATUS = case((and_(runs.c.status.in_(sql.LIVING), ~sql.BEATS_NOW), "interrupted"), else_=runs.c.status)


def status(connection: Connection, user_id: str, session_id: str) -> str | None:
    """How the last run of the session ended; None where there was none."""
    of_session = and_(sessions.c.user_id == user_id, sessions.c.id == session_id)
    found = select(STATUS).join_from(sessions, runs, runs.c.no == sessions.c.run_no).where(of_session)
    ended: str | None = connection.execute(found).scalar()
    return ended


def get(connection: Connection, user_id: str, session_id: str) -> Session:
    """The session, each of its calls with a result."""
    row = _find(connection, user_id, session_id)
    history = connection.execute(sql.HISTORY, {"of_session": row.no}).all()
    session = session_of(user_id, session_id, (row.system_prompt, row.stack), history)
    session.turns = paired(session.turns, where_said=True)
    return session


def newest(connection: Connection, user_id: str) -> Sequence[int]:
    """The numbers of the user's sessions, the last used first."""
    found = select(sessions.c.no).where(sessions.c.user_id == user_id).order_by(*BY_USE)
    return connection.execute(found).scalars().all()


def put(connection: Connection, session: Session) -> None:
    """Store a session that came from elsewhere."""
    number = _make(connection, session)
    rows = [turn_row(turn, seat, number) for seat, turn in enumerate(session.turns, 1)]
    check_ids(session.id, rows)
    if rows:
        connection.execute(insert(turns), rows)


def fork(connection: Connection, user_id: str, session_id: str, new_id: str) -> None:
    """Copy a session to another id of its user."""
    row = _find(connection, user_id, session_id)
    _check_free(connection, user_id, new_id)
    copy_session(connection, row.no, new_id)


def rename(connection: Connection, user_id: str, session_id: str, new_id: str) -> None:
    """Give a session another id."""
    row = _find(connection, user_id, session_id)
    _check_unheld(connection, row.no, session_id)
    _check_free(connection, user_id, new_id)
    connection.execute(update(sessions).where(sessions.c.no == row.no), {"id": new_id})


def remove(connection: Connection, user_id: str, session_id: str) -> None:
    """Delete a session and all that was stored of it."""
    row = _find(connection, user_id, session_id)
    _check_unheld(connection, row.no, session_id)
    connection.execute(delete(sessions).where(sessions.c.no == row.no))


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


def listed(
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


def usage(connection: Connection, by: UsageBy, user_id: str | None, since: datetime | None) -> list[UsageRow]:
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
