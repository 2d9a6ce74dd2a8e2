"""Makes sessions of stored rows, and copies of sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Row, func, insert, literal, null, or_, select, true, update

from auwgent.errors import ArgumentError, SessionConflict, SessionNotFound
from auwgent.pairing import closed, denied_result, paired, skipped_result, unknown_result
from auwgent.session import Session, ToolCall, Turn, Usage, now
from auwgent.store import listings
from auwgent.store import statements as sql
from auwgent.store.base import RunInfo, RunStatus, UsageBy, UsageRow
from auwgent.store.companions import SessionKey
from auwgent.store.heart import is_gone
from auwgent.store.pauses import close_calls, is_late, waits_for
from auwgent.store.tables import (
    COUNTS,
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

AT_ONCE = 2000  # turns that are stored by one statement
REMOVED = 50  # sessions that are deleted by one statement
PREVIEW = 80  # characters
Told = Callable[[int, int], None]  # how much is done, and of how much


def find(connection: Connection, user_id: str, session_id: str) -> Row[Any, Any, Any]:
    """Return the head of a session, locked. `SessionNotFound` where that user has none of that id."""
    row = connection.execute(sql.SESSION, {"user_id": user_id, "session_id": session_id}).one_or_none()
    if row is None:
        raise SessionNotFound(
            f"there is no session {session_id!r}" + (f" of user {user_id!r}" if user_id else "")
        )
    return row


def check_free(connection: Connection, user_id: str, session_id: str) -> None:
    """`SessionConflict` where that user has a session of that id, `ArgumentError` where it cannot be one."""
    if not session_id:
        raise ArgumentError("a session id must not be empty")
    who = {"user_id": as_key("user_id", user_id), "session_id": as_key("session id", session_id)}
    if connection.execute(sql.SESSION, who).one_or_none():
        raise SessionConflict(f"there is a session {session_id!r} already")


def session_of(user_id: str, session_id: str, head: tuple[str, str], history: Sequence[Row[Any]]) -> Session:
    """Return the session with that head and history. Calls of a run that was interrupted may lack their results."""
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


def status_of(row: Row[Any]) -> str | None:
    """How a run stands, by what `LAST_RUN` has read of it. Of one whose process died it is written down only later.

    This is for showing: it goes by the database's clock, which may have been set.
    """
    status: str | None = row.status
    if status == "paused" and is_late(row):
        return "cancelled"
    if status not in sql.LIVING or row.worker is None or row.queue is not None:
        return status
    is_silent = row.seen_at is None or abs(row.time - row.seen_at) > sql.LEASE
    return "interrupted" if is_silent or is_gone(row.place) else status


def told(session: Session, row: Row[Any]) -> Session:
    """Return the session with what `STATUS` has read of its last run."""
    try:
        status = status_of(row) or ""
        return session.tell(status, waits_for(row) if status == "paused" else ())
    except ValueError as error:
        raise damaged(session.id) from error


def run_of(row: Row[Any], asked: str | None = None) -> RunInfo:
    """A run by its row of `listed_runs`, with what it was `asked`, where that was read."""
    try:
        content = None if asked is None else json.loads(asked)
        settings = json.loads(row.settings or "{}")
        return RunInfo(
            run_id=row.id,
            session_id=row.session_id,
            user_id=row.user_id,
            status=cast(RunStatus, status_of(row)),
            agent=settings.get("agent", ""),
            calls=tuple(json.loads(row.pending or "[]")),
            answers=json.loads(row.answers or "{}"),
            made_at=moment(row.made_at),
            started_at=None if row.started_at is None else moment(row.started_at),
            ended_at=None if row.ended_at is None else moment(row.ended_at),
            error=None if row.error is None else json.loads(row.error),
            usage=None if row.usage is None else Usage.model_validate_json(row.usage),
            attempt=row.attempt,
            leg=row.leg,
            settings=settings,
            asked=row.asked,
            is_queued=row.queue is not None,
            input=content if isinstance(content, str | None) else _words(content),
            content=content,
        )
    except ValueError as error:  # of json or pydantic
        raise damaged(row.session_id) from error


def _words(parts: Sequence[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def put(connection: Connection, session: Session, told: Told | None = None) -> None:
    """Store a session that came from elsewhere."""
    check_free(connection, session.user_id, session.id)
    times = [micros(turn.created_at) for turn in session.turns] or [micros(now())]
    values = {
        "user_id": session.user_id,
        "id": session.id,
        "created_at": min(*times, micros(now())),
        "updated_at": min(max(times), micros(now())),  # its clock may have been ahead
        "system_prompt": to_json(session.system_prompt),
        "stack": to_json(session.stack),
    }
    number = connection.execute(insert(sessions).values(values).returning(sessions.c.no)).scalar_one()
    whole = paired(
        session.turns, closed(session.turns), where_said=True
    )  # its open calls are never made here
    rows = [turn_row(turn, seat, number) for seat, turn in enumerate(whole, 1)]
    check_ids(session.id, rows)
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(insert(turns), rows[start : start + AT_ONCE])
        if told is not None:
            told(min(start + AT_ONCE, len(rows)), len(rows))


def prune(
    connection: Connection,
    user_id: str | None,
    before: datetime | None,
    keep: int | None,
    told: Told | None = None,
) -> list[SessionKey]:
    """Delete the sessions that were not used since, or are not among the newest; gives their keys."""
    until = None if before is None else micros(before)
    found = connection.execute(listings.unused(user_id, until, keep, micros(now()))).all()
    for start in range(0, len(found), REMOVED):
        some = [row.no for row in found[start : start + REMOVED]]
        for statement in listings.removal(some, micros(now())):
            connection.execute(statement)
        if told is not None:
            told(start + len(some), len(found))
    return [(row.user_id, row.id) for row in found]


def copied(history: Sequence[Turn], at: str) -> set[str] | None:
    """Ids of the turns that a copy up to the turn `at` has: with all results of its calls, or of its siblings' calls.

    None where there is no such turn. Calls before it whose results came later have none in the copy.
    """
    place = next((place for place, turn in enumerate(history) if turn.id == at), None)
    if place is None:
        return None
    asked = place
    if history[place].role == "tool":
        answered = history[place].tool_call_id
        for back in range(place, -1, -1):
            if any(call.id == answered for call in history[back].tool_calls or ()):
                asked = back
                break
    wanted = {call.id for call in history[asked].tool_calls or ()}
    found = {turn.id for turn in history[: place + 1]}
    wanted -= {turn.tool_call_id for turn in history[asked : place + 1] if turn.role == "tool"}
    for turn in history[place + 1 :]:
        if turn.role == "tool" and turn.tool_call_id in wanted:
            wanted.discard(turn.tool_call_id)
            found.add(turn.id)
    return found


def copy(connection: Connection, session_no: int, new_id: str, at: str | None = None) -> int:
    """Copy a session to another id of its user, without what a run that is not over has said so far.

    With `at` the copy ends with that turn. It is the root agent then that takes the next input.
    """
    time = micros(now())
    only: ColumnElement[bool] = true()
    if at is not None:
        rows = connection.execute(sql.HISTORY, {"of_session": session_no}).all()
        row = connection.execute(select(sessions).where(sessions.c.no == session_no)).one()
        session = session_of(row.user_id, row.id, (row.system_prompt, row.stack), rows)
        wanted = copied(session.turns, at)
        if wanted is None:
            raise SessionNotFound(f"session {row.id!r} has no turn {at!r}")
        only = turns.c.id.in_(wanted)
    head = select(
        sessions.c.user_id,
        literal(new_id),
        literal(time),
        literal(time),
        sessions.c.system_prompt,
        sessions.c.stack if at is None else literal(to_json(session.stack[:1])),
        sessions.c.id,
        literal(at) if at is not None else null(),
    ).where(sessions.c.no == session_no)
    names = [
        "user_id",
        "id",
        "created_at",
        "updated_at",
        "system_prompt",
        "stack",
        "forked_from",
        "forked_at",
    ]
    copy_no: int = connection.execute(
        insert(sessions).from_select(names, head).returning(sessions.c.no)
    ).scalar_one()
    own = {"no", "session_no", "run_no", "run_id"}
    rest = [column for column in turns.c if column.name not in own]
    # The runs belong to the original, so the copies name theirs themselves.
    history = (
        select(literal(copy_no), null(), func.coalesce(turns.c.run_id, runs.c.id), *rest)
        .join_from(turns, runs, turns.c.run_no == runs.c.no, isouter=True)
        .where(turns.c.session_no == session_no, or_(runs.c.no.is_(None), runs.c.status.not_in(sql.LIVING)))
        .where(only)
        .order_by(turns.c.seat, turns.c.no)
    )
    names = ["session_no", "run_no", "run_id", *(column.name for column in rest)]
    connection.execute(insert(turns).from_select(names, history))
    # Only the original goes on with what is open.
    begun, open_too = _made(connection, session_no)
    cut_off = set() if connection.execute(sql.PAUSED, {"of_session": session_no}).first() else open_too
    close_calls(connection, copy_no, None, lambda turns: closed(turns, cut_off, begun))
    return copy_no


def _made(connection: Connection, session_no: int) -> tuple[set[str], set[str]]:
    """Return the ids of the calls that the session's runs have begun, and of those that have no result."""
    place = {"of_session": session_no}
    begun = {row.call_id for row in connection.execute(sql.CALLS, place)}
    return begun, {row.call_id for row in connection.execute(sql.OPEN_CALLS, place)}


