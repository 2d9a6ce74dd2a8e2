"""Runs that wait for answers: how they are answered, and closed where nobody goes on with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, update

from auwgent.errors import RunConflict, SessionNotFound
from auwgent.pairing import denied_result, paired
from auwgent.questions import Question, new_answers, unanswered
from auwgent.session import ToolCall, Turn, now
from auwgent.store import statements as sql
from auwgent.store.tables import micros, runs, seated, to_json, turn_row, turns, turns_of

TOO_LATE = {"message": "the questions of this run were not answered in time", "kind": "expired"}
Result = Callable[[Turn, ToolCall], Turn]


def waits_for(run: Row[Any]) -> list[Question]:
    """Return the calls that a paused run still waits for."""
    return unanswered(json.loads(run.pending or "[]"), json.loads(run.answers or "{}"))


def is_late(run: Row[Any]) -> bool:
    """Return whether it is too late to answer a paused run."""
    return run.due_at is not None and micros(now()) >= run.due_at


def answer(connection: Connection, user_id: str, run_id: str, given: Mapping[str, Any]) -> bool:
    """Write down answers; False where it is too late, and the run was closed for that.

    `ConfigError` where one does not fit, `RunConflict` where there is another one.
    """
    run = connection.execute(sql.TO_ANSWER, {"user_id": user_id, "run_id": run_id}).one_or_none()
    if run is None:
        raise SessionNotFound(f"there is no run {run_id!r}" + (f" of user {user_id!r}" if user_id else ""))
    if run.status == "paused" and is_late(run):
        expire(connection, run)
        return False
    known = json.loads(run.answers or "{}")
    if run.status != "paused" and not given.keys() <= known.keys():
        if run.error is not None and json.loads(run.error) == TOO_LATE:
            return False
        raise RunConflict(f"run {run_id!r} is {run.status}, and waits for no answers", code="not_paused")
    new = new_answers(run_id, json.loads(run.pending or "[]"), known, given)
    if new:
        values = {"of_run": run.no, "given": to_json({**known, **new})}
        connection.execute(sql.RUN_ANSWERED, values)
    return True


def late(run_id: str) -> RunConflict:
    """Return the error for an answer that came too late."""
    return RunConflict(f"it is too late to answer run {run_id!r}: {TOO_LATE['message']}", code="expired")


def expire(connection: Connection, run: Row[Any]) -> None:
    """End a paused run that nobody answered: it is cancelled, and its open calls are denied."""
    close_calls(connection, run.session_no, run.no, lambda turns: denied_result)
    ended = {"status": "cancelled", "ended_at": micros(now()), "due_at": None, "error": to_json(TOO_LATE)}
    connection.execute(update(runs).where(runs.c.no == run.no).values(**ended))


def close_calls(
    connection: Connection, session_no: int, run_no: int | None, result: Callable[[Sequence[Turn]], Result]
) -> None:
    """Store a result for each call of a session that has none; `result` is given the session's turns."""
    rows: Sequence[Row[Any]] = connection.execute(sql.HISTORY, {"of_session": session_no}).all()
    seats = {row.id: row.seat for row in rows}
    found = turns_of(rows)
    whole = paired(found, result(found), where_said=True)
    new = seated(whole, seats, max(seats.values(), default=0.0))
    if new:
        connection.execute(insert(turns), [turn_row(turn, seat, session_no, run_no) for turn, seat in new])
