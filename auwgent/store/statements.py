"""The statements of the journal, made once: SQLAlchemy then compiles each one once, too."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Float,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from auwgent.session import now
from auwgent.store.dialects import DatabaseClock, Dialect
from auwgent.store.tables import COUNTS, TURN_COLUMNS, calls, micros, runs, sessions, to_json, turns, workers

LIVING = ("queued", "running")  # what a process has in its hands, or will have
HOLDING = (*LIVING, "paused")  # what new input has to heed
# By how a run is seen to stand: how that may be written down.
SEEN_AS = {
    **dict.fromkeys((*LIVING, "interrupted"), (*LIVING, "interrupted")),
    "paused": ("paused",),
    "cancelled": ("cancelled", "paused"),
}
ENDLESS = 2**62  # above every run's number
LEASE, DAY = 4_000_000, 86_400_000_000  # microseconds
RUN_IDS = 30 * DAY  # for how long they outlive their session

CLOCK = DatabaseClock()


def summed(counts: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum of counts. SQLite refuses one of whole numbers beyond 64 bits."""
    return func.sum(cast(counts, Float))


# Processes.

NEW_WORKER = insert(workers).values(beat=0, seen_at=CLOCK).returning(workers.c.no)
UNDER_WAY = and_(runs.c.status.in_(LIVING), runs.c.ended_at.is_(None))  # by an index
AT_WORK = exists().where(UNDER_WAY, runs.c.worker == workers.c.no)
# Those that ended without a word go with it. One that is alive and idle comes back with its next run.
WORKER_ENDS = delete(workers).where(
    or_(workers.c.no == bindparam("of_worker"), and_(workers.c.seen_at < CLOCK - DAY, ~AT_WORK))
)
# Which may be dead, for who looks closer: a clock that was set may say so of the living.
SILENT = or_(workers.c.seen_at < CLOCK - LEASE, workers.c.seen_at > CLOCK + LEASE)
SUSPECTS = (
    select(runs.c.worker, workers.c.place, workers.c.beat)
    .distinct()
    .join_from(runs, workers, workers.c.no == runs.c.worker, isouter=True)
    .where(UNDER_WAY, runs.c.worker.is_not(None), or_(workers.c.no.is_(None), SILENT))
)
AT_WORKS = (
    select(runs.c.worker, workers.c.place, workers.c.beat)
    .distinct()
    .join_from(runs, workers, workers.c.no == runs.c.worker, isouter=True)
    .where(UNDER_WAY, runs.c.worker.is_not(None))
)
# What somebody wanted to end anyway does not go on. A queued run waits for another worker, at its old place.
GOES_ON = and_(runs.c.queue.is_not(None), runs.c.cancel_at.is_(None))
DIED = {
    "status": case((GOES_ON, "queued"), (runs.c.cancel_at.is_not(None), "cancelled"), else_="interrupted"),
    "ended_at": case((GOES_ON, null()), else_=bindparam("time")),
    "worker": case((GOES_ON, null()), else_=runs.c.worker),
    "starts": runs.c.starts + case((and_(GOES_ON, runs.c.status == "running"), 1), else_=0),
    "job": None,
}
ITS_RUNS_DIED = update(runs).where(UNDER_WAY, runs.c.worker == bindparam("of_worker")).values(**DIED)
RUN_DROPPED = (
    update(runs)
    .where(
        runs.c.user_id == bindparam("of_user"),
        runs.c.id == bindparam("run_id"),
        runs.c.worker == bindparam("of_worker"),
        runs.c.status.in_(LIVING),
    )
    .values(**DIED)
)

# Those of a process that somebody wants to end.
UNWANTED = select(runs.c.user_id, runs.c.id).where(
    UNDER_WAY, runs.c.worker == bindparam("of_worker"), runs.c.cancel_at.is_not(None)
)


def beats(dialect: Dialect) -> Executable:
    """Move a process's beat. One that was taken for dead meanwhile is there again."""
    return (
        dialect.insert(workers)
        .values(
            no=bindparam("of_worker"),
            place=bindparam("where"),
            takes=bindparam("takes"),
            beat=0,
            seen_at=CLOCK,
        )
        .on_conflict_do_update(index_elements=["no"], set_={"beat": workers.c.beat + 1, "seen_at": CLOCK})
    )


# A session, and the queue of its runs.

