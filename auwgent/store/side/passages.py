"""Passages of texts and their vectors, by collection: kept, and searched by nearness.

Up to EXACT passages are all compared. Of more, those come first whose vectors point into the same half of the space
in most directions; these are then compared exactly. On PostgreSQL the extension pgvector compares all, where it is.
"""

from __future__ import annotations

import heapq
import json
import math
import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Index, delete, func, insert, select, text
from sqlmodel import Field

from auwgent.errors import StoreError
from auwgent.session import now
from auwgent.store.database import Database
from auwgent.store.dialects import Vector, dialect_of, insert_into
from auwgent.store.rows import Count, KeyWords, Number, Row, Words
from auwgent.store.tables import micros, to_json

EXACT = 2000  # passages
CANDIDATES = 40  # for each passage that is wanted, of a larger collection

REBUILD = "rebuild the index with `auwgent index --renew`"


class SourceRow(Row, table=True):
    """What was put into a collection."""

    __tablename__ = "auwgent_sources"

    collection: KeyWords
    source: KeyWords  # JSON
    digest: Words
    model: Words  # that made the vectors; empty: unknown
    passages: int
    at: Count


class PassageRow(Row, table=True):
    """A passage of a source."""

    __tablename__ = "auwgent_passages"
    __table_args__ = (Index("auwgent_passages_source", "collection", "source"),)

    no: Number = None
    collection: Words
    source: Words  # JSON
    body: Words  # JSON
    signs: bytes  # a bit for each number of the vector: whether it is positive
    vector: Sequence[float] = Field(sa_type=Vector)  # of length 1


sources = SourceRow.__table__
passages = PassageRow.__table__
TABLES = (sources, passages)


@dataclass(frozen=True, slots=True)
class Passage:
    text: str
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    digest: str  # of what it was when it was put in
    passages: int
    model: str = ""  # that made its vectors, where that is known


@dataclass(frozen=True, slots=True)
class NearPassage:
    """A passage that is near; `score` is the cosine of the angle between the vectors, 1 at most."""

    source: str
    text: str
    score: float


def listed(database: Database, collection: str) -> list[Source]:
    """Return what is in a collection. A job for the database's threads, like all below."""
    columns = (sources.c.source, sources.c.digest, sources.c.passages, sources.c.model)
    wanted = select(*columns).where(sources.c.collection == collection).order_by(sources.c.source)
    rows = database.read(lambda connection: connection.execute(wanted).all())
    return [Source(_text(source), *row) for source, *row in rows]


def content(database: Database, collection: str, name: str) -> list[str]:
    """Return the passages of a source, in their order."""
    wanted = select(passages.c.body).where(
        (passages.c.collection == collection) & (passages.c.source == to_json(name))
    )
    rows = database.read(
        lambda connection: connection.execute(wanted.order_by(passages.c.no)).scalars().all()
    )
    return [_text(body) for body in rows]


def put(database: Database, collection: str, source: Source, content: Sequence[Passage]) -> None:
    """Put a source in, in place of what it was before."""
    name = to_json(source.name)
    values = {
        "digest": source.digest,
        "model": source.model,
        "passages": len(content),
        "at": micros(now()),
    }
    rows = [
        {
            "collection": collection,
            "source": name,
            "body": to_json(passage.text),
            **_columns(passage.vector),
        }
        for passage in content
    ]

    def work(connection: Connection) -> None:
        # First of all the source, for which another process waits that puts it in, too.
        statement = insert_into(connection, sources).values(collection=collection, source=name, **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["collection", "source"], set_=values)
        )
        mine = (passages.c.collection == collection) & (passages.c.source == name)
        connection.execute(delete(passages).where(mine))
        if rows:
            connection.execute(insert(passages), rows)

    database.write(work)


