"""Ends runs that nobody carries out: paused ones, and those whose process died."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, select

from auwgent.pairing import closed
from auwgent.session import now
from auwgent.store import statements as sql
from auwgent.store.base import OVER
from auwgent.store.pauses import close_calls
from auwgent.store.tables import micros, sessions


def want_ended(connection: Connection, user_id: str, run_id: str) -> None:
    """Write down that a run is to end, where it is not over; its process looks for that at each beat."""
    who = {"of_user": user_id, "run_id": run_id, "time": micros(now())}
    connection.execute(sql.RUN_UNWANTED, who)


def cancel(
    connection: Connection, user_id: str, run_id: str, lives: Callable[[Row[Any]], bool]
) -> int | None:
    """Make a run `cancelled` that nobody carries out. Its open calls get results: what had begun is `unknown`.

    `lives` tells whether the process of a run does. Gives the number of the session that is free then, if there is one.
    """
    who = {"user_id": user_id, "run_id": run_id}
    session_no = connection.execute(sql.RUN, who).one().session_no
    connection.execute(select(sessions.c.no).where(sessions.c.no == session_no).with_for_update())
    run = connection.execute(sql.RUN, who).one()
    is_held = run.status in sql.LIVING and run.worker is not None and lives(run)
    if is_held or run.status in OVER:
        return None
    if run.session_no is not None:
        cut_off = set[str]()
        if run.status != "paused":  # else what had begun was over, but for helpers that wait themselves
            place = {"of_session": run.session_no}
            cut_off = {row.call_id for row in connection.execute(sql.OPEN_CALLS, place)}
        close_calls(connection, run.session_no, run.no, lambda turns: closed(turns, cut_off))
    connection.execute(sql.RUN_CANCELLED, {"of_run": run.no, "time": micros(now())})
    number: int | None = run.session_no
    return number
