"""The journal: what a run writes while it runs, each transaction under the fence of its session.

A run queues for its session in the table of runs: it may start when no live run of the session has a smaller
number. It then writes its number into the session, and each of its transactions begins by looking for that number
there, and for its attempt in the run; one that was taken for dead and replaced finds others, and cannot write.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import Connection, Row, update

from auwgent.errors import RunPaused, RunTaken, SessionConflict, StoreError
from auwgent.pairing import paired
from auwgent.session import Session, ToolCall, Turn, Usage, now
from auwgent.store import entries, pauses, plain
from auwgent.store import statements as sql
from auwgent.store.base import UsageRow
from auwgent.store.database import Database
from auwgent.store.dialects import dialect_of
from auwgent.store.heart import BeatWatch, Heart
from auwgent.store.history import copy, opening, session_of
from auwgent.store.hold import Claim, End, Hold, Interrupted, Mark, Stored
from auwgent.store.line import Line, written
from auwgent.store.tables import COUNTS, check_ids, input_json, micros, runs, seated, to_json, turn_row
from auwgent.store.unheld import cancel, want_ended


class Journal:
    """Writes runs to a database. Its methods block: they are jobs for the database's threads.

    With a `window`, only about that many of the newest turns are read, so that a long session costs no more
    than a short one.
    """

    line: Line | None = None  # of queued runs, where this process knows of them

    def __init__(self, database: Database, window: int | None = None) -> None:
        self.database = database
        self._window = window
        self._read = None if window is None else window + 1  # the one before tells whether a run began there
        self.heart = Heart(database)
        self.watch = BeatWatch()
        self._is_left = False

    def claim(self, hold: Hold, *, queue: bool) -> Stored | None:
        """Try to get the session; None while another run holds it. The first try enters the `queue`."""
        with hold.lock:
            if hold.over or (
                hold.run_no and self.database.read(lambda connection: self._waits(connection, hold))
            ):
                return None
            worker = self.heart.worker()
            tries = count()
            try:
                claim = self.database.write(
                    lambda connection: self._claim(connection, hold, worker, queue, is_again=next(tries) > 0)
                )
            except StoreError:  # a commit may have been done, and nobody heard of it
                self.heart.drops(hold)
                raise
            if claim.is_taken:
                hold.over = True
                raise RunTaken(f"run {hold.run_id!r} was given elsewhere, or its session is at work")
            if claim.paused is not None:
                hold.over = True
                self.heart.stops_for(hold)
                raise RunPaused(claim.paused.id, pauses.waits_for(claim.paused))
            hold.session_no, hold.head = claim.session_no, claim.head
            hold.run_no, hold.attempt, hold.starts = claim.run_no, claim.attempt, claim.starts
            if hold.run_no:
                self.heart.beats_for(hold)
            if claim.history is None:
                return None
            own = [row for row in claim.history if row.run_no == hold.run_no]
            hold.says = hold.says and not any(row.role == "user" for row in own)
            if claim.is_new:
                return Stored(None)
            return replace(self._stored(hold, claim.history), resumed=claim.resumed)

    def append(self, hold: Hold, session: Session, mark: Mark | None = None) -> None:
        """Store what is new in the session. `SessionConflict` where another run has taken it over."""
        with hold.lock:
            self._append(hold, session, mark=mark)

    def finish(self, hold: Hold, session: Session, end: End) -> None:
        """Store what is new and how the run ended, and let go of the session."""
        with hold.lock:
            hold.over = True
            try:
                self._append(hold, session, end=end)
            except BaseException:
                self.heart.drops(hold)
                raise
            self.heart.stops_for(hold)

    def give_up(self, hold: Hold) -> None:
        """Leave the queue, or let go of a session that nothing was done with."""
        with hold.lock:
            hold.over = True
            if not hold.run_no:
                return
            try:
                # What earlier legs and attempts have done is not given up: it goes on another time.
                end = End("cancelled" if hold.attempt == 1 else "interrupted")
                self.database.write(lambda connection: self._given_up(connection, hold, end))
            except BaseException:
                self.heart.drops(hold)
                raise
            self.heart.stops_for(hold)

    def fork(self, hold: Hold, new_id: str) -> None:
        """Copy the session that another run holds, as it was before, and queue for the copy instead."""
        with hold.lock:
            self.database.write(lambda connection: copy(connection, hold.session_no, new_id), once=True)
            hold.session_id = new_id

    def go_apart(self, hold: Hold, new_id: str) -> None:
        """Let go of a session that was just claimed; claim a copy of it next, up to the turn the run goes on from."""

        def work(connection: Connection) -> None:
            connection.execute(sql.LET_GO, {"of_session": hold.session_no})
            connection.execute(sql.RUN_FORGOTTEN, {"of_run": hold.run_no})
            copy(connection, hold.session_no, new_id, hold.behind)

        with hold.lock:
            self.database.write(work, once=True)
            self.heart.stops_for(hold)
            hold.session_id, hold.run_no, hold.behind = new_id, 0, None

    def unread(self, hold: Hold) -> UsageRow:
        """Return what the turns before the window have used up."""
        place = {"of_session": hold.session_no, "last_seat": hold.first_seat}
        row = self.database.read(lambda connection: connection.execute(sql.UNREAD, place).one())
        count, priced, *counts, estimated = row
        used = Usage.summed(dict(zip(COUNTS, counts, strict=True)), estimated=bool(estimated))
        return UsageRow(hold.session_id, count, count - priced, used)

    def cancel(self, user_id: str, run_id: str) -> None:
        """Have a run ended. One of this process hears of it at once, one that nobody carries out is over then."""

        def work(connection: Connection) -> None:
            want_ended(connection, user_id, run_id)
            session_no = cancel(connection, user_id, run_id, self._lives)
            if session_no is not None and self.line is not None:
                self.line.ended(connection, session_no, user_id)

        self.database.write(work)
        self.heart.cancels([(user_id, run_id)])

    def close(self) -> None:
        """Stop showing that this process is alive. Not in a job: a last sign of life may be one."""
        self.heart.close()

    def leave(self) -> None:
        """Take this process out of the database, after `close`; what it has in its hands goes on elsewhere."""
        self._is_left = True
        self.heart.leave()

    def bury(self) -> set[tuple[int, int]]:
        """Mark the runs of dead processes as interrupted. Which others seem silent, and at which beat they stand.

        Whose beat has moved at the next call is alive, and its clock is wrong. What asks then for runs that are not
        over needs to ask for their status alone.
        """
        found = self.database.read(lambda connection: connection.execute(sql.SUSPECTS).all())
        dead = {worker for worker, place, beat in found if self.watch.is_dead(worker, place, beat)}
        self._buried(dead)
        return {(worker, beat) for worker, _, beat in found if worker not in dead}

    def bury_watched(self) -> bool:
        """Let go on what processes had that are dead by now; whether there are any. To be asked each second."""
        found = self.database.read(lambda connection: connection.execute(sql.AT_WORKS).all())
        return self._buried(
            {worker for worker, place, beat in found if self.watch.is_dead(worker, place, beat)}
        )

    def _buried(self, dead: set[int]) -> bool:
        def work(connection: Connection) -> None:
            for worker in sorted(dead):
                connection.execute(sql.ITS_RUNS_DIED, {"of_worker": worker, "time": micros(now())})

        if dead:
            self.database.write(work)
        return bool(dead)

    def _append(
        self, hold: Hold, session: Session, *, mark: Mark | None = None, end: End | None = None
    ) -> None:
        new = seated(session.turns, hold.seats, hold.last_seat, hold.first_seat)
        rows = [turn_row(turn, seat, hold.session_no, hold.run_no, hold.run_id) for turn, seat in new]
        check_ids(hold.session_id, rows)
        head = entries.head_of(session)
        usage, progress, noted = hold.usage, hold.progress, hold.noted
        said = next((turn for turn, _ in new if turn.role == "user"), None) if hold.says else None
        recorded = None if said is None else input_json(said.content, is_said=True)

        def work(connection: Connection) -> None:
            place = {"of_session": hold.session_no, "of_run": hold.run_no, "of_attempt": hold.attempt}
            if self._is_left or plain.run(connection, sql.FENCE, place).fetchone() is None:
                # Who gave the run its id waits for what comes of it; of any other run this is the end.
                taken = SessionConflict if hold.asked is None else RunTaken
                raise taken(
                    f"session {hold.session_id!r} was taken over by another run, or deleted, because this run gave "
                    "no sign of life; nothing more of it was stored"
                )
            if end or head != hold.head:
                values = {
                    "of_session": hold.session_no,
                    "time": micros(now()),
                    "prompt": head[0],
                    "names": head[1],
                }
                plain.run(connection, sql.NEW_HEAD, values)
            for row in rows:
                plain.run(connection, sql.new_turns(dialect_of(connection)), row)
            if rows and hold.starts:
                connection.execute(sql.RUN_GOT_ON, {"of_run": hold.run_no})
            if recorded not in (None, hold.input):
                connection.execute(sql.RUN_SAID, {"of_run": hold.run_no, "said": recorded})
            if mark:
                entries.enter(connection, hold, mark)
            if (usage, progress) != (hold.told, hold.told_progress):
                used = usage and to_json(usage.model_dump(mode="json", exclude_defaults=True))
                plain.run(connection, sql.RUN_USED, {"of_run": hold.run_no, "used": used, "made": progress})
            if end:
                self._end(connection, hold, end)

        self.database.write(work)
        hold.starts = 0 if rows else hold.starts
        hold.seats.update((turn.id, seat) for turn, seat in new)
        hold.last_seat = max([hold.last_seat, *(seat for _, seat in new)])
        hold.says = hold.says and said is None
        hold.head, hold.told, hold.told_progress, hold.told_noted = head, usage, progress, noted
        hold.passed = time.monotonic()

    def _stored(self, hold: Hold, history: Sequence[Row[Any]]) -> Stored:
        session, history = self._windowed(hold, history)
        hold.seats = {row.id: row.seat for row in history}
        hold.last_seat = max(hold.seats.values(), default=0.0)
        # Some models start numbering their calls again in each answer: an id before the window may be another call's.
        missing: list[tuple[Turn, ToolCall]] = []
        paired(session.turns, lambda turn, call: missing.append((turn, call)))
        if not missing:
            return Stored(session)
        place = {"of_session": hold.session_no}
        rows = self.database.read(lambda connection: connection.execute(sql.OPEN_CALLS, place).all())
        begun = {(call, name): bool(again) for call, name, again in rows}
        own = {row.id for row in history if row.run_no is not None}
        return Stored(
            session,
            tuple(
                Interrupted(
                    call.id,
                    call.name,
                    call.args,
                    begun=(call.id, call.name) in begun,
                    idempotent=begun.get((call.id, call.name), False),
                )
                for turn, call in missing
                if turn.id in own
            ),
        )

    def _windowed(self, hold: Hold, history: Sequence[Row[Any]]) -> tuple[Session, Sequence[Row[Any]]]:
        """Return the session, and the rows of its turns, both as far as they are in the window."""
        while True:
            session = session_of(hold.user_id, hold.session_id, hold.head, history)
            if self._window is None or len(history) <= self._window:
                return session, history
            start = opening(session.turns, self._window)
            if start is not None:
                hold.first_seat = history[start - 1].seat
                session.turns = session.turns[start:]
                return session, history[start:]
            read = partial(entries.history_of, session_no=hold.session_no, count=2 * len(history))
            more = self.database.read(read)
            if len(more) == len(history):  # that is all there is
                return session, history
            history = more

    def _waits(self, connection: Connection, hold: Hold) -> bool:
        """Return whether a live run is ahead in the queue; not when this run was itself taken for dead there."""
        run = entries.run_of(connection, hold)
        if run is None or run.status != "queued":
            return False
        place = {"of_session": hold.session_no, "before_no": hold.run_no}
        ahead = connection.execute(sql.AHEAD, place)
        return bool([run for run in ahead if run.status != "paused" and self._lives(run)])

    def _lives(self, run: Row[Any]) -> bool:
        """Return whether a run of the queue counts. One that no process has yet is waiting for one."""
        return run.worker is None or not self.watch.is_dead(run.worker, run.place, run.beat)

    def _mine(
        self, connection: Connection, hold: Hold, worker: int, session_no: int, *, is_again: bool
    ) -> Row[Any] | None:
        """Return the row of the run, if any; `RunTaken` where the run is over, or another has it in its hands."""
        mine = entries.run_of(connection, hold)
        if mine is None or mine.no == hold.run_no or (is_again and mine.worker == worker):
            return mine
        if hold.job is not None:
            if mine.job != hold.job or mine.status != "queued" or mine.worker is not None:
                raise RunTaken(f"run {hold.run_id!r} is {mine.status}: it was given elsewhere")
            return mine
        is_next = mine.session_no == session_no and mine.status == "paused" and mine.leg + 1 == hold.leg
        if is_next and not pauses.waits_for(mine) and not pauses.is_late(mine):
            return mine
        is_here = mine.session_no == session_no and mine.leg == hold.leg
        if is_here and mine.status == "interrupted":
            return mine
        is_left = mine.status in sql.LIVING and (mine.worker is None or not self._lives(mine))
        if not is_here or not is_left:
            raise RunTaken(f"run {hold.run_id!r} is {mine.status}: it is not done again")
        if mine.worker is not None:
            connection.execute(sql.RUN_DIED, {"of_run": mine.no, "time": micros(now())})
        return entries.run_of(connection, hold)

    def _claim(
        self, connection: Connection, hold: Hold, worker: int, queue: bool, *, is_again: bool
    ) -> Claim:
        """`is_again`: this was tried before, and may have been done although nobody heard of it."""
        session_no, head, is_new = entries.find_or_make(connection, hold)
        mine = self._mine(connection, hold, worker, session_no, is_again=is_again)
        if mine is None and hold.job is not None:
            return Claim(session_no, head, is_taken=True)
        if mine is not None and mine.status == "interrupted" and mine.started_at is None:
            # It was taken for dead while it waited: back to the end of the queue.
            connection.execute(sql.RUN_FORGOTTEN, {"of_run": mine.no})
            mine = None
        has_begun = mine is not None and mine.status == "running" and mine.worker == worker and is_again
        waits = mine is not None and mine.status in ("queued", "paused")
        place = {
            "of_session": session_no,
            "before_no": mine.no if mine is not None and waits else sql.ENDLESS,
        }
        ahead = [] if is_new or has_begun else connection.execute(sql.AHEAD, place).all()
        if ahead and mine is not None and hold.job is not None:  # it was not the first, and waits as it was
            connection.execute(update(runs).where(runs.c.no == mine.no).values(job=None))
            return Claim(session_no, head, is_taken=True)
        if paused := [run for run in ahead if run.status == "paused"]:
            if not pauses.is_late(paused[0]):
                if mine is not None and mine.started_at is None:
                    connection.execute(sql.RUN_FORGOTTEN, {"of_run": mine.no})
                return Claim(session_no, head, paused=paused[0])
            pauses.expire(connection, paused[0])
            ahead = [run for run in ahead if run.status != "paused"]
        # What is queued goes on elsewhere, and this run waits for it.
        if [run for run in ahead if run.queue is not None or self._lives(run)]:
            for run in ahead:
                if run.queue is not None and not self._lives(run):
                    connection.execute(sql.RUN_DIED, {"of_run": run.no, "time": micros(now())})
            if mine is not None:
                return Claim(session_no, head, mine.no, mine.attempt)
            if not queue:
                return Claim(session_no, head)
            return Claim(session_no, head, entries.new_run(connection, hold, session_no, worker, "queued"), 1)
        time = micros(now())
        for run in ahead:
            connection.execute(sql.RUN_DIED, {"of_run": run.no, "time": time})
        if mine is None:
            run_no, attempt = entries.new_run(connection, hold, session_no, worker, "running"), 1
        else:
            run_no = mine.no
            attempt = mine.attempt + (mine.started_at is not None and not has_begun)
            values = {"of_run": run_no, "of_worker": worker, "of_attempt": attempt, "time": time}
            connection.execute(
                sql.RUN_STARTS, {**values, "of_leg": hold.leg, "its_queue": written(mine.queue)}
            )
            if hold.job is not None and self.line is not None:
                self.line.began(connection, hold.user_id)
        connection.execute(sql.TAKE, {"of_session": session_no, "of_run": run_no, "time": time})
        history = [] if is_new else entries.history_of(connection, session_no, self._read)
        resumed = None if mine is None or mine.started_at is None else entries.resumed_of(mine)
        starts = 0 if mine is None else mine.starts
        return Claim(session_no, head, run_no, attempt, is_new, history, resumed, starts=starts)

    def _given_up(self, connection: Connection, hold: Hold, end: End) -> None:
        if hold.job is None:
            self._end(connection, hold, end)
        else:
            connection.execute(sql.RUN_DIED, {"of_run": hold.run_no, "time": micros(now())})

    def _end(self, connection: Connection, hold: Hold, end: End) -> None:
        entries.write_end(connection, hold, end)
        if self.line is not None:
            self.line.ended(connection, hold.session_no, hold.user_id)
