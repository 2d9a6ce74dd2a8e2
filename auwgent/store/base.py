"""What a store offers besides the hooks: what `auwgent sessions`, `auwgent usage` and `--last` ask for.

`SQLModelSessions` has all of it; a middleware of the user's own may have it, too. No database is needed here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard, get_args, runtime_checkable

from auwgent.errors import ConfigError, StoreError
from auwgent.hooks.names import answers_to_anything
from auwgent.session import Session, Usage
from auwgent.spans import Span

OnBusy = Literal["queue", "reject", "fork"]
UsageBy = Literal["model", "agent", "day", "session"]
RunStatus = Literal["queued", "running", "paused", "completed", "failed", "cancelled", "interrupted", "dead"]
RUN_STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
OVER: frozenset[str] = frozenset(
    ("completed", "failed", "cancelled", "dead")
)  # nothing more comes of such a run


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell an `OSError` as the `StoreError` of a database that cannot be created or written."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: the database cannot be created or written: {error.strerror}") from error


def parse_age(what: str, text: str) -> Span:
    """Parse a length of time such as `90d`. `ConfigError` names `what` it was meant for."""
    try:
        return Span.parse(text)
    except ValueError:
        raise ConfigError(f'{what} must be a length of time such as "12h" or "90d", not {text!r}') from None


@dataclass(frozen=True, slots=True)
class Schema:
    """The version of a database's schema, None where there is no database yet, and the newest there is."""

    found: int | None
    newest: int


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in a list. `preview` is the beginning of its first message.

    `status` is that of its last run: queued, running, paused, completed, failed, cancelled, or interrupted, where its
    process died. `forked_from` is the session that it is a copy of.
    """

    id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    turns: int
    status: str | None
    preview: str
    forked_from: str | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as its row tells of it. `agent` is its root agent, `calls` are those that it paused for last.

    `session_id` is None where the session was deleted; what was said, and the error, went with it. `error` has a
    `message` and a `kind`. Where one run was asked for, `input` is the text of what it was asked, and `content` that
    as data: a text, or parts, whose bytes are there until they were said.
    """

    run_id: str
    session_id: str | None
    user_id: str
    status: RunStatus
    agent: str
    calls: tuple[dict[str, Any], ...]
    made_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: dict[str, str] | None
    usage: Usage | None
    attempt: int
    leg: int
    settings: dict[str, Any]
    input: str | None = None
    content: str | list[dict[str, Any]] | None = None
    answers: dict[str, Any] = field(default_factory=dict)  # by the ids of calls, those of earlier legs too
    asked: str | None = None  # a hash of its input and agent, where its caller gave it an id
    is_queued: bool = False  # whether workers carry it out


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a search found. `excerpt` is one line of its text around the first match."""

    session_id: str
    turn_id: str
    role: str
    created_at: datetime
    excerpt: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What a model, an agent, a day or a session used, as `key` names it.

    `unpriced` calls have no known price; `usage.usd` is that of the others.
    """

    key: str
    calls: int
    unpriced: int
    usage: Usage


@runtime_checkable
class SessionStore(Protocol):
    """What the commands for sessions need. Without `user_id` the user is the empty one.

    Methods that name a session raise `SessionNotFound` where that user has none of that id.
    """

    async def latest(self, user_id: str) -> str | None:
        """Return the id of the session that user used last."""

    async def list_sessions(
        self, user_id: str, *, limit: int | None = None, since: datetime | None = None
    ) -> list[SessionInfo]:
        """Return the user's sessions, the last used first."""

    async def get(self, user_id: str, session_id: str) -> Session:
        """Return the session with all its turns."""

    def search(self, user_id: str, words: str) -> AsyncIterator[Hit]:
        """Turns whose text has all of the words, the newest session first."""

    async def put(self, session: Session) -> None:
        """Store a session that came from elsewhere. `SessionConflict` where its user has one of that id."""

    async def fork(self, user_id: str, session_id: str, new_id: str, *, at: str | None = None) -> None:
        """Copy a session with its turns, or those up to the turn `at` with all results of its calls.

        `SessionConflict` where the new id is taken.
        """

    async def rename(self, user_id: str, session_id: str, new_id: str) -> None:
        """Give a session another id. `SessionConflict` where it is taken, or a run holds the session."""

    async def delete(self, user_id: str, session_id: str) -> None:
        """Delete a session and all that was stored of it. `SessionConflict` where a run holds it."""

    async def prune(
        self, user_id: str | None, *, before: datetime | None = None, keep: int | None = None
    ) -> int:
        """Delete sessions not used since `before`, or all but the last used `keep`, and say how many.

        None as user: those of all users. Sessions that a run holds are left.
        """

    async def usage(
        self,
        by: UsageBy,
        *,
        user_id: str | None = None,
        since: datetime | None = None,
        model: str | None = None,
    ) -> list[UsageRow]:
        """Return tokens and money, the most tokens first, days in their order. None as user, or model: of all."""


@runtime_checkable
class RunStore(SessionStore, Protocol):
    """A store that also tells of runs. Methods that name a run raise `SessionNotFound` where that user has none."""

    async def runs(
        self,
        user_id: str | None,
        status: RunStatus | None = None,
        *,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> list[RunInfo]:
        """The user's runs, the newest first: all, or those that stand so, or those of a session.

        None as user: those of all users.
        """

    async def run(self, user_id: str, run_id: str) -> RunInfo:
        """The run of that id."""

    async def answer(self, user_id: str, run_id: str, answers: Mapping[str, Any]) -> RunInfo:
        """Write down answers, by the ids of calls, to what a paused run waits for; give the run as it is then.

        Nothing goes on by that alone. An approval takes True, False or a text (no, because …); a tool of the caller's
        takes `{"result": …}`, `{"error": "…"}` or False. All are written, or none: `ConfigError` where one does not fit
        or nothing waits for it, `RunConflict` where another answer is there, or it comes too late (its `code` says
        which). The same answer again changes nothing.
        """

    async def cancel(self, user_id: str, run_id: str) -> None:
        """Have a run ended that is not over. Who carries it out hears of it, and ends it as `cancelled`.

        One that nobody carries out, paused or interrupted, is `cancelled` at once, and its open calls have results.
        """


def is_store(instance: object) -> TypeGuard[SessionStore]:
    """Whether an object has all verbs of a store, and not only every name that it is asked for, as a mock has."""
    return isinstance(instance, SessionStore) and not answers_to_anything(instance)


def is_run_store(instance: object) -> TypeGuard[RunStore]:
    """Whether an object has all verbs of a store that tells of runs."""
    return isinstance(instance, RunStore) and not answers_to_anything(instance)
