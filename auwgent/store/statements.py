"""The statements of the journal, made once: SQLAlchemy then compiles each one once, too."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Executable, and_, bindparam, func, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from auwgent.store.side import insert_by
from auwgent.store.tables import COUNTS, TURN_COLUMNS, calls, runs, sessions, turns

LEASE = 4_000_000  # microseconds without a beat after which a run is dead
LIVING = ("waiting", "running")
ENDLESS = 2**62  # above every run's number


class Clock(FunctionElement[int]):
    """The database's own clock in microseconds: the one clock that all processes share."""

    type = BigInteger()
    inherit_cache = True


@compiles(Clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


@compiles(Clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


CLOCK = Clock()

# A session, and the queue of its runs.

SESSION = (
    select(sessions.c.no, sessions.c.system_prompt, sessions.c.stack)
    .where(sessions.c.user_id == bindparam("user_id"), sessions.c.id == bindparam("session_id"))
    .with_for_update()
)
HEAD = (sessions.c.no, sessions.c.system_prompt, sessions.c.stack)
# A beat from the future is dead too: the clock was put back.
BEATS_NOW = and_(runs.c.beat > CLOCK - LEASE, runs.c.beat < CLOCK + LEASE)
ALIVE = and_(runs.c.status.in_(LIVING), BEATS_NOW)
# A run that gets a session has buried all before it: nobody older than the last one that got it can be living.
HOLDER = select(sessions.c.run_no).where(sessions.c.no == bindparam("of_session")).scalar_subquery()
AHEAD = select(runs.c.no, BEATS_NOW.label("is_alive")).where(
    runs.c.session_no == bindparam("of_session"),
    runs.c.no >= func.coalesce(HOLDER, 0),
    runs.c.no < bindparam("before_no"),
    runs.c.status.in_(LIVING),
)
IS_WAITING = select(runs.c.no).where(runs.c.no == bindparam("of_run"), runs.c.status == "waiting")
NEW_RUN = insert(runs).values(beat=CLOCK).returning(runs.c.no)
RUN_STARTS = update(runs).where(runs.c.no == bindparam("of_run")).values(status="running", beat=CLOCK)
RUN_DIED = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"), runs.c.status.in_(LIVING))
    .values(status="interrupted", ended_at=runs.c.beat)
)
TAKE = (
    update(sessions)
    .where(sessions.c.no == bindparam("of_session"))
    .values(run_no=bindparam("of_run"), updated_at=bindparam("time"))
)
BEATS = (
    update(runs)
    .where(runs.c.no.in_(bindparam("of_runs", expanding=True)), runs.c.status.in_(LIVING))
    .values(beat=CLOCK)
)

# What a run reads.

OF_SESSION = (
    select(*TURN_COLUMNS)
    .join_from(turns, runs, turns.c.run_no == runs.c.no, isouter=True)
    .where(turns.c.session_no == bindparam("of_session"))
)
HISTORY = OF_SESSION.order_by(turns.c.seat, turns.c.no)
NEWEST = OF_SESSION.order_by(turns.c.seat.desc(), turns.c.no.desc()).limit(bindparam("count"))
UNREAD = select(
    func.count(turns.c.input_tokens),
    func.count(turns.c.usd),
    *(func.sum(turns.c[name]) for name in COUNTS),
    func.max(turns.c.estimated),
).where(turns.c.session_no == bindparam("of_session"), turns.c.seat <= bindparam("last_seat"))
OPEN_CALLS = (
    select(calls.c.call_id, calls.c.name, calls.c.idempotent)
    .join_from(calls, runs, calls.c.run_no == runs.c.no)
    .where(runs.c.session_no == bindparam("of_session"), calls.c.ended_at.is_(None))
    .order_by(calls.c.no)
)

# What a run writes.

FENCE = (
    select(sessions.c.no)
    .where(sessions.c.no == bindparam("of_session"), sessions.c.run_no == bindparam("of_run"))
    .with_for_update()
)
NEW_HEAD = (
    update(sessions)
    .where(sessions.c.no == bindparam("of_session"))
    .values(updated_at=bindparam("time"), system_prompt=bindparam("prompt"), stack=bindparam("names"))
)
CALL_STARTS = insert(calls)
CALL_ENDS = (
    update(calls)
    .where(
        calls.c.run_no == bindparam("of_run"),
        calls.c.call_id == bindparam("call"),
        calls.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("time"))
)
RUN_ENDS = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"), runs.c.status.in_(LIVING))
    .values(status=bindparam("outcome"), ended_at=bindparam("time"), error=bindparam("reason"))
)


@cache
def new_session(dialect: str) -> Executable:
    """Insert a session, unless another run has just done so."""
    return insert_by(dialect, sessions).on_conflict_do_nothing().returning(*HEAD)


@cache
def new_turns(dialect: str) -> Executable:
    """Insert turns. A commit whose answer got lost is made again: they may be there already."""
    return insert_by(dialect, turns).on_conflict_do_nothing()
