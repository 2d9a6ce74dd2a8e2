"""The journal: what a run writes while it runs, each transaction under the fence of its session.

A run queues for its session in the table of runs: it may start when no live run of the session has a smaller
number. It then writes its number into the session, and each of its transactions begins by looking for that
number there; a run that was taken for dead and replaced finds another one, and cannot write. Runs show that
they are alive by a beat every second; one without a beat for `LEASE` is dead.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from auwgent.errors import SessionConflict
from auwgent.session import Session, Usage, now, paired
from auwgent.store import statements as sql
from auwgent.store.base import UsageRow
from auwgent.store.database import Database
from auwgent.store.heart import Heart
from auwgent.store.tables import COUNTS, check_ids, micros, seated, to_json, turn_row
from auwgent.store.transactions import copy_session, session_of
from auwgent.store.window import opening


@dataclass(eq=False, slots=True, weakref_slot=True)
class Hold:
    """A run's place in the queue of its session, and then its right to write to it."""

    user_id: str
    session_id: str
    run_id: str
    session_no: int = 0
    run_no: int = 0  # 0: not in the queue
    over: bool = False  # given up, or finished
    seats: dict[str, float] = field(default_factory=dict)  # of the turns that are stored, by their ids
    first_seat: float = 0.0  # of the last turn before those that were read
    last_seat: float = 0.0
    head: tuple[str, str] = ("", "")  # system prompt and stack, as they are stored
    lock: threading.Lock = field(default_factory=threading.Lock)  # one thread at a time speaks for the run

    @property
    def key(self) -> tuple[str, str]:
        """What names the session."""
        return self.user_id, self.session_id


