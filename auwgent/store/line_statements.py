"""The statements of the line: what waits in a session, of a user, of all, and what an engine was told of."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, func, or_, select, update

from auwgent.store import listings
from auwgent.store import statements as sql
from auwgent.store.tables import runs, sessions

earlier = runs.alias("earlier")
_BLOCKED = (
    select(earlier.c.no)
    .where(
        earlier.c.session_no == runs.c.session_no,
        earlier.c.no < runs.c.no,
        earlier.c.no >= func.coalesce(sessions.c.run_no, 0),
        earlier.c.status.in_(sql.HOLDING),
        or_(earlier.c.status != "queued", earlier.c.due_at.is_(None)),
    )
    .correlate(runs, sessions)
    .exists()
)
UNHANDED = and_(
    runs.c.status == "queued",
    runs.c.job.is_(None),
    runs.c.queue.is_not(None),
    runs.c.worker.is_(None),
    runs.c.due_at.is_(None),
)
NEXT = ("no", "queue", "priority", "starts", "user_id", "session_no")
# The first of the line of a session, if nobody has it yet.
HEAD = (
    select(*(runs.c[name] for name in NEXT))
    .join_from(runs, sessions, sessions.c.no == runs.c.session_no)
    .where(runs.c.session_no == bindparam("of_session"), UNHANDED, ~_BLOCKED)
    .order_by(runs.c.no)
    .limit(1)
)
# Of a user: those that are first in their sessions.
HEADS = (
    select(*(runs.c[name] for name in NEXT))
    .join_from(runs, sessions, sessions.c.no == runs.c.session_no)
    .where(runs.c.user_id == bindparam("of_user"), UNHANDED, ~_BLOCKED)
    .order_by(runs.c.priority.desc(), runs.c.no)
    .limit(bindparam("room"))
    .with_for_update(of=runs, skip_locked=True)
)
HANDED = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"), UNHANDED)
    .values(job=bindparam("word"))
    .returning(runs.c.no)
)
OF_USER = and_(runs.c.user_id == bindparam("of_user"), runs.c.job.is_not(None))
IN_HAND = select(func.count()).where(OF_USER, runs.c.status.in_(sql.LIVING))
AHEAD_OF_WORK = select(func.count()).where(OF_USER, runs.c.status == "queued")
USERS = select(runs.c.user_id).distinct().where(UNHANDED)
LOST = (
    update(runs)
    .where(runs.c.job == bindparam("word"), runs.c.status == "queued", runs.c.worker.is_(None))
    .values(job=None)
)
WAITING = select(func.count()).where(
    runs.c.status == "queued", runs.c.ended_at.is_(None), runs.c.queue.is_not(None)
)
OLDEST = select(func.count(), func.min(runs.c.made_at)).where(
    runs.c.status == "queued", runs.c.ended_at.is_(None), runs.c.queue.is_not(None), runs.c.due_at.is_(None)
)
DUE = (
    select(runs.c.no, runs.c.session_no, runs.c.status)
    .where(
        runs.c.ended_at.is_(None),
        runs.c.status.in_(("queued", "paused")),
        runs.c.due_at <= sql.CLOCK,
    )
    .order_by(runs.c.session_no, runs.c.due_at, runs.c.no)
    .limit(200)
)
TAKEN = (
    listings.listed_runs(None, (), None)
    .add_columns(runs.c.input, runs.c.session_no, runs.c.job)
    .where(
        runs.c.no.in_(bindparam("numbers", expanding=True)),
        runs.c.job.in_(bindparam("words", expanding=True)),
    )
)
JOBS = select(runs.c.job).where(runs.c.status == "queued", runs.c.job.is_not(None), runs.c.worker.is_(None))
