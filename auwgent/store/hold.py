"""What a run holds of the store: its place in the line of its session, what it finds there, and how it ended."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auwgent.questions import Question
from auwgent.session import Session, Usage

if TYPE_CHECKING:  # SQLAlchemy is loaded where it is used
    from sqlalchemy import Row


@dataclass(eq=False, slots=True, weakref_slot=True)
class Hold:
    """A run's place in the queue of its session, and then its right to write to it."""

    user_id: str
    session_id: str
    run_id: str
    session_no: int = 0
    run_no: int = 0  # 0: not in the queue
    attempt: int = 0
    job: str | None = None  # what an engine knows the run by that gave it to this process
    starts: int = 0  # after crashes, without a new turn since
    leg: int = 1  # which it wants to begin, or to go on with
    asked: str | None = None
    behind: str | None = None  # the id of the turn that it goes on from; else the newest one
    cancel: Callable[[], None] = lambda: None  # ends the run, from any thread
    input: str | None = None  # JSON: what it was asked, where that may be written down before it is said
    says: bool = False  # whether it has yet to say what it was asked
    settings: str | None = None  # JSON: what its row says of how it was asked for
    usage: Usage | None = None  # what it has used so far
    told: Usage | None = None  # what its row says of that
    progress: str | None = None  # JSON: what a later leg or attempt has to know of this one
    noted: dict[str, Any] = field(default_factory=dict)  # the same as data, but for its seconds
    told_progress: str | None = None  # what its row says of that
    told_noted: dict[str, Any] = field(default_factory=dict)  # the same as data
    over: bool = False  # given up, or finished
    seats: dict[str, float] = field(default_factory=dict)  # of the turns that are stored, by their ids
    first_seat: float = 0.0  # of the last turn before those that were read
    last_seat: float = 0.0
    head: tuple[str, str] = ("", "")  # system prompt and stack, as they are stored
    passed: float = -math.inf  # when the session was last seen to be this run's, by the clock of this process
    lock: threading.Lock = field(default_factory=threading.Lock)  # one thread at a time speaks for the run

    @property
    def key(self) -> tuple[str, str]:
        """What names the session."""
        return self.user_id, self.session_id

    @property
    def run_key(self) -> tuple[str, str]:
        """What names the run."""
        return self.user_id, self.run_id


@dataclass(frozen=True, slots=True)
class Mark:
    """A line for the ledger: a tool is about to run, or has ended."""

    ends: bool
    call_id: str
    name: str = ""
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a run, or a leg that paused, ended."""

    status: str
    error: dict[str, str] | None = None  # its message and kind
    pending: tuple[Question, ...] = ()  # what it waits for


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A call without a result, of a run of this store that died; whether it had `begun`."""

    call_id: str
    name: str
    args: dict[str, Any]
    begun: bool
    idempotent: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """What earlier legs and attempts of the run have left for this one."""

    answers: dict[str, Any]
    pending: tuple[Question, ...]
    progress: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run finds when it has got its session. `session` is None where there was none yet.

    `interrupted` is None where each call has its result. A call without one that is not in it was asked for elsewhere:
    it came with a session from outside, by a fork or an import, and is never made.
    """

    session: Session | None
    interrupted: tuple[Interrupted, ...] | None = None
    resumed: Resumed | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What one try to get a session found. Without `history`, another run holds it."""

    session_no: int
    head: tuple[str, str]
    run_no: int = 0
    attempt: int = 0
    is_new: bool = False
    history: Sequence[Row[Any]] | None = None
    resumed: Resumed | None = None
    paused: Row[Any] | None = None  # the run that the session waits with
    is_taken: bool = False  # a queued run that is not for this process, or not now
    starts: int = 0
