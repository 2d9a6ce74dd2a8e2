"""What an engine has to do: tell workers of jobs, on PostgreSQL. Another one is a class with these five methods.

A job is a word. What a run is, where it stands and what comes next is in the store alone, and a job that comes twice,
late or not at all does no harm there: `tests/fleet/test_engines.py` says what is asked of an engine all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from auwgent.errors import ConfigError
from auwgent.imports import late
from auwgent.store.line import Job

Work = Callable[
    [str], Awaitable[None]
]  # carries out a job; awaited in the event loop that `take` was called in

ENGINES: Mapping[str, str] = {"dbos": "auwgent.fleet.dbos:Dbos"}


class Engine(Protocol):
    """All of it may be called from any thread, and blocks; made with the address of a PostgreSQL database."""

    def prepare(self) -> None:
        """Make what it keeps its jobs in, or bring that up to date. Any number of processes may do so at once."""

    def hand(self, connection: Any, jobs: Sequence[Job]) -> None:
        """Note jobs in a transaction of ours: with it they are there, or not at all. The same word again is nothing."""

    def waiting(self, jobs: Collection[str]) -> set[str]:
        """Return which of these jobs no worker has taken yet."""

    def take(self, worker: str, queues: Mapping[str, float], concurrency: int, work: Work) -> None:
        """Take jobs of these queues from now on, so many at once, the first by priority, then by age.

        Each queue is looked at every so many seconds. `worker` is a name that no process had before. Called in the
        thread of the event loop, once in a process.
        """

    def close(self, seconds: float = 0) -> None:
        """Take no more from now on; return once the jobs at work are done, or after so many seconds."""


def make(use: str, url: str) -> Engine:
    """Return the engine of that name; `ConfigError` where its library is not there."""
    try:
        engine: Engine = late(ENGINES[use])(url)
    except ImportError as error:
        raise ConfigError(f"[queue] needs a library: pip install 'auwgent[queue]' ({error})") from None
    return engine
