"""What budgets and rate limits count: money and calls by user and day, and the times of what was let through."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
)

from auwgent.store.database import Database
from auwgent.store.dialects import Big, insert_into, lock
from auwgent.store.tables import micros, to_json

tables = MetaData()

spent = Table(
    "auwgent_spent",
    tables,
    Column("user_id", Text, primary_key=True),  # JSON
    Column("day", Text, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("unpriced", Integer, nullable=False),  # calls whose price is not known
    Column("tokens", BigInteger, nullable=False),
    Column("usd", Float, nullable=False),
    Index("auwgent_spent_day", "day"),
)
passed = Table(
    "auwgent_passed",
    tables,
    Column("no", Big, primary_key=True, autoincrement=True),
    Column("what", Text, nullable=False),  # JSON
    Column("at", BigInteger, nullable=False),
    Index("auwgent_passed_what", "what", "at"),
)

Refusal = TypeVar("Refusal")

LOCK_SPENT = 0x617577_7370656E


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used up. `unpriced` are calls whose price is not known; they are not in `usd`."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.usd + other.usd,
            self.unpriced + other.unpriced,
        )

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.calls - other.calls,
            self.tokens - other.tokens,
            self.usd - other.usd,
            self.unpriced - other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """What one user has used up ever and on one day, and all users on that day."""

    user: Spent
    user_day: Spent
    day: Spent


def add(database: Database, user: str, day: str, more: Spent) -> None:
    """Add to what a user has used up on a day. A job for the database's threads, like all below."""
    database.write(lambda connection: _add(connection, user, day, more))


def count_call(
    database: Database, user: str, day: str, more: Spent, refusal: Callable[[Totals], Refusal | None]
) -> Refusal | None:
    """Add what was used up, then count one more call, unless that is refused: then give the refusal.

    Nobody else can count a call meanwhile.
    """

    def work(connection: Connection) -> Refusal | None:
        lock(connection, LOCK_SPENT)
        _add(connection, user, day, more)
        refused = refusal(_totals(connection, user, day))
        if refused is None:
            _add(connection, user, day, Spent(calls=1))
        return refused

    return database.write(work)


def let_pass(database: Database, what: str, limit: int, span: timedelta, at: datetime) -> timedelta:
    """Note that this passes now, and give zero; or, where `limit` have passed in `span`, how long to wait."""
    key, time = to_json(what), micros(at)
    began = time - span // timedelta(microseconds=1)
    is_key = passed.c.what == key

    def work(connection: Connection) -> timedelta:
        lock(connection, zlib.crc32(key.encode()))
        connection.execute(delete(passed).where(is_key, passed.c.at <= began))
        times = connection.execute(select(passed.c.at).where(is_key).order_by(passed.c.at)).scalars().all()
        if len(times) >= limit:
            return timedelta(microseconds=times[-limit] - began)
        connection.execute(insert_into(connection, passed).values(what=key, at=time))
        return timedelta(0)

    return database.write(work)


def _add(connection: Connection, user: str, day: str, more: Spent) -> None:
    if more == Spent():
        return
    insert = insert_into(connection, spent)
    values = {"calls": more.calls, "unpriced": more.unpriced, "tokens": more.tokens, "usd": more.usd}
    statement = insert.values(user_id=to_json(user), day=day, **values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["user_id", "day"],
            set_={name: spent.c[name] + insert.excluded[name] for name in values},
        )
    )


def _totals(connection: Connection, user: str, day: str) -> Totals:
    mine, today = spent.c.user_id == to_json(user), spent.c.day == day
    return Totals(_sum(connection, mine), _sum(connection, mine & today), _sum(connection, today))


def _sum(connection: Connection, condition: ColumnElement[bool]) -> Spent:
    names = ("calls", "tokens", "usd", "unpriced")
    columns = [func.coalesce(func.sum(spent.c[name]), 0) for name in names]
    calls, tokens, usd, unpriced = connection.execute(select(*columns).where(condition)).one()
    return Spent(int(calls), int(tokens), float(usd), int(unpriced))
