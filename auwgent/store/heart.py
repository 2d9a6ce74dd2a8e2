"""Who is alive: each process at work moves its beat, and others look whether it moves.

Only what is seen to stand still is dead. No clock is compared with another one: the judge counts, by his own monotonic
clock, how long he has looked at a beat that did not move. A clock that is ahead or was set takes nothing from anybody.
On the same machine a process that is gone is known at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from auwgent.errors import StoreError
from auwgent.session import now
from auwgent.store import statements as sql
from auwgent.store.database import Database
from auwgent.store.tables import micros

SECONDS = 1.0  # between two beats
PATIENCE = 1.0  # seconds; the next beat is another try
LEASE = 4.0  # seconds of silence, looked on, after which a process is dead
BLINK = 1.0  # seconds at most that count between two looks: the judge himself may have been stopped meanwhile

log = logging.getLogger("auwgent.store")


class Beating(Protocol):
    """A run that this process has in its hands."""

    @property
    def run_key(self) -> tuple[str, str]:
        """What names the run: its user and its id."""

    @property
    def cancel(self) -> Callable[[], None]:
        """What ends it, from any thread."""


class Heart:
    """Beats for this process, from a thread, so that a busy event loop does not look dead.

    A run that nobody refers to any more is dead, though its process lives: it is known by a weak reference only.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: dict[tuple[str, str], weakref.ref[Beating]] = {}
        # Runs that are over, though that could not be written down, or that may have begun without our knowing it.
        self._dropped: set[tuple[str, str]] = set()
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._beats = sql.beats(database.dialect)
        self._beat_at = 0.0
        self._worker: int | None = None
        self.is_kept = False  # it beats also while there are no runs
        self.takes: int | None = None  # how many queued runs this process carries out at once

    def worker(self) -> int:
        """Return the number of this process in the database, whose beat has moved within the last second. In a job."""
        with self._guard:
            if self._worker is None:
                row = {"place": here(), "takes": self.takes}
                self._worker = self._database.write(
                    lambda connection: connection.execute(sql.NEW_WORKER, row).scalar_one()
                )
                self._beat_at = time.monotonic()
            elif time.monotonic() - self._beat_at > SECONDS:
                self._database.write(self._move)
                self._beat_at = time.monotonic()
            return self._worker

    def beats_for(self, run: Beating) -> None:
        """Mark this run as alive from now on."""
        with self._guard:
            self._dropped.discard(run.run_key)
            self._runs[run.run_key] = weakref.ref(run)
            self._start()

    def cancels(self, keys: Iterable[tuple[str, str]]) -> None:
        """End those of these runs that this process has in its hands."""
        with self._guard:
            runs = [run for key in keys if (known := self._runs.get(key)) and (run := known())]
        for run in runs:
            run.cancel()

    def keep(self, takes: int | None = None) -> int:
        """Beat from now on, whether there are runs or not; gives the number of this process. In a job."""
        self.takes, self.is_kept = takes, True
        worker = self.worker()
        with self._guard:
            self._start()
        return worker

    def stops_for(self, run: Beating) -> None:
        """The run ended."""
        with self._guard:
            if self._is_of(run):
                self._runs.pop(run.run_key, None)

    def drops(self, run: Beating) -> None:
        """The run is over, if it ever began, and that could not be written down: one of the next beats tells it."""
        with self._guard:
            if self._is_of(run):
                self._runs.pop(run.run_key, None)
                self._dropped.add(run.run_key)
                self._start()

    def close(self) -> None:
        """Stop the thread. Not for a job of the database: the thread may be waiting for one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> None:
        """Take this process out of the database, after `close`; nobody speaks for its runs now. In a job."""
        if self._worker is None:
            return
        who = {"of_worker": self._worker}

        def work(connection: Connection) -> None:
            connection.execute(sql.ITS_RUNS_DIED, {**who, "time": micros(now())})
            connection.execute(sql.WORKER_ENDS, who)

        try:
            self._database.write(work, patience=PATIENCE)
        except StoreError as error:
            log.warning("the store could not be left in order: %s", error)

    def _is_of(self, run: Beating) -> bool:
        """Whether nobody else in this process has the run of that name in his hands."""
        other = self._runs.get(run.run_key)
        return other is None or other() in (None, run)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="auwgent-heart", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(SECONDS):
            with self._guard:
                is_idle = not self._runs and not self._dropped and not self.is_kept
            if is_idle:
                continue
            try:
                self._database.submit(self._beat_once).result()
            except StoreError as error:
                log.warning("a run could not show that it is alive: %s", error)
            except RuntimeError:  # the interpreter is ending, and takes no more work
                return

    def _beat_once(self) -> None:
        with self._guard:
            self._dropped.update(key for key, run in self._runs.items() if run() is None)
            dropped = list(self._dropped)

        def work(connection: Connection) -> list[tuple[str, str]]:
            self._move(connection)
            if dropped:
                who = {"of_worker": self._worker, "time": micros(now())}
                for user_id, run_id in dropped:
                    connection.execute(sql.RUN_DROPPED, {**who, "of_user": user_id, "run_id": run_id})
            found = connection.execute(sql.UNWANTED, {"of_worker": self._worker})
            return [(user_id, run_id) for user_id, run_id in found]

        self.cancels(self._database.write(work, patience=PATIENCE))
        with self._guard:
            self._beat_at = time.monotonic()
            self._dropped.difference_update(dropped)
            self._runs = {key: run for key, run in self._runs.items() if run() is not None}

    def _move(self, connection: Connection) -> None:
        row = {"of_worker": self._worker, "where": here(), "takes": self.takes}
        connection.execute(self._beats, row)


@dataclass(slots=True)
class Look:
    """What was seen of a process last, and for how long its beat has stood still."""

    beat: int
    at: float
    silent: float = 0.0


class BeatWatch:
    """Looks at other processes' beats. Who is looked at again and again without moving is dead."""

    def __init__(self, lease: float = LEASE) -> None:
        self.lease = lease
        self._looks: dict[int, Look] = {}
        self._guard = threading.Lock()

    def is_dead(self, worker: int, place: str | None, beat: int | None) -> bool:
        """Return whether that process is dead, as far as can be told by what was read of it just now."""
        if place is None or beat is None or is_gone(place):  # others have buried it, or it is of this machine
            return True
        at = time.monotonic()
        with self._guard:
            look = self._looks.get(worker)
            if look is None or look.beat != beat:
                self._looks[worker] = Look(beat, at)
                return False
            look.silent += min(at - look.at, BLINK)
            look.at = at
            return look.silent >= self.lease


@cache
def _machine() -> str:
    """This machine since it was started, and which of its processes can be seen from here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: who is dead is told by its silence alone
        return ""


def here() -> str:
    """This process: its machine, its number, when it began, and the machine's name for people."""
    return f"{_machine()}|{os.getpid()}|{_began(os.getpid())}|{socket.gethostname()}"


def is_gone(place: str) -> bool:
    """Whether the process of that place certainly lives no more. False also where that cannot be told from here."""
    machine, number, began, _ = (*place.split("|"), "", "", "")[:4]
    if not machine or machine != _machine() or not number.isdigit():
        return False
    return _began(int(number)) != began


def _began(number: int) -> str:
    """When a process of this machine began, in ticks; empty where there is none, or it is dead and not buried."""
    try:
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]
