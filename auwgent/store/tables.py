"""The tables of the store, and how a session's parts become rows and come back.

Times are microseconds since 1970 in UTC, JSON is compact text: every database keeps both exactly. A turn is
one row, written once. What can be asked for (who, when, which model, how many tokens) stands in columns of
its own, the rest of the turn in `body`; nothing is stored twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Index, UniqueConstraint, func, text
from sqlmodel import Field

from auwgent.errors import ArgumentError, StoreError
from auwgent.session import Part, Turn
from auwgent.store.dialects import Big
from auwgent.store.rows import Count, KeyWords, MaybeCount, MaybeWords, Number, Row, Words
from auwgent.store.schema import SCHEMA_TABLE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class SchemaRow(Row, table=True):
    """One row: the version of the schema."""

    __tablename__ = SCHEMA_TABLE

    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})


class SessionRow(Row, table=True):
    """A session without its turns. `run_no` is the run that may write; one that finds another there has lost it."""

    __tablename__ = "auwgent_sessions"
    __table_args__ = (
        UniqueConstraint("user_id", "id"),
        Index("auwgent_sessions_used", "user_id", "updated_at"),
    )

    no: Number = None
    user_id: Words
    id: Words
    created_at: Count
    updated_at: Count
    run_no: MaybeCount = None
    system_prompt: Words  # JSON
    stack: Words  # JSON
    forked_from: MaybeWords = None  # the id of a session of the same user
    forked_at: MaybeWords = None  # the id of its turn


class WorkerRow(Row, table=True):
    """A process at work. Its beat moves while it lives; where it stands still, the process is dead.

    `seen_at` is when it moved last, by the database's clock: good to show, not to judge by.
    """

    __tablename__ = "auwgent_workers"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a number is never that of another process

    no: Number = None
    place: Words  # which process of which machine, as `heart` names it
    beat: Count
    seen_at: Count
    takes: MaybeCount = None  # how many queued runs it carries out at once


class RunRow(Row, table=True):
    """One run: who asked, what for, where it stands, what it waits for, and how it ended.

    Numbers grow and are never used again, so that they tell who came first to a session. A run outlives its session,
    without its words, so that its id is not taken for a new one.
    """

    __tablename__ = "auwgent_runs"
    __table_args__ = (
        UniqueConstraint("user_id", "id"),
        Index("auwgent_runs_queue", "session_no", "no"),
        # Only a server's has a queue: those of a user that no engine has been told of, the first to be told of first,
        # and those that one was.
        Index(
            "auwgent_runs_waiting",
            *("user_id", text("priority DESC"), "no"),
            postgresql_where=text("status = 'queued' AND job IS NULL"),
        ).ddl_if(dialect="postgresql"),
        Index(
            "auwgent_runs_handed",
            *("user_id", "status"),
            postgresql_where=text("job IS NOT NULL"),
        ).ddl_if(dialect="postgresql"),
        # Those that are not over are few among those that are.
        Index(
            "auwgent_runs_open",
            *("status", "queue", "priority", "due_at"),
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    no: Number = None
    user_id: Words
    id: Words
    session_no: int | None = Field(
        default=None, sa_type=Big, foreign_key="auwgent_sessions.no", ondelete="SET NULL"
    )
    status: (
        Words  # queued, running, paused, completed, failed, cancelled, interrupted (its process died), dead
    )
    leg: int
    attempt: int  # of this leg or an earlier one: only the newest may write
    worker: MaybeCount = None  # the process that has it, from when it queues for its session
    starts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # without a new turn since
    queue: MaybeWords = None  # which workers may take it; empty where the run is of one process
    job: MaybeWords = (
        None  # what the engine knows the run by, from when it is told of it until the leg is over
    )
    priority: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    made_at: Count
    due_at: MaybeCount = None  # when it may begin, or when what it waits for is over
    started_at: MaybeCount = None
    ended_at: MaybeCount = None
    cancel_at: MaybeCount = None  # when somebody wanted it to end
    asked: MaybeWords = None  # a hash of its input, session and agent
    input: MaybeWords = None  # JSON: text or parts; once they were said, without bytes
    settings: MaybeWords = None  # JSON: context, profile, model, overrides, the caller's tools
    pending: MaybeWords = None  # JSON: the calls that wait for an answer
    answers: MaybeWords = None  # JSON: answers by the ids of calls
    usage: MaybeWords = None  # JSON: tokens and money so far
    progress: MaybeWords = None  # JSON: what its later legs and attempts go on from
    error: MaybeWords = None  # JSON: kind and message


class TurnRow(Row, table=True):
    """One turn. `run_id` is empty where the turn has none, null where it is that of the run that wrote it.

    `seat` is its place in the session: a result that came late sits between its neighbours.
    """

    __tablename__ = "auwgent_turns"
    __table_args__ = (
        UniqueConstraint("session_no", "id"),
        Index("auwgent_turns_seat", "session_no", "seat"),  # the newest turns, however many there are
    )

    no: Number = None
    session_no: int = Field(sa_type=Big, foreign_key="auwgent_sessions.no", ondelete="CASCADE")
    id: Words
    seat: float
    role: Words
    agent: MaybeWords = None
    run_no: MaybeCount = None
    run_id: MaybeWords = None
    created_at: Count
    model: MaybeWords = None
    input_tokens: MaybeCount = None
    output_tokens: MaybeCount = None
    cached_tokens: MaybeCount = None
    written_tokens: MaybeCount = None
    reasoning_tokens: MaybeCount = None
    usd: float | None = None
    estimated: int | None = None
    body: Words  # JSON


class CallRow(Row, table=True):
    """The ledger: a tool call, written before the tool runs; `ended_at` is written along with its result."""

    __tablename__ = "auwgent_calls"
    __table_args__ = (Index("auwgent_calls_run", "run_no"),)  # a provider may give a call id twice

    no: Number = None
    run_no: int = Field(sa_type=Big, foreign_key="auwgent_runs.no", ondelete="CASCADE")
    call_id: Words
    name: Words
    idempotent: bool
    started_at: Count
    ended_at: MaybeCount = None


class ScheduleRow(Row, table=True):
    """A schedule, and up to when its firings were seen to."""

    __tablename__ = "auwgent_schedules"

    name: KeyWords
    seen_to: Count


schema = SchemaRow.__table__
sessions = SessionRow.__table__
workers = WorkerRow.__table__
runs = RunRow.__table__
turns = TurnRow.__table__
calls = CallRow.__table__
schedules = ScheduleRow.__table__
TABLES = (schema, sessions, workers, runs, turns, calls)
OF_SERVERS = (schedules,)  # of databases that many machines share


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def moment(number: int) -> datetime:
    """Return the time, aware, in UTC."""
    return EPOCH + number * MICROSECOND


def to_json(value: Any) -> str:
    """Compact JSON text that every database takes: NUL and lone surrogates only ever stand in it escaped."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"))
    return plain


