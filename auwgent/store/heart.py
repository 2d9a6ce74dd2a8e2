"""Shows that the runs of this process are alive."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from auwgent.errors import StoreError
from auwgent.store.database import Database
from auwgent.store.statements import BEATS

SECONDS = 1.0  # between two beats
PATIENCE = 1.0  # seconds; the next beat is another try

log = logging.getLogger("auwgent.store")


class Beating(Protocol):
    """What has a run's number."""

    run_no: int


class Heart:
    """Beats for runs, from a thread, so that a busy event loop does not look dead.

    A run that nobody refers to any more is dead: it is known by a weak reference only.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holds: weakref.WeakSet[Beating] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def beats_for(self, hold: Beating) -> None:
        """From now on the run of this hold is alive."""
        with self._guard:
            self._holds.add(hold)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="auwgent-heart", daemon=True)
                self._thread.start()

    def stops_for(self, hold: Beating) -> None:
        """The run ended."""
        with self._guard:
            self._holds.discard(hold)

    def close(self) -> None:
        """Stop the thread. Not for a job of the database: the thread may be waiting for one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(SECONDS):
            with self._guard:
                numbers = [hold.run_no for hold in self._holds]
            if not numbers:
                continue
            try:
                self._database.submit(self._beat_once, numbers).result()
            except StoreError as error:
                log.warning("a run could not show that it is alive: %s", error)
            except RuntimeError:  # the interpreter is ending, and takes no more work
                return

    def _beat_once(self, numbers: list[int]) -> None:
        self._database.write(
            lambda connection: connection.execute(BEATS, {"of_runs": numbers}), patience=PATIENCE
        )