HEAD = (sessions.c.no, sessions.c.system_prompt, sessions.c.stack)
OWN = and_(sessions.c.user_id == bindparam("user_id"), sessions.c.id == bindparam("session_id"))
SESSION = select(*HEAD).where(OWN).with_for_update()
# A run that gets a session has buried all before it: nobody older than the last one that got it can be living.
HOLDER = select(sessions.c.run_no).where(sessions.c.no == bindparam("of_session")).scalar_subquery()
WAITING = ("id", "session_no", "status", "pending", "answers", "due_at", "queue")
# A queued run that may not begin yet is in no line.
IN_LINE = or_(runs.c.status != "queued", runs.c.due_at.is_(None))
AHEAD = (
    select(
        runs.c.no,
        runs.c.worker,
        workers.c.place,
        workers.c.beat,
        *(runs.c[name] for name in WAITING),
    )
    .join_from(runs, workers, workers.c.no == runs.c.worker, isouter=True)
    .where(
        runs.c.session_no == bindparam("of_session"),
        runs.c.no >= func.coalesce(HOLDER, 0),
        runs.c.no < bindparam("before_no"),
        runs.c.status.in_(HOLDING),
        IN_LINE,
    )
)
OWNER = select(sessions.c.user_id).where(sessions.c.no == bindparam("of_session"))
HELD = (
    select(runs.c.no).where(runs.c.session_no == bindparam("of_session"), runs.c.status.in_(LIVING)).limit(1)
)
RUN = (
    select(runs, workers.c.place, workers.c.beat)
    .join_from(runs, workers, workers.c.no == runs.c.worker, isouter=True)
    .where(runs.c.user_id == bindparam("user_id"), runs.c.id == bindparam("run_id"))
)
RUN_FORGOTTEN = delete(runs).where(runs.c.no == bindparam("of_run"))
RUN_STARTS = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"))
    .values(
        status="running",
        worker=bindparam("of_worker"),
        attempt=bindparam("of_attempt"),
        leg=bindparam("of_leg"),
        queue=bindparam("its_queue"),
        due_at=None,
        started_at=func.coalesce(runs.c.started_at, bindparam("time")),
        ended_at=None,
    )
)
RUN_DIED = update(runs).where(runs.c.no == bindparam("of_run"), runs.c.status.in_(LIVING)).values(**DIED)
TAKE = (
    update(sessions)
    .where(sessions.c.no == bindparam("of_session"))
    .values(run_no=bindparam("of_run"), updated_at=bindparam("time"))
)

# What a run reads.

LET_GO = update(sessions).where(sessions.c.no == bindparam("of_session")).values(run_no=None)
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
    *(summed(turns.c[name]) for name in COUNTS),
    func.max(turns.c.estimated),
).where(turns.c.session_no == bindparam("of_session"), turns.c.seat <= bindparam("last_seat"))
CALLS = (
    select(calls.c.call_id, calls.c.name, calls.c.idempotent)
    .join_from(calls, runs, calls.c.run_no == runs.c.no)
    .where(runs.c.session_no == bindparam("of_session"))
    .order_by(calls.c.no)
)
OPEN_CALLS = CALLS.where(calls.c.ended_at.is_(None))

# What a run writes.

FENCE = (
    select(sessions.c.no)
    .join_from(sessions, runs, runs.c.no == sessions.c.run_no)
    .where(
        sessions.c.no == bindparam("of_session"),
        runs.c.no == bindparam("of_run"),
        runs.c.attempt == bindparam("of_attempt"),
    )
    .with_for_update(of=sessions)
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
RUN_SAID = update(runs).where(runs.c.no == bindparam("of_run")).values(input=bindparam("said"))
RUN_USED = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"))
    .values(usage=bindparam("used"), progress=bindparam("made"))
)
RUN_GOT_ON = update(runs).where(runs.c.no == bindparam("of_run")).values(starts=0)
# One that was taken for dead and not replaced may be interrupted.
RUN_ENDS = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"), runs.c.status.in_((*LIVING, "interrupted")))
    .values(status=bindparam("outcome"), ended_at=bindparam("time"), error=bindparam("reason"), job=None)
)
RUN_PAUSES = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"), runs.c.status.in_((*LIVING, "interrupted")))
    .values(
        status="paused",
        worker=None,
        job=None,
        ended_at=None,
        pending=bindparam("calls"),
        due_at=bindparam("due"),
    )
)
# Of a run that waits, when it is asked about from outside.
OWN_RUN = and_(runs.c.user_id == bindparam("user_id"), runs.c.id == bindparam("run_id"))
TO_ANSWER = select(runs).where(OWN_RUN).with_for_update()
RUN_ANSWERED = update(runs).where(runs.c.no == bindparam("of_run")).values(answers=bindparam("given"))
PAUSED = (
    select(runs)
    .join_from(sessions, runs, runs.c.no == sessions.c.run_no)
    .where(sessions.c.no == bindparam("of_session"), runs.c.status == "paused")
)

RUN_UNWANTED = (
    update(runs)
    .where(
        runs.c.user_id == bindparam("of_user"),
        runs.c.id == bindparam("run_id"),
        runs.c.status.in_((*HOLDING, "interrupted")),
    )
    .values(cancel_at=func.coalesce(runs.c.cancel_at, bindparam("time")))
)
# One that nobody carries out. Who comes back late to it finds another attempt, and writes nothing.
RUN_CANCELLED = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"))
    .values(
        status="cancelled",
        attempt=runs.c.attempt + 1,
        ended_at=bindparam("time"),
        job=None,
        pending=None,
        answers=None,
        progress=None,
    )
)


def new_run(dialect: Dialect) -> Executable:
    """Insert a run, unless another process has just begun one of this id."""
    return dialect.insert(runs).values(leg=1, attempt=1).on_conflict_do_nothing().returning(runs.c.no)


def empty_session(user_id: str, session_id: str) -> dict[str, Any]:
    """Return the row of a session that nothing was said in yet."""
    time = micros(now())
    return {
        "user_id": user_id,
        "id": session_id,
        "created_at": time,
        "updated_at": time,
        "system_prompt": to_json(""),
        "stack": to_json([]),
    }


def new_session(dialect: Dialect) -> Executable:
    """Insert a session, unless another run has just done so."""
    return dialect.insert(sessions).on_conflict_do_nothing().returning(*HEAD)


@cache
def new_turns(dialect: Dialect) -> Executable:
    """Insert turns. A commit whose answer got lost is made again: they may be there already."""
    return dialect.insert(turns).on_conflict_do_nothing()


# What is asked outside of runs.