def input_json(content: str | Sequence[Part] | None, *, is_said: bool = False) -> str | None:
    """What a run was asked, as its row has it. Bytes are left out once it `is_said`: they stand in its turn then."""
    if content is None or isinstance(content, str):
        return None if content is None else to_json(content)
    left_out = {"data"} if is_said else None
    return to_json([part.model_dump(mode="json", exclude=left_out) for part in content])


def as_key(what: str, text: str) -> str:
    """Return the text, if it can be a key in every database; else `ArgumentError`."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ArgumentError(f"a {what} may hold neither NUL nor half a character: {text!r}")
    return text


def _plain(text: str | None) -> str | None:
    """Text for a column: without the two characters that PostgreSQL or UTF-8 cannot hold."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def seated(
    turns: Sequence[Turn], seats: Mapping[str, float], last: float, before: float = 0.0
) -> list[tuple[Turn, float]]:
    """Return the turns that have no seat yet, each with one: between its neighbours', or behind the `last`.

    `before` is the seat in front of the first of these neighbours.
    """
    fresh = [turn for turn in turns if turn.id not in seats]
    if fresh == list(turns[len(turns) - len(fresh) :]):
        return [(turn, last + number) for number, turn in enumerate(fresh, 1)]
    new: list[tuple[Turn, float]] = []
    group: list[Turn] = []
    for turn in turns:
        seat = seats.get(turn.id)
        if seat is None:
            group.append(turn)
            continue
        step = (seat - before) / (len(group) + 1)
        new += [(one, before + step * number) for number, one in enumerate(group, 1)]
        group, before = [], seat
    return new + [(one, last + number) for number, one in enumerate(group, 1)]


