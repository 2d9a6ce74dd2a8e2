"""What a run reads and writes of its own row, its session and its ledger, in a transaction of its journal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from auwgent.errors import RunTaken
from auwgent.session import Session, now
from auwgent.store import plain
from auwgent.store import statements as sql
from auwgent.store.dialects import dialect_of
from auwgent.store.hold import End, Hold, Mark, Resumed
from auwgent.store.tables import micros, to_json

FRESH = 0.5  # seconds; a process that gives no sign of life is taken for dead after some seconds


def has_news(hold: Hold, session: Session, mark: Mark | None = None) -> bool:
    """Return whether there is anything to store: something new, or that this run still has its session.

    That was seen with what was stored a moment ago. It need not be looked for again before a model is asked: no process
    is taken for dead so soon, and before a tool begins there is always something to store. That a model is about to be
    asked is stored with what it answers.
    """
    if mark is not None or time.monotonic() - hold.passed > FRESH:
        return True
    if hold.usage != hold.told or head_of(session) != hold.head:
        return True
    if {**hold.noted, "llm_calls": 0} != {**hold.told_noted, "llm_calls": 0}:
        return True
    return any(turn.id not in hold.seats for turn in reversed(session.turns))


def head_of(session: Session) -> tuple[str, str]:
    """Return what a session's row says of it besides its turns."""
    return to_json(session.system_prompt), to_json(session.stack)


def resumed_of(run: Row[Any]) -> Resumed:
    progress = None if run.progress is None else json.loads(run.progress)
    return Resumed(json.loads(run.answers or "{}"), tuple(json.loads(run.pending or "[]")), progress)


def run_of(connection: Connection, hold: Hold) -> Row[Any] | None:
    """Return the row of the run, if it has one."""
    who = {"user_id": hold.user_id, "run_id": hold.run_id}
    return connection.execute(sql.RUN, who).one_or_none()


def history_of(connection: Connection, session_no: int, count: int | None) -> Sequence[Row[Any]]:
    """Return the session's turns in their order, or only that many of the newest."""
    if count is None:
        return connection.execute(sql.HISTORY, {"of_session": session_no}).all()
    return connection.execute(sql.NEWEST, {"of_session": session_no, "count": count}).all()[::-1]


def find_or_make(connection: Connection, hold: Hold) -> tuple[int, tuple[str, str], bool]:
    """Return the session's number and head, and whether it was made just now."""
    who = {"user_id": hold.user_id, "session_id": hold.session_id}
    row = connection.execute(sql.SESSION, who).one_or_none()
    is_new = row is None
    if row is None:
        values = sql.empty_session(hold.user_id, hold.session_id)
        row = connection.execute(sql.new_session(dialect_of(connection)), values).one_or_none()
    if row is None:  # another process was quicker
        is_new = False
        row = connection.execute(sql.SESSION, who).one()
    return row.no, (row.system_prompt, row.stack), is_new


def new_run(connection: Connection, hold: Hold, session_no: int, worker: int, status: str) -> int:
    time = micros(now())
    values = {
        "user_id": hold.user_id,
        "id": hold.run_id,
        "session_no": session_no,
        "status": status,
        "worker": worker,
        "made_at": time,
        "started_at": time if status == "running" else None,
        "asked": hold.asked,
        "input": hold.input,
        "settings": hold.settings,
    }
    number: int | None = connection.execute(sql.new_run(dialect_of(connection)), values).scalar()
    if number is None:
        raise RunTaken(f"run {hold.run_id!r} was begun by another process at this moment")
    return number


def enter(connection: Connection, hold: Hold, mark: Mark) -> None:
    at = micros(now())
    if mark.ends:
        plain.run(connection, sql.CALL_ENDS, {"of_run": hold.run_no, "call": mark.call_id, "time": at})
        return
    values = {
        "run_no": hold.run_no,
        "call_id": mark.call_id,
        "name": mark.name,
        "idempotent": mark.idempotent,
        "started_at": at,
    }
    plain.run(connection, sql.CALL_STARTS, values)


def write_end(connection: Connection, hold: Hold, end: End) -> None:
    if end.status == "paused":
        due = min((datetime.fromisoformat(call["expires"]) for call in end.pending), default=None)
        calls = {"calls": to_json(end.pending), "due": None if due is None else micros(due)}
        connection.execute(sql.RUN_PAUSES, {"of_run": hold.run_no, **calls})
        return
    reason = None if end.error is None else to_json(end.error)
    values = {"of_run": hold.run_no, "outcome": end.status, "time": micros(now()), "reason": reason}
    connection.execute(sql.RUN_ENDS, values)
