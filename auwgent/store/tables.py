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
from typing import Any, ClassVar

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from auwgent.errors import ConfigError, StoreError
from auwgent.session import Turn
from auwgent.store.survey import SCHEMA_TABLE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Big = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's row number


class Row(SQLModel, registry=registry(metadata=MetaData())):
    """Base of the store's tables. They are kept apart from tables the user defines with SQLModel."""

    __table__: ClassVar[Table]


def _number() -> Any:
    return Field(default=None, sa_column=Column(Big, primary_key=True, autoincrement=True))


def _refers(table: str) -> Any:
    key = ForeignKey(f"{table}.no", ondelete="CASCADE")
    return Field(default=None, sa_column=Column(Big, key, nullable=False))


def _text(*, optional: bool = False) -> Any:
    return Field(default=None, sa_column=Column(Text, nullable=optional))


def _count() -> Any:
    return Field(default=None, sa_column=Column(Integer, nullable=True))


def _big(*, optional: bool = False) -> Any:
    return Field(default=None, sa_column=Column(Big, nullable=optional))


class SchemaRow(Row, table=True):
    """One row: the version of the schema. Release notes of a version are in `migrations`."""

    __tablename__ = SCHEMA_TABLE

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))


class SessionRow(Row, table=True):
    """A session without its turns.

    `run_no` is the run that may write; a run that finds another one there has lost the session.
    """

    __tablename__ = "auwgent_sessions"
    __table_args__ = (
        UniqueConstraint("user_id", "id"),
        Index("auwgent_sessions_used", "user_id", "updated_at"),
    )

    no: int | None = _number()
    user_id: str = _text()
    id: str = _text()
    created_at: int = _big()
    updated_at: int = _big()
    run_no: int | None = _big(optional=True)
    system_prompt: str = _text()  # JSON
    stack: str = _text()  # JSON


class RunRow(Row, table=True):
    """One run, from the moment it queues for its session.

    `status` is waiting, running, completed, failed, cancelled, or interrupted: its process died. `beat` is
    when its process last showed that it is alive, by the database's clock. Numbers grow and are never used
    again, so that they tell who came first.
    """

    __tablename__ = "auwgent_runs"
    __table_args__ = (Index("auwgent_runs_queue", "session_no", "no"), {"sqlite_autoincrement": True})

    no: int | None = _number()
    session_no: int = _refers("auwgent_sessions")
    id: str = _text()
    status: str = _text()
    beat: int = _big()
    started_at: int = _big()
    ended_at: int | None = _big(optional=True)
    error: str | None = _text(optional=True)  # JSON


class TurnRow(Row, table=True):
    """One turn. `run_id` is empty where the turn has none, null where it is that of the run that wrote it.

    `seat` is its place in the session: a result that came late sits between its neighbours.
    """

    __tablename__ = "auwgent_turns"
    __table_args__ = (
        UniqueConstraint("session_no", "id"),
        Index("auwgent_turns_seat", "session_no", "seat"),  # the newest turns, however many there are
    )

    no: int | None = _number()
    session_no: int = _refers("auwgent_sessions")
    id: str = _text()
    seat: float = Field(sa_column=Column(Float, nullable=False))
    role: str = _text()
    agent: str | None = _text(optional=True)
    run_no: int | None = _big(optional=True)  # no key: it goes with the session, as its run does
    run_id: str | None = _text(optional=True)
    created_at: int = _big()
    model: str | None = _text(optional=True)
    input_tokens: int | None = _count()
    output_tokens: int | None = _count()
    cached_tokens: int | None = _count()
    reasoning_tokens: int | None = _count()
    usd: float | None = Field(default=None, sa_column=Column(Float, nullable=True))
    estimated: int | None = _count()
    body: str = _text()  # JSON


class CallRow(Row, table=True):
    """The ledger: a tool call, written before the tool runs; `ended_at` is written along with its result."""

    __tablename__ = "auwgent_calls"
    __table_args__ = (Index("auwgent_calls_run", "run_no"),)  # a provider may give a call id twice

    no: int | None = _number()
    run_no: int = _refers("auwgent_runs")
    call_id: str = _text()
    name: str = _text()
    idempotent: bool = Field(sa_column=Column(Boolean, nullable=False))
    started_at: int = _big()
    ended_at: int | None = _big(optional=True)


sessions = SessionRow.__table__
runs = RunRow.__table__
turns = TurnRow.__table__
calls = CallRow.__table__
schema = SchemaRow.__table__
metadata = Row.metadata


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def moment(number: int) -> datetime:
    """The time, aware, in UTC."""
    return EPOCH + number * MICROSECOND


def to_json(value: Any) -> str:
    """Compact JSON text that every database takes: NUL and lone surrogates only ever stand in it escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"))
    return text


def as_key(what: str, text: str) -> str:
    """The text, if it can be a key in every database; else `ConfigError`."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(f"a {what} may hold neither NUL nor half a character: {text!r}")
    return text


def _plain(text: str | None) -> str | None:
    """Text for a column: without the two characters that PostgreSQL or UTF-8 cannot hold."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def seated(
    turns: Sequence[Turn], seats: Mapping[str, float], last: float, before: float = 0.0
) -> list[tuple[Turn, float]]:
    """The turns that have no seat yet, each with one: between its neighbours', or behind the `last`.

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
COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usd")


def turn_row(
    turn: Turn, seat: float, session_no: int, run_no: int | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """The turn as a row of `turns`, written by that run."""
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
        "body": to_json(turn.model_dump(mode="json", exclude=IN_COLUMNS)),
    }
    for name in COUNTS:
        row[name] = getattr(turn.usage, name) if turn.usage else None
    if turn.usage:
        row["estimated"] = int(turn.usage.estimated)
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
    turns.c.reasoning_tokens,
    turns.c.usd,
    turns.c.estimated,
    turns.c.body,
    turns.c.seat,
)


def check_ids(session_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """`StoreError` where two turns have one id: the database would pass over the second."""
    for turn_id, count in Counter(row["id"] for row in rows).items():
        if count > 1:
            raise StoreError(f"session {session_id!r} has several turns with the id {turn_id!r}")


def turns_of(rows: Iterable[Sequence[Any]]) -> list[Turn]:
    """The turns in rows of `TURN_COLUMNS`. `ValueError` where a row is damaged."""
    found = []
    for turn_id, role, agent, run_id, created_at, model, *counts, estimated, body, _ in rows:
        fields = json.loads(body)
        fields["id"] = turn_id
        fields["role"] = role
        fields["agent"] = agent
        fields["run_id"] = run_id or None
        fields["created_at"] = moment(created_at)
        fields["model"] = model
        if counts[0] is not None:
            fields["usage"] = dict(zip(COUNTS, counts, strict=True), estimated=bool(estimated))
        found.append(fields)
    return TURNS.validate_python(found)


def text_of(role: str, body: str) -> str:
    """The text of a turn, by two of its columns. `ValueError` where they are damaged."""
    return Turn.model_validate({**json.loads(body), "role": role}).text


def damaged(session_id: str) -> StoreError:
    """The error for a session of which a row cannot be read."""
    return StoreError(f"session {session_id!r} is damaged in the database, or not written by auwgent")
