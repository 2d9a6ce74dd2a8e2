"""Stores facts about users, each with a number."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Index, delete, func, select

from auwgent.store.database import Database
from auwgent.store.dialects import insert_into, lock
from auwgent.store.rows import Count, Number, Row, Words
from auwgent.store.tables import micros, moment, to_json


class FactRow(Row, table=True):
    """A fact of a user's."""

    __tablename__ = "auwgent_facts"
    __table_args__ = (
        Index("auwgent_facts_user", "user_id", "fact", unique=True),
        {"sqlite_autoincrement": True},  # the number of a fact that was deleted is not given again
    )

    no: Number = None
    user_id: Words  # JSON
    fact: Words  # JSON
    at: Count


facts = FactRow.__table__
TABLES = (facts,)


@dataclass(frozen=True, slots=True)
class Fact:
    number: int
    text: str
    at: datetime


def read(database: Database, user_id: str) -> list[Fact]:
    """Return a user's facts, the oldest first. A job for the database's threads, like all below."""
    wanted = (
        select(facts.c.no, facts.c.fact, facts.c.at)
        .where(facts.c.user_id == to_json(user_id))
        .order_by(facts.c.no)
    )
    rows = database.read(lambda connection: connection.execute(wanted).all())
    return [Fact(number, json.loads(fact), moment(at)) for number, fact, at in rows]


def add(database: Database, user_id: str, fact: str, at: datetime, limit: int) -> int | None:
    """Remember a fact, unless it is known already; its number, None where there are `limit` of them."""
    mine = facts.c.user_id == to_json(user_id)

    def work(connection: Connection) -> int | None:
        lock(connection, zlib.crc32(f"facts {user_id}".encode("utf-8", "replace")))
        known = select(facts.c.no).where(mine, facts.c.fact == to_json(fact))
        number = connection.execute(known).scalar()
        if number is None and connection.execute(select(func.count()).where(mine)).scalar_one() < limit:
            insert = insert_into(connection, facts).on_conflict_do_nothing()
            connection.execute(insert.values(user_id=to_json(user_id), fact=to_json(fact), at=micros(at)))
            number = connection.execute(known).scalar()
        return number

    return database.write(work)


def forget(database: Database, user_id: str, numbers: Collection[int] | None = None) -> int:
    """Delete a user's facts, all of them or those with these numbers; how many there were."""
    doomed = delete(facts).where(facts.c.user_id == to_json(user_id))
    if numbers is not None:
        doomed = doomed.where(facts.c.no.in_(numbers))
    count = database.write(lambda connection: connection.execute(doomed).rowcount)
    if count:
        database.compact()
    return count
