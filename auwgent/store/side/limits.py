"""Counts for budgets and rate limits: money, tokens and calls by scope, and the times of past calls."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Index, delete, select, update

from auwgent.store.database import Database
from auwgent.store.dialects import insert_into, lock
from auwgent.store.rows import Count, KeyWords, Number, Row, Words
from auwgent.store.tables import micros, to_json


class SpentRow(Row, table=True):
    """What was used up in a scope."""

    __tablename__ = "auwgent_spent"
    __table_args__ = (Index("auwgent_spent_at", "at"),)

    what: KeyWords  # JSON: a scope and whose it is
    calls: Count
    tool_calls: Count
    tokens: Count
    usd: float
    unpriced: Count  # requests whose price is not known
    at: Count


class PassedRow(Row, table=True):
    """One that was let through."""

    __tablename__ = "auwgent_passed"
    __table_args__ = (Index("auwgent_passed_what", "what", "at"),)

    no: Number = None
    what: Words  # JSON
    at: Count


spent = SpentRow.__table__
passed = PassedRow.__table__
TABLES = (spent, passed)

T = TypeVar("T")
What = tuple[str, ...]

UNITS = ("calls", "tool_calls", "tokens", "usd", "unpriced")
LOCK_SPENT = 0x617577_7370656E


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used up or set aside. `unpriced` are requests whose price is not known; they are not in `usd`."""

    calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(mine - its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def reserve(
    database: Database,
    first: Mapping[What, Spent],
    decide: Callable[[Mapping[What, Spent]], tuple[T, Mapping[What, Spent]]],
    at: datetime,
) -> T:
    """Have `decide` see what stands, and add what it wants added; whoever comes meanwhile waits.

    `first` has all that is to be seen, with what it is where it does not stand yet. A job for the database's
    threads, like all below.
    """

    def work(connection: Connection) -> T:
        lock(connection, LOCK_SPENT)
        columns = [spent.c[name] for name in UNITS]
        stands: dict[What, Spent] = {}
        for what, unknown in first.items():
            row = connection.execute(select(*columns).where(spent.c.what == to_json(what))).first()
            stands[what] = unknown if row is None else Spent(*row)
            if row is None and unknown != Spent():
                _add(connection, what, unknown, at)
        decided, more = decide(stands)
        for what, amount in more.items():
            _add(connection, what, amount, at)
        return decided

    return database.write(work, once=True)


def add(database: Database, more: Mapping[What, Spent], at: datetime) -> None:
    """Add to what was used up; less than nothing gives back what was set aside."""

    def work(connection: Connection) -> None:
        lock(connection, LOCK_SPENT)
        for what, amount in more.items():
            _add(connection, what, amount, at)

    database.write(work, once=True)


def forget(database: Database, scope: str, before: datetime) -> None:
    """Forget what was used up in a scope that nobody has used since."""
    old = spent.c.what.startswith(to_json((scope,))[:-1]) & (spent.c.at < micros(before))
    database.write(lambda connection: connection.execute(delete(spent).where(old)))


def let_pass(database: Database, what: str, limit: int, span: timedelta, at: datetime) -> timedelta:
    """Note that this passes now, and give zero; or, where `limit` have passed in `span`, how long to wait.

    What passed later than now, by a clock that was ahead, has passed now.
    """
    key, time = to_json(what), micros(at)
    began = time - span // timedelta(microseconds=1)
    is_key = passed.c.what == key

    def work(connection: Connection) -> timedelta:
        lock(connection, zlib.crc32(key.encode()))
        connection.execute(delete(passed).where(is_key, passed.c.at <= began))
        connection.execute(update(passed).where(is_key, passed.c.at > time).values(at=time))
        times = connection.execute(select(passed.c.at).where(is_key).order_by(passed.c.at)).scalars().all()
        if len(times) >= limit:
            return timedelta(microseconds=times[-limit] - began)
        connection.execute(insert_into(connection, passed).values(what=key, at=time))
        return timedelta(0)

    return database.write(work, once=True)


def _add(connection: Connection, what: What, more: Spent, at: datetime) -> None:
    if more == Spent():
        return
    insert = insert_into(connection, spent)
    values = dict(zip(UNITS, astuple(more), strict=True))
    statement = insert.values(what=to_json(what), at=micros(at), **values)
    sums = {name: spent.c[name] + insert.excluded[name] for name in values}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["what"], set_={**sums, "at": insert.excluded.at})
    )
