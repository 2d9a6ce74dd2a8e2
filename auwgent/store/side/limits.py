"""Counts for budgets and rate limits: money, tokens and calls by scope, and the times of past calls."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Index, delete, func, select, true, update

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


class AsideRow(Row, table=True):
    """What is set aside in a scope for a request under way. It is counted in `SpentRow`, too."""

    __tablename__ = "auwgent_set_aside"
    __table_args__ = (Index("auwgent_set_aside_what", "what"),)

    request: KeyWords
    what: KeyWords  # JSON
    run: Words
    tokens: Count
    usd: float
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
aside = AsideRow.__table__
TABLES = (spent, passed, aside)

T = TypeVar("T")
What = tuple[str, ...]

UNITS = ("calls", "tool_calls", "tokens", "usd", "unpriced")
LOCK_SPENT = 0x617577_7370656E
UNDER_WAY = timedelta(
    minutes=2
)  # what was set aside before that is of a process that died, or of a long answer


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


@dataclass(frozen=True, slots=True)
class Request:
    """A request for which something is set aside. `nested`: another one of its run may be waiting for it."""

    id: str
    run: str
    nested: bool = False


def reserve(
    database: Database,
    first: Mapping[What, Spent],
    decide: Callable[[Mapping[What, Spent], Mapping[What, Spent]], tuple[T, Mapping[What, Spent]]],
    at: datetime,
    request: Request | None = None,
) -> T:
    """Have `decide` see what stands, and what of it others may give back; add what it wants added.

    `first` has all that is to be seen, with what it is where it does not stand yet. Whoever comes meanwhile waits. A
    job for the database's threads, like all below.
    """

    def work(connection: Connection) -> T:
        lock(connection, LOCK_SPENT)
        columns = [spent.c[name] for name in UNITS]
        stands: dict[What, Spent] = {}
        others: dict[What, Spent] = {}
        for what, unknown in first.items():
            row = connection.execute(select(*columns).where(spent.c.what == to_json(what))).first()
            stands[what] = unknown if row is None else Spent(*row)
            others[what] = Spent() if request is None else _of_others(connection, what, request, at)
            if row is None and unknown != Spent():
                _add(connection, what, unknown, at)
        decided, more = decide(stands, others)
        for what, amount in more.items():
            _add(connection, what, amount, at)
            if request is not None:
                _set_aside(connection, what, amount, request, at)
        return decided

    return database.write(work, once=True)


def add(database: Database, more: Mapping[What, Spent], at: datetime, over: str) -> None:
    """Add to what was used up, less than nothing gives back what was set aside; the request is `over` there."""

    def work(connection: Connection) -> None:
        lock(connection, LOCK_SPENT)
        for what, amount in more.items():
            _add(connection, what, amount, at)
            connection.execute(delete(aside).where(aside.c.request == over, aside.c.what == to_json(what)))

    database.write(work, once=True)


def _of_others(connection: Connection, what: What, request: Request, at: datetime) -> Spent:
    """Return what others have set aside, and may give back in a moment."""
    span = UNDER_WAY // timedelta(microseconds=1)
    found = select(
        func.coalesce(func.sum(aside.c.tokens), 0), func.coalesce(func.sum(aside.c.usd), 0.0)
    ).where(
        aside.c.what == to_json(what),
        aside.c.request != request.id,
        aside.c.at.between(micros(at) - span, micros(at) + span),
        aside.c.run != request.run if request.nested else true(),
    )
    tokens, usd = connection.execute(found).one()
    return Spent(tokens=int(tokens), usd=float(usd))


def _set_aside(connection: Connection, what: What, more: Spent, request: Request, at: datetime) -> None:
    insert = insert_into(connection, aside)
    statement = insert.values(
        request=request.id,
        what=to_json(what),
        run=request.run,
        tokens=more.tokens,
        usd=more.usd,
        at=micros(at),
    )
    sums = {name: aside.c[name] + insert.excluded[name] for name in ("tokens", "usd")}
    connection.execute(statement.on_conflict_do_update(index_elements=["request", "what"], set_=sums))


def forget(database: Database, scope: str, before: datetime) -> None:
    """Forget what was used up in a scope that nobody has used since, and requests of processes that died."""
    old = spent.c.what.startswith(to_json((scope,))[:-1]) & (spent.c.at < micros(before))

    def work(connection: Connection) -> None:
        connection.execute(delete(spent).where(old))
        connection.execute(delete(aside).where(aside.c.at < micros(before)))

    database.write(work)


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
