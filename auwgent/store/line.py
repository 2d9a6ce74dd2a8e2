"""The line of a session: runs that are queued, which of them the engine is told of, and what becomes of those it lost.

A queued run is a row. It has its place by its number. Only the first of a session's line may be given to the engine,
in the transaction that made it the first: who submits it, who ends the one before, or who looks after the line.
`job` is what the engine knows it by. Each time it is told of a run that is another word, and who takes the run must
know it, so that what an engine does twice, late or never does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Connection as Connection
from sqlalchemy import Row, func, insert, select, update

from auwgent.errors import RunConflict, SessionNotFound
from auwgent.pairing import unknown_result
from auwgent.session import new_id, now
from auwgent.store import pauses
from auwgent.store import statements as sql
from auwgent.store.base import RunInfo
from auwgent.store.dialects import dialect_of, lock
from auwgent.store.history import run_of
from auwgent.store.line_statements import (
    AHEAD_OF_WORK,
    DUE,
    HANDED,
    HEAD,
    HEADS,
    IN_HAND,
    JOBS,
    LOST,
    OLDEST,
    TAKEN,
    USERS,
)
from auwgent.store.pauses import close_calls
from auwgent.store.tables import micros, moment, runs, schedules, sessions, to_json, workers

JOURNAL = 1  # the version of what a run writes: older programs do not go on with it
LOOKOUTS = 2  # workers that look after the queue
AHEAD = 100  # runs of one user that an engine is told of before they begin
TRIES = 100  # runs that are looked at to find the next one of a user
DEAD = "its process died {count} times without a new turn between; `auwgent runs retry` tries again"


@dataclass(frozen=True, slots=True)
class Job:
    """What an engine is told of a run: a word for it, which workers may take it, and what comes first."""

    id: str
    queue: str
    priority: int  # a larger one comes first


class Hand(Protocol):
    """Tells an engine of jobs, in a transaction of the store's database."""

    def __call__(self, connection: Any, jobs: Sequence[Job], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Submission:
    """A run as it is submitted."""

    user_id: str
    session_id: str
    run_id: str
    queue: str
    asked: str
    input: str  # JSON
    settings: str  # JSON
    priority: int = 0
    due_at: int | None = None  # microseconds; None: now


class Line:
    """The lines of all sessions of a database, as one process works on them. Its methods are parts of transactions."""

    def __init__(self, hand: Hand, per_user: int | None = None, retries: int = 5) -> None:
        self._hand, self._per_user, self._retries = hand, per_user, retries

    def accept(self, connection: Connection, asked: Submission) -> bool:
        """Enter a run into the line of its session; False where there is one of that id already."""
        session_no, is_new = _session(connection, asked.user_id, asked.session_id)
        time = micros(now())
        values = {
            "user_id": asked.user_id,
            "id": asked.run_id,
            "session_no": session_no,
            "status": "queued",
            "made_at": time,
            "queue": asked.queue,
            "priority": asked.priority,
            "due_at": asked.due_at,
            "asked": asked.asked,
            "input": asked.input,
            "settings": asked.settings,
        }
        number = connection.execute(sql.new_run(dialect_of(connection)), values).scalar()
        if number is None or asked.due_at is not None:
            return number is not None
        self._count(connection, asked.user_id)
        if not is_new:
            self._give_first(connection, session_no)
        elif self._room(connection, asked.user_id):  # nobody else can be in the line of a new session
            self._hand(connection, _named(connection, number, asked.queue, asked.priority))
        return True

    def first_of(self, connection: Connection, session_no: int | None) -> bool:
        """Tell the engine of the first of a session's line, unless somebody has it or its user has enough."""
        if session_no is None:
            return False
        user = connection.execute(sql.OWNER, {"of_session": session_no}).scalar_one()
        self._count(connection, user)
        return self._give_first(connection, session_no)

    def began(self, connection: Connection, user_id: str) -> None:
        """A run of that user has begun: where they are not counted, the engine hears of another one that waits."""
        if self._per_user is None:
            self.next_of(connection, user_id)

    def ended(self, connection: Connection, session_no: int | None, user_id: str) -> None:
        """A run is over, or waits for answers: the next of its session, and else of its user, has its turn."""
        self._count(connection, user_id)
        given = session_no is not None and self._give_first(connection, session_no)
        if self._per_user is not None and not given:
            self.next_of(connection, user_id)

    def next_of(self, connection: Connection, user_id: str, most: int = 1) -> None:
        """Tell the engine of what waits for that user, as far as there is room."""
        self._count(connection, user_id)
        heads = connection.execute(HEADS, {"of_user": user_id, "room": most}).all()
        if heads:
            self._give(connection, heads, user_id)

    def goes_on(self, connection: Connection, user_id: str, run_id: str) -> bool:
        """Put a paused run whose calls are all answered back into the line, for its next leg; False where it is not."""
        run = _locked(connection, user_id, run_id)
        if run.status != "paused" or run.queue is None or pauses.waits_for(run) or pauses.is_late(run):
            return False
        values = {"status": "queued", "leg": run.leg + 1, "due_at": None, "job": None, "starts": 0}
        connection.execute(update(runs).where(runs.c.no == run.no).values(values))
        self.first_of(connection, run.session_no)
        return True

    def again(self, connection: Connection, user_id: str, run_id: str, queue: str) -> None:
        """Put the last run of a session, which failed or is dead, back into the line."""
        run = _locked(connection, user_id, run_id)
        last = select(func.max(runs.c.no)).where(runs.c.session_no == run.session_no)
        if run.status not in ("failed", "dead") or connection.execute(last).scalar() != run.no:
            raise RunConflict(
                f"run {run_id!r} is not the last one of its session that failed, or is dead",
                code="not_paused",
            )
        values = {
            "status": "queued",
            "starts": 0,
            "job": None,
            "worker": None,
            "ended_at": None,
            "error": None,
        }
        connection.execute(update(runs).where(runs.c.no == run.no).values(**values, queue=queue))
        self.first_of(connection, run.session_no)

    def _give_first(self, connection: Connection, session_no: int) -> bool:
        head = connection.execute(HEAD, {"of_session": session_no}).one_or_none()
        return head is not None and self._give(connection, [head], head.user_id)

    def _give(self, connection: Connection, heads: Sequence[Row[Any]], user_id: str) -> bool:
        """Tell the engine of these, as many as there is room for; True where it was told of any."""
        room = self._room(connection, user_id)
        jobs: list[Job] = []
        for head in heads:
            if head.starts > self._retries:
                self._dies(connection, head)
            elif len(jobs) < room:
                jobs += _named(connection, head.no, head.queue, head.priority)
        if jobs:
            self._hand(connection, jobs)
        return bool(jobs)

    def _room(self, connection: Connection, user_id: str) -> int:
        """Return how many more runs of that user the engine may be told of."""
        counted = AHEAD_OF_WORK if self._per_user is None else IN_HAND
        count: int = connection.execute(counted, {"of_user": user_id}).scalar_one()
        return max(0, (self._per_user or AHEAD) - count)

    def _count(self, connection: Connection, user_id: str) -> None:
        """Let nobody else count that user's runs before this transaction ends; before any row of them is locked."""
        if self._per_user is not None:
            lock(connection, _number(user_id))

    def _dies(self, connection: Connection, run: Row[Any]) -> None:
        """End a run that has killed its process again and again."""
        close_calls(connection, run.session_no, run.no, lambda turns: unknown_result)
        error = {"message": DEAD.format(count=run.starts), "kind": "dead"}
        values = {"status": "dead", "ended_at": micros(now()), "error": to_json(error), "job": None}
        connection.execute(update(runs).where(runs.c.no == run.no).values(values))
        self.ended(connection, run.session_no, run.user_id)

    # Looked after, by one of the workers

    def due(self, connection: Connection) -> int:
        """Let in those whose time has come, and end those that nobody answered in time; gives how many there were."""
        found = connection.execute(DUE).all()
        for number, session_no, _ in found:
            connection.execute(select(sessions.c.no).where(sessions.c.no == session_no).with_for_update())
            run = connection.execute(select(runs).where(runs.c.no == number).with_for_update()).one_or_none()
            if run is None or run.due_at is None:
                continue
            if run.status == "paused" and pauses.is_late(run):
                pauses.expire(connection, run)
                self.ended(connection, session_no, run.user_id)
            elif run.status == "queued":
                # Its place is that of the moment it is accepted, and numbers are places.
                values = {name: value for name, value in run._mapping.items() if name != "no"}
                connection.execute(runs.delete().where(runs.c.no == number))
                connection.execute(insert(runs).values({**values, "due_at": None}))
                self.first_of(connection, session_no)
        return len(found)

    def fails(self, connection: Connection, job: str, error: Mapping[str, str]) -> None:
        """End a run that could not begin at all."""
        run = _of_jobs(connection, [job]).get(job)
        if run is None or run.status != "queued" or run.worker is not None:
            return
        values = {"status": "failed", "ended_at": micros(now()), "error": to_json(dict(error)), "job": None}
        connection.execute(update(runs).where(runs.c.no == run.no).values(values))
        self.ended(connection, run.session_no, run.user_id)

    def is_first(self, connection: Connection, worker: int, lease: float) -> bool:
        """Return whether that worker is among those that look after the queue: the first that give signs of life."""
        first = select(workers.c.no).where(
            workers.c.takes.is_not(None), workers.c.seen_at > sql.CLOCK - round(lease * 1e6)
        )
        found = connection.execute(first.order_by(workers.c.no).limit(LOOKOUTS)).scalars().all()
        return worker in found

    def most_at_once(self, connection: Connection, own: int) -> int:
        """Return how many runs the largest of the workers carries out at once."""
        found = select(func.max(workers.c.takes)).where(workers.c.seen_at > sql.CLOCK - sql.DAY)
        return max(own, connection.execute(found).scalar() or 0)

    def seen_to(self, connection: Connection, name: str, at: datetime) -> datetime | None:
        """Note that a schedule was seen to up to then; gives up to when before, None where it is new."""
        new = dialect_of(connection).insert(schedules).values(name=name, seen_to=micros(at))
        if connection.execute(new.on_conflict_do_nothing().returning(schedules.c.name)).scalar() is not None:
            return None
        own = schedules.c.name == name
        before = connection.execute(select(schedules.c.seen_to).where(own).with_for_update()).scalar_one()
        if before < micros(at):
            connection.execute(update(schedules).where(own).values(seen_to=micros(at)))
        return moment(before)

    def is_under_way(self, connection: Connection, user_id: str, beginning: str) -> bool:
        """Return whether a run of that user is not over whose id begins so."""
        found = select(runs.c.no).where(
            runs.c.ended_at.is_(None),
            runs.c.status.in_(sql.HOLDING),
            runs.c.user_id == user_id,
            func.substr(runs.c.id, 1, len(beginning)) == beginning,
        )
        return connection.execute(found.limit(1)).first() is not None

    def users(self, connection: Connection) -> list[str]:
        """Return the users with runs that no engine was told of; `next_of` tells it of what was forgotten."""
        return list(connection.execute(USERS).scalars())

    def jobs(self, connection: Connection) -> list[str]:
        """Return what the engine was told of and nobody has begun."""
        return [str(job) for job in connection.execute(JOBS).scalars()]

    def lost(self, connection: Connection, jobs: Sequence[str]) -> None:
        """The engine has lost these: they are runs that it was not told of."""
        if jobs:
            connection.execute(LOST, [{"word": job} for job in jobs])


def queue_named(agent: str, profile: str | None, version: int | None = None) -> str:
    """Return the queue of runs of that agent and profile, as this program writes them, or as an older one does."""
    return "/".join(("auwgent", str(version or JOURNAL), quote(agent, ""), quote(profile or "", "")))


def written(queue: str | None) -> str | None:
    """Return the queue of a run that this program has gone on with: older ones do not read what it writes."""
    if queue is None:
        return None
    name, _, rest = queue.split("/", 2)
    return f"{name}/{JOURNAL}/{rest}"


def taken(connection: Connection, jobs: Collection[str]) -> dict[str, RunInfo]:
    """Return the runs that jobs are for; without those that are for none any more."""
    rows = _of_jobs(connection, jobs)
    return {job: run_of(row, row.input) for job, row in rows.items() if row.session_id is not None}


def _of_jobs(connection: Connection, jobs: Collection[str]) -> dict[str, Row[Any]]:
    numbers = [int(number) for number in (job.partition(".")[0] for job in jobs) if number.isdecimal()]
    found = connection.execute(TAKEN, {"numbers": numbers, "words": list(jobs)})
    return {row.job: row for row in found}


def waiting(connection: Connection) -> tuple[int, float]:
    """Return how many runs wait for a worker, and for how many seconds the oldest does."""
    count, since = connection.execute(OLDEST).one()
    return count, 0.0 if since is None else max(0.0, (micros(now()) - since) / 1e6)


def _locked(connection: Connection, user_id: str, run_id: str) -> Row[Any]:
    """Return a run, its session locked before it, as all do who write to both."""
    who = {"user_id": user_id, "run_id": run_id}
    found = connection.execute(sql.RUN, who).one_or_none()
    if found is None or found.session_no is None:
        raise SessionNotFound(f"there is no run {run_id!r}" + (f" of user {user_id!r}" if user_id else ""))
    connection.execute(select(sessions.c.no).where(sessions.c.no == found.session_no).with_for_update())
    return connection.execute(sql.TO_ANSWER, who).one()


def _named(connection: Connection, number: int, queue: str, priority: int) -> list[Job]:
    """Give a run a new word for the engine; none where somebody else has."""
    job = Job(f"{number}.{new_id()[:12]}", queue, priority)
    is_ours = connection.execute(HANDED, {"of_run": number, "word": job.id}).scalar() is not None
    return [job] if is_ours else []


def _session(connection: Connection, user_id: str, session_id: str) -> tuple[int, bool]:
    """Return the number of a session, locked, and whether it was made here because there was none."""
    who = {"user_id": user_id, "session_id": session_id}
    row, is_new = connection.execute(sql.SESSION, who).one_or_none(), False
    if row is None:
        new = sql.new_session(dialect_of(connection))
        row = connection.execute(new, sql.empty_session(user_id, session_id)).one_or_none()
        is_new = row is not None
    if row is None:  # another process has just made it
        row = connection.execute(sql.SESSION, who).one()
    return row.no, is_new


def _number(user_id: str) -> int:
    """Return the lock of a user: whose runs are counted under it."""
    digest = hashlib.sha256(b"auwgent user " + user_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
