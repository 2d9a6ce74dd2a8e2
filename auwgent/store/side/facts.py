"""Stores facts about users, each with a number. What a run notes or forgets counts for others once it has completed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Index, and_, delete, exists, func, or_, select, update

from auwgent.store.database import Database
from auwgent.store.dialects import insert_into, lock
from auwgent.store.rows import Count, MaybeWords, Number, Row, Words
from auwgent.store.tables import micros, moment, to_json

LONGEST_RUN = timedelta(days=365)  # what a run noted that was not over by then is gone


class FactRow(Row, table=True):
    """A fact of a user's. A run that is not over may have noted it, or want it forgotten."""

    __tablename__ = "auwgent_facts"
    __table_args__ = (
        Index("auwgent_facts_user", "user_id", "fact", "noted_in", unique=True),
        {"sqlite_autoincrement": True},  # the number of a fact that was deleted is not given again
    )

    no: Number = None
    user_id: Words  # JSON
    fact: Words  # JSON
    at: Count
    noted_in: Words  # the id of the run; empty where that has completed
    forgotten_in: MaybeWords = None  # the id of the run


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
        .where(facts.c.user_id == to_json(user_id), facts.c.noted_in == "")
        .order_by(facts.c.no)
    )
    rows = database.read(lambda connection: connection.execute(wanted).all())
    return [Fact(number, json.loads(fact), moment(at)) for number, fact, at in rows]


def add(
    database: Database, user_id: str, fact: str, at: datetime, limit: int, run_id: str = ""
) -> int | None:
    """Remember a fact, unless it is known already; its number, None where there are `limit` of them.

    That of a run waits for its end.
    """
    mine = and_(facts.c.user_id == to_json(user_id), facts.c.noted_in.in_(("", run_id)))
    same = and_(mine, facts.c.fact == to_json(fact))
    lasting = or_(facts.c.forgotten_in.is_(None), facts.c.forgotten_in != run_id)

    def work(connection: Connection) -> int | None:
        lock(connection, zlib.crc32(f"facts {user_id}".encode("utf-8", "replace")))
        given_up = and_(facts.c.noted_in != "", facts.c.at < micros(at - LONGEST_RUN))
        connection.execute(delete(facts).where(given_up))
        known = select(facts.c.no).where(same).order_by(facts.c.noted_in)
        number: int | None = connection.execute(known).scalar()
        if number is not None:  # it may be what this run has just forgotten
            connection.execute(update(facts).where(same, ~lasting).values(forgotten_in=None))
            return number
        if connection.execute(select(func.count()).where(mine, lasting)).scalar_one() < limit:
            insert = insert_into(connection, facts).on_conflict_do_nothing()
            row = {"user_id": to_json(user_id), "fact": to_json(fact), "at": micros(at), "noted_in": run_id}
            connection.execute(insert.values(**row))
            number = connection.execute(known).scalar()
        return number

    return database.write(work)


def forget(database: Database, user_id: str, numbers: Collection[int] | None = None, run_id: str = "") -> int:
    """Delete a user's facts, all of them or those with these numbers; how many there were.

    What a run wants forgotten is there for others until its end.
    """
    mine = facts.c.user_id == to_json(user_id)
    if numbers is not None:
        mine = and_(mine, facts.c.no.in_(numbers))
    own, others = and_(mine, facts.c.noted_in == run_id), and_(mine, facts.c.noted_in == "")
    waits = update(facts).where(others, func.coalesce(facts.c.forgotten_in, "") != run_id)

    def work(connection: Connection) -> int:
        if not run_id:
            return connection.execute(delete(facts).where(mine)).rowcount
        count = connection.execute(delete(facts).where(own)).rowcount
        return count + connection.execute(waits.values(forgotten_in=run_id)).rowcount

    count = database.write(work)
    if count and not run_id:
        database.compact()
    return count


def settle(database: Database, user_id: str, run_id: str, *, keep: bool) -> None:
    """A run is over: what it has noted and forgotten counts from now on, or never."""
    mine = facts.c.user_id == to_json(user_id)
    noted, forgotten = and_(mine, facts.c.noted_in == run_id), and_(mine, facts.c.forgotten_in == run_id)

    def work(connection: Connection) -> int:
        if not keep:
            connection.execute(update(facts).where(forgotten).values(forgotten_in=None))
            return connection.execute(delete(facts).where(noted)).rowcount
        gone = connection.execute(delete(facts).where(forgotten)).rowcount
        there = facts.alias()
        is_known = exists().where(
            there.c.user_id == facts.c.user_id, there.c.fact == facts.c.fact, there.c.noted_in == ""
        )
        gone += connection.execute(delete(facts).where(noted, is_known)).rowcount
        connection.execute(update(facts).where(noted).values(noted_in=""))
        return gone

    if database.write(work):
        database.compact()