@dataclass(frozen=True, slots=True)
class Mark:
    """A line for the ledger: a tool is about to run, or has ended."""

    ends: bool
    call_id: str
    name: str = ""
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    status: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A tool call that was under way when its run died."""

    call_id: str
    name: str
    idempotent: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run finds when it has got its session. `session` is None where there was none yet.

    `interrupted` is None where each call has its result; calls without a result that are not in it never began.
    """

    session: Session | None
    interrupted: tuple[Interrupted, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one try to get a session found. Without `history`, another run holds it."""

    session_no: int
    run_no: int
    head: tuple[str, str]
    is_new: bool = False
    history: Sequence[Row[Any]] | None = None


class Journal:
    """Writes runs to a database. Its methods block: they are jobs for the database's threads.

    With a `window` no more than about so many of the newest turns are read, so that a long session costs no more
    than a short one.
    """

    def __init__(self, database: Database, window: int | None = None) -> None:
        self._database = database
        self._window = window
        self._count = None if window is None else window + 1  # the one before tells whether a run began there
        self._heart = Heart(database)

    def claim(self, hold: Hold, *, queue: bool) -> Stored | None:
        """Try to get the session; None while another run holds it. The first try enters the `queue`."""
        with hold.lock:
            if hold.over or (
                hold.run_no and self._database.read(lambda connection: _must_wait(connection, hold))
            ):
                return None
            claim = self._database.write(lambda connection: _claim(connection, hold, queue, self._count))
            hold.session_no, hold.run_no, hold.head = claim.session_no, claim.run_no, claim.head
            if hold.run_no:
                self._heart.beats_for(hold)
            if claim.history is None:
                return None
            return Stored(None) if claim.is_new else self._stored(hold, claim.history)

    def append(self, hold: Hold, session: Session, mark: Mark | None = None) -> None:
        """Store what is new in the session. `SessionConflict` where another run has taken it over."""
        with hold.lock:
            self._append(hold, session, mark=mark)

    def finish(self, hold: Hold, session: Session, end: End) -> None:
        """Store what is new and how the run ended, and let go of the session."""
        with hold.lock:
            hold.over = True
            self._heart.stops_for(hold)
            self._append(hold, session, end=end)

    def give_up(self, hold: Hold) -> None:
        """Leave the queue, or let go of a session that nothing was done with."""
        with hold.lock:
            hold.over = True
            self._heart.stops_for(hold)
            if hold.run_no:
                self._database.write(lambda connection: _end(connection, hold, End("cancelled")))

    def fork(self, hold: Hold, new_id: str) -> None:
        """Copy the session that another run holds, as it was before, and queue for the copy instead."""
        with hold.lock:
            self._database.write(lambda connection: copy_session(connection, hold.session_no, new_id))
            hold.session_id = new_id

    def unread(self, hold: Hold) -> UsageRow:
        """What the turns before the window have used up."""
        place = {"of_session": hold.session_no, "last_seat": hold.first_seat}
        row = self._database.read(lambda connection: connection.execute(sql.UNREAD, place).one())
        count, priced, *counts, estimated = row
        *tokens, usd = counts
        used = dict(zip(COUNTS, (*(number or 0 for number in tokens), usd), strict=True))
        return UsageRow(hold.session_id, count, count - priced, Usage(**used, estimated=bool(estimated)))

    def close(self) -> None:
        """Stop showing that runs are alive. It is no job: a last sign of life may be one."""
        self._heart.close()

    def _append(
        self, hold: Hold, session: Session, *, mark: Mark | None = None, end: End | None = None
    ) -> None:
        new = seated(session.turns, hold.seats, hold.last_seat, hold.first_seat)
        rows = [turn_row(turn, seat, hold.session_no, hold.run_no, hold.run_id) for turn, seat in new]
        check_ids(hold.session_id, rows)
        head = to_json(session.system_prompt), to_json(session.stack)

        def work(connection: Connection) -> None:
            _pass_fence(connection, hold)
            if end or head != hold.head:
                values = {
                    "of_session": hold.session_no,
                    "time": micros(now()),
                    "prompt": head[0],
                    "names": head[1],
                }
                connection.execute(sql.NEW_HEAD, values)
            if rows:
                connection.execute(sql.new_turns(connection.dialect.name), rows)
            if mark:
                _enter(connection, hold, mark)
            if end:
                _end(connection, hold, end)

        self._database.write(work)
        hold.seats.update((turn.id, seat) for turn, seat in new)
        hold.last_seat = max([hold.last_seat, *(seat for _, seat in new)])
        hold.head = head

    def _stored(self, hold: Hold, history: Sequence[Row[Any]]) -> Stored:
        session, history = self._windowed(hold, history)
        hold.seats = {row.id: row.seat for row in history}
        hold.last_seat = max(hold.seats.values(), default=0.0)
        # Some models number their calls anew in each answer: before the window, an id may be that of another call.
        missing = {
            (turn.tool_call_id, turn.name)
            for turn in paired(session.turns, where_said=True)
            if turn.id not in hold.seats
        }
        if not missing:
            return Stored(session)
        place = {"of_session": hold.session_no}
        rows = self._database.read(lambda connection: connection.execute(sql.OPEN_CALLS, place).all())
        return Stored(
            session,
            tuple(
                Interrupted(call, name, bool(again)) for call, name, again in rows if (call, name) in missing
            ),
        )

    def _windowed(self, hold: Hold, history: Sequence[Row[Any]]) -> tuple[Session, Sequence[Row[Any]]]:
        """The session, and the rows of its turns, both as far as they are in the window."""
        while True:
            session = session_of(hold.user_id, hold.session_id, hold.head, history)
            if self._window is None or len(history) <= self._window:
                return session, history
            start = opening(session.turns, self._window)
            if start is not None:
                hold.first_seat = history[start - 1].seat
                session.turns = session.turns[start:]
                return session, history[start:]
            read = partial(_history, session_no=hold.session_no, count=2 * len(history))
            more = self._database.read(read)
            if len(more) == len(history):  # that is all there is
                return session, history
            history = more


def _must_wait(connection: Connection, hold: Hold) -> bool:
    """Whether a live run is ahead in the queue; not when this run was itself taken for dead there."""
    place = {"of_session": hold.session_no, "before_no": hold.run_no}
    is_waiting = connection.execute(sql.IS_WAITING, {"of_run": hold.run_no}).scalar() is not None
    return is_waiting and any(row.is_alive for row in connection.execute(sql.AHEAD, place))


def _claim(connection: Connection, hold: Hold, queue: bool, count: int | None) -> _Claim:
    session_no, head, is_new = _find_or_make(connection, hold)
    run_no = hold.run_no
    if run_no and connection.execute(sql.IS_WAITING, {"of_run": run_no}).scalar() is None:
        run_no = 0  # it was taken for dead: back to the end of the queue
    ahead = (
        []
        if is_new
        else connection.execute(
            sql.AHEAD, {"of_session": session_no, "before_no": run_no or sql.ENDLESS}
        ).all()
    )
    if any(run.is_alive for run in ahead):
        if queue and not run_no:
            run_no = _new_run(connection, hold, session_no, "waiting")
        return _Claim(session_no, run_no, head)
    for run in ahead:
        connection.execute(sql.RUN_DIED, {"of_run": run.no})
    if run_no:
        connection.execute(sql.RUN_STARTS, {"of_run": run_no})
    else:
        run_no = _new_run(connection, hold, session_no, "running")
    connection.execute(sql.TAKE, {"of_session": session_no, "of_run": run_no, "time": micros(now())})
    history = [] if is_new else _history(connection, session_no, count)
    return _Claim(session_no, run_no, head, is_new, history)


def _history(connection: Connection, session_no: int, count: int | None) -> Sequence[Row[Any]]:
    """The session's turns in their order, or the newest so many of them."""
    if count is None:
        return connection.execute(sql.HISTORY, {"of_session": session_no}).all()
    return connection.execute(sql.NEWEST, {"of_session": session_no, "count": count}).all()[::-1]


def _find_or_make(connection: Connection, hold: Hold) -> tuple[int, tuple[str, str], bool]:
    """The session's number and head, and whether it was made just now."""
    who = {"user_id": hold.user_id, "session_id": hold.session_id}
    row = connection.execute(sql.SESSION, who).one_or_none()
    is_new = row is None
    if row is None:
        time = micros(now())
        values = {
            "user_id": hold.user_id,
            "id": hold.session_id,
            "created_at": time,
            "updated_at": time,
            "system_prompt": to_json(""),
            "stack": to_json([]),
        }
        row = connection.execute(sql.new_session(connection.dialect.name), values).one_or_none()
    if row is None:  # another process was quicker
        is_new = False
        row = connection.execute(sql.SESSION, who).one()
    return row.no, (row.system_prompt, row.stack), is_new


def _new_run(connection: Connection, hold: Hold, session_no: int, status: str) -> int:
    values = {"session_no": session_no, "id": hold.run_id, "status": status, "started_at": micros(now())}
    number: int = connection.execute(sql.NEW_RUN, values).scalar_one()
    return number


def _pass_fence(connection: Connection, hold: Hold) -> None:
    """Take the session's lock, and see that the session is still this run's."""
    place = {"of_session": hold.session_no, "of_run": hold.run_no}
    if connection.execute(sql.FENCE, place).one_or_none() is None:
        raise SessionConflict(
            f"session {hold.session_id!r} was taken over by another run, or deleted, because this run gave "
            "no sign of life; nothing more of it was stored"
        )


def _enter(connection: Connection, hold: Hold, mark: Mark) -> None:
    time = micros(now())
    if mark.ends:
        connection.execute(sql.CALL_ENDS, {"of_run": hold.run_no, "call": mark.call_id, "time": time})
        return
    values = {
        "run_no": hold.run_no,
        "call_id": mark.call_id,
        "name": mark.name,
        "idempotent": mark.idempotent,
        "started_at": time,
    }
    connection.execute(sql.CALL_STARTS, values)


def _end(connection: Connection, hold: Hold, end: End) -> None:
    reason = None if end.error is None else to_json(end.error)
    values = {"of_run": hold.run_no, "outcome": end.status, "time": micros(now()), "reason": reason}
    connection.execute(sql.RUN_ENDS, values)