def read(connection: Connection, user_id: str, session_id: str) -> Session:
    """Return a session with all its turns. Only the calls that a run waits for have no results."""
    row = find(connection, user_id, session_id)
    history = connection.execute(sql.HISTORY, {"of_session": row.no}).all()
    session = session_of(user_id, session_id, (row.system_prompt, row.stack), history)
    last = connection.execute(listings.STATUS, {"user_id": user_id, "session_id": session_id}).one_or_none()

    begun: set[str] | None = None

    def missing(turn: Turn, call: ToolCall) -> Turn | None:
        nonlocal begun
        if last is None or last.status != "paused":  # it was interrupted
            if begun is None:
                begun = {one.call_id for one in connection.execute(sql.OPEN_CALLS, {"of_session": row.no})}
            return (unknown_result if call.id in begun else skipped_result)(turn, call)
        return denied_result(turn, call) if is_late(last) else None

    session.turns = paired(session.turns, missing, where_said=True)
    return session if last is None else told(session, last)


def opening(turns: Sequence[Turn], least: int) -> int | None:
    """Where a window of at least that many of these turns opens, as late as possible.

    It opens with what the user said to begin a run, so that helpers' turns stay with those of their callers, and
    behind all calls whose results are in it. None where that may be before these turns.
    """
    uncalled: list[str | None] = []  # the calls whose results are in the window, while they are not
    for index in range(len(turns) - 1, 0, -1):
        turn = turns[index]
        if turn.role == "tool":
            uncalled.append(turn.tool_call_id)
        for call in turn.tool_calls or ():
            if call.id in uncalled:
                uncalled.remove(call.id)
        if index <= len(turns) - least and not uncalled and _begins(turn, turns[index - 1]):
            return index
    return None