def remove(database: Database, collection: str, names: Collection[str]) -> int:
    """Take sources out; how many there were."""
    doomed = [to_json(name) for name in names]

    def work(connection: Connection) -> int:
        counts = []
        for table in (sources, passages):
            where = (table.c.collection == collection) & table.c.source.in_(doomed)
            counts.append(connection.execute(delete(table).where(where)).rowcount)
        return counts[0]

    return database.write(work)


def search(
    database: Database, collection: str, vector: Sequence[float], limit: int, model: str = ""
) -> list[NearPassage]:
    """Return the passages that are nearest, the nearest first. `StoreError` where the vectors do not compare.

    `model` has made the vector; empty: it is not known.
    """
    wanted = unit(vector)

    def work(connection: Connection) -> list[NearPassage]:
        others = (sources.c.collection == collection) & sources.c.model.not_in(("", model))
        other = connection.execute(select(sources.c.model).where(others).limit(1)).scalar() if model else None
        if other is not None:
            raise StoreError(
                f"the index has vectors of {other}, and the model under [embedding] is {model} now: {REBUILD}"
            )
        mine = passages.c.collection == collection
        if dialect_of(connection).finds_vectors(connection):
            return _search_pgvector(connection, collection, wanted, limit)
        if connection.execute(select(func.count()).where(mine)).scalar_one() > EXACT:
            signs = connection.execute(select(passages.c.no, passages.c.signs).where(mine))
            mine = passages.c.no.in_(_nearest_signs(signs, wanted, limit * CANDIDATES))
        rows = connection.execute(select(passages.c.source, passages.c.body, passages.c.vector).where(mine))
        scored = ((_score(wanted, kept), source, body) for source, body, kept in rows)
        best = heapq.nlargest(limit, scored, key=operator.itemgetter(0))
        return [NearPassage(_text(source), _text(body), score) for score, source, body in best]

    return database.read(work)


def unit(vector: Sequence[float]) -> list[float]:
    """Return the vector with length 1; one of zeros stays."""
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]


def _columns(vector: Sequence[float]) -> dict[str, Any]:
    numbers = unit(vector)
    return {"vector": numbers, "signs": _signs(numbers)}


def _signs(numbers: Sequence[float]) -> bytes:
    bits = int("".join("1" if number > 0 else "0" for number in numbers) or "0", 2)
    return bits.to_bytes((len(numbers) + 7) // 8, "big")


def _nearest_signs(rows: Any, wanted: Sequence[float], limit: int) -> list[int]:
    """Return the passages whose vectors have most signs in common with the wanted one."""
    signs = int.from_bytes(_signs(wanted), "big")
    distances = (((signs ^ int.from_bytes(kept, "big")).bit_count(), no) for no, kept in rows)
    return [no for _, no in heapq.nsmallest(limit, distances)]


def _score(wanted: Sequence[float], vector: Sequence[float]) -> float:
    if len(vector) != len(wanted):
        raise StoreError(
            f"the index has vectors of {len(vector)} numbers, and the model under [embedding] now gives "
            f"{len(wanted)}: {REBUILD}"
        )
    return float(sum(map(operator.mul, wanted, vector)))


def _search_pgvector(
    connection: Connection, collection: str, wanted: Sequence[float], limit: int
) -> list[NearPassage]:
    one = select(passages.c.vector).where(passages.c.collection == collection).limit(1)
    _score(wanted, connection.execute(one).scalar() or list(wanted))  # or tell that they do not compare
    statement = text(
        "SELECT source, body, 1 - (vector::vector <=> CAST(:wanted AS vector)) AS score FROM auwgent_passages "
        "WHERE collection = :collection ORDER BY vector::vector <=> CAST(:wanted AS vector) LIMIT :limit"
    )
    rows = connection.execute(
        statement, {"wanted": to_json(list(wanted)), "collection": collection, "limit": limit}
    )
    return [NearPassage(_text(source), _text(body), float(score)) for source, body, score in rows]


def _text(stored: str) -> str:
    return str(json.loads(stored))
