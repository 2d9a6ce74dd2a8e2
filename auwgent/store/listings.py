"""The statements of what is listed, counted and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Executable,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)

from auwgent.store.base import UsageBy
from auwgent.store.statements import CLOCK, DAY, LIVING, OWN, RUN_IDS, summed
from auwgent.store.tables import COUNTS, calls, runs, sessions, turns, workers

BY_USE = (sessions.c.updated_at.desc(), sessions.c.no.desc())  # the last used first
DAYS = turns.c.created_at // DAY
LAST_RUN = select(
    *(runs.c[name] for name in ("status", "due_at", "worker", "queue")),
    workers.c.place,
    workers.c.seen_at,
    CLOCK.label("time"),
)
STATUS = (
    LAST_RUN.add_columns(runs.c.pending, runs.c.answers)
    .join_from(sessions, runs, runs.c.no == sessions.c.run_no)
    .join(workers, workers.c.no == runs.c.worker, isouter=True)
    .where(OWN)
)
NEWEST_SESSIONS = select(sessions.c.no).where(sessions.c.user_id == bindparam("user_id")).order_by(*BY_USE)
NEW_ID = update(sessions).where(sessions.c.no == bindparam("of_session")).values(id=bindparam("new_id"))


def listing(user_id: str, limit: int | None, since: int | None) -> Select[Any]:
    """Return a user's sessions that something was said in, with what their last runs are like."""
    own = turns.c.session_no == sessions.c.no
    count = select(func.count()).where(own).correlate(sessions).scalar_subquery()
    said = select(turns.c.body).where(own, turns.c.role == "user").order_by(turns.c.seat).limit(1)
    return (
        LAST_RUN.add_columns(
            sessions.c.id,
            sessions.c.created_at,
            sessions.c.updated_at,
            sessions.c.forked_from,
            count.label("turns"),
            said.correlate(sessions).scalar_subquery().label("said"),
        )
        .join_from(sessions, runs, runs.c.no == sessions.c.run_no, isouter=True)
        .join(workers, workers.c.no == runs.c.worker, isouter=True)
        .where(sessions.c.user_id == user_id, exists().where(own))
        .where(true() if since is None else sessions.c.updated_at >= since)
        .order_by(*BY_USE)
        .limit(limit)
    )


def listed_runs(user_id: str | None, statuses: Sequence[str], session_id: str | None) -> Select[Any]:
    """A user's runs, or those of all, the newest first; without `statuses` all of them."""
    told = (
        runs.c[name]
        for name in (
            "no",
            "id",
            "user_id",
            "leg",
            "attempt",
            "settings",
            "pending",
            "answers",
            "usage",
            "error",
            "asked",
        )
    )
    times = (runs.c[name] for name in ("made_at", "started_at", "ended_at"))
    return (
        LAST_RUN.add_columns(*told, *times, sessions.c.id.label("session_id"))
        .join_from(runs, sessions, sessions.c.no == runs.c.session_no, isouter=True)
        .join(workers, workers.c.no == runs.c.worker, isouter=True)
        .where(true() if user_id is None else runs.c.user_id == user_id)
        .where(runs.c.status.in_(statuses) if statuses else true())
        .where(true() if session_id is None else sessions.c.id == session_id)
        .order_by(runs.c.no.desc())
    )


def usage(by: UsageBy, user_id: str | None, since: int | None, model: str | None) -> Select[Any]:
    """Return what was used by runs of this store, the most tokens first."""
    key = {"model": turns.c.model, "agent": turns.c.agent, "session": sessions.c.id, "day": DAYS}[by]
    return (
        select(
            key.label("key"),
            func.count().label("calls"),
            func.count(turns.c.usd).label("priced"),
            *(summed(turns.c[name]).label(name) for name in COUNTS),
            func.max(turns.c.estimated).label("estimated"),
        )
        .join_from(turns, sessions, turns.c.session_no == sessions.c.no)
        # What was copied here by fork or import was used elsewhere: it has no run.
        .where(turns.c.input_tokens.is_not(None), turns.c.run_no.is_not(None))
        .where(true() if user_id is None else sessions.c.user_id == user_id)
        .where(true() if since is None else turns.c.created_at >= since)
        .where(true() if model is None else turns.c.model == model)
        .group_by(key)
        .order_by(summed(turns.c.input_tokens + turns.c.output_tokens).desc())
    )


def unused(user_id: str | None, before: int | None, keep: int | None, time: int) -> Select[Any]:
    """Return number, user and id of sessions not used since `before`, or beyond the last `keep`, that no run holds.

    Runs that wait for answers hold theirs, unless it is too late for these at that `time`.
    """
    place = func.row_number().over(partition_by=sessions.c.user_id, order_by=sessions.c.updated_at.desc())
    ranked = select(
        sessions.c.no, sessions.c.user_id, sessions.c.id, sessions.c.updated_at, place.label("place")
    ).subquery()
    is_old = false() if before is None else ranked.c.updated_at < before
    is_beyond = false() if keep is None else ranked.c.place > keep
    waits = and_(runs.c.status == "paused", or_(runs.c.due_at.is_(None), runs.c.due_at > time))
    held = exists().where(runs.c.session_no == ranked.c.no, or_(runs.c.status.in_(LIVING), waits))
    found = select(ranked.c.no, ranked.c.user_id, ranked.c.id).where(or_(is_old, is_beyond), ~held)
    return found if user_id is None else found.where(ranked.c.user_id == user_id)


# What goes with a session: all but the ids of its runs, which are kept for a while so that none is done again.
WORDLESS = dict.fromkeys(("input", "settings", "pending", "answers", "progress", "error"))


def removal(session_nos: Any, time: int) -> Sequence[Executable]:
    """The statements that delete sessions, given by their numbers or a select of them, and the ids of old runs."""
    of_them = runs.c.session_no.in_(session_nos)
    return (
        delete(calls).where(calls.c.run_no.in_(select(runs.c.no).where(of_them))),
        # Nothing waits for an answer any more.
        update(runs)
        .where(of_them, runs.c.status == "paused")
        .values(status="cancelled", ended_at=func.coalesce(runs.c.ended_at, time)),
        update(runs).where(of_them).values(**WORDLESS),
        delete(sessions).where(sessions.c.no.in_(session_nos)),
        delete(runs).where(runs.c.session_no.is_(None), runs.c.made_at < time - RUN_IDS),
    )