TURNS = TypeAdapter(list[Turn])
IN_COLUMNS = {"id", "role", "agent", "run_id", "created_at", "model", "usage"}
COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "written_tokens", "reasoning_tokens", "usd")
COUNTED = {*COUNTS, "estimated"}  # what else a usage tells stands in the body


def turn_row(
    turn: Turn, seat: float, session_no: int, run_no: int | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """Return the turn as a row of `turns`, written by that run."""
    row: dict[str, Any] = {
        "session_no": session_no,
        "id": turn.id,
        "seat": seat,
        "role": turn.role,
        "agent": _plain(turn.agent),
        "run_no": run_no,
        "run_id": None if run_id is not None and turn.run_id == run_id else turn.run_id or "",
        "created_at": micros(turn.created_at),
        "model": _plain(turn.model),
        "estimated": None,
    }
    body = turn.model_dump(mode="json", exclude=IN_COLUMNS)
    for name in COUNTS:
        row[name] = getattr(turn.usage, name) if turn.usage else None
    if turn.usage:
        row["estimated"] = int(turn.usage.estimated)
        if more := turn.usage.model_dump(mode="json", exclude=COUNTED, exclude_defaults=True):
            body["usage"] = more
    row["body"] = to_json(body)
    return row


# What `turns_of` reads, in this order.
TURN_COLUMNS: tuple[ColumnElement[Any], ...] = (
    turns.c.id,
    turns.c.role,
    turns.c.agent,
    func.coalesce(turns.c.run_id, runs.c.id),
    turns.c.created_at,
    turns.c.model,
    turns.c.input_tokens,
    turns.c.output_tokens,
    turns.c.cached_tokens,
    turns.c.written_tokens,
    turns.c.reasoning_tokens,
    turns.c.usd,
    turns.c.estimated,
    turns.c.body,
    turns.c.seat,
    turns.c.run_no,
)


def check_ids(session_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """`StoreError` where two turns have one id: the database would pass over the second."""
    for turn_id, count in Counter(row["id"] for row in rows).items():
        if count > 1:
            raise StoreError(f"session {session_id!r} has several turns with the id {turn_id!r}")


def turns_of(rows: Iterable[Sequence[Any]]) -> list[Turn]:
    """Return the turns in rows of `TURN_COLUMNS`. `ValueError` where a row is damaged."""
    found = []
    for turn_id, role, agent, run_id, created_at, model, *counts, estimated, body, _, _ in rows:
        fields = json.loads(body)
        fields["id"] = turn_id
        fields["role"] = role
        fields["agent"] = agent
        fields["run_id"] = run_id or None
        fields["created_at"] = moment(created_at)
        fields["model"] = model
        if counts[0] is not None:
            more = fields.get("usage", {})
            fields["usage"] = {**more, **dict(zip(COUNTS, counts, strict=True)), "estimated": bool(estimated)}
        found.append(fields)
    return TURNS.validate_python(found)


def text_of(role: str, body: str) -> str:
    """Return the text of a turn, by two of its columns. `ValueError` where they are damaged."""
    return Turn.model_validate({**json.loads(body), "role": role}).text


def damaged(session_id: str) -> StoreError:
    """Return the error for a session with a row that cannot be read."""
    return StoreError(f"session {session_id!r} is damaged in the database, or not written by auwgent")