def _begins(turn: Turn, before: Turn) -> bool:
    """Whether a run began with this turn. What was imported may not tell of runs; then any user's words will do."""
    if turn.role != "user" or before.tool_calls:
        return False
    return turn.run_id is None or turn.run_id != before.run_id


def used(by: UsageBy, row: Row[Any]) -> UsageRow:
    """Return what a row of the usage tells."""
    key = str(datetime.fromtimestamp(row.key * 86400, UTC).date()) if by == "day" else row.key or ""
    counts = {name: getattr(row, name) for name in COUNTS}
    usage = Usage.summed(counts, estimated=bool(row.estimated))
    return UsageRow(key, row.calls, row.calls - row.priced, usage)


def hide(connection: Connection, user_id: str, run_id: str, name: str) -> None:
    """Note with a run that its user has taken a response of that name from view."""
    mine = (runs.c.user_id == user_id, runs.c.id == run_id)
    row = connection.execute(select(runs.c.no, runs.c.settings).where(*mine).with_for_update()).one_or_none()
    if row is None:
        raise SessionNotFound(f"there is no run {run_id!r}")
    settings = json.loads(row.settings or "{}")
    settings["hidden"] = sorted({*settings.get("hidden", ()), name})
    connection.execute(update(runs).where(runs.c.no == row.no).values(settings=to_json(settings)))


def preview(body: str | None) -> str:
    """Return the beginning of what a user said, in a line."""
    if body is None:
        return ""
    line = " ".join(text_of("user", body).split())
    return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"
