"""Answers by the hash of what was asked."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Index, delete, func, select

from auwgent.store.database import Database
from auwgent.store.dialects import insert_into
from auwgent.store.rows import Count, KeyWords, Row, Words
from auwgent.store.tables import micros, to_json

ROOM = 0.9  # of what may be kept that is left when some must go, so that it is not at each write


class AnswerRow(Row, table=True):
    """What was answered, and when."""

    __tablename__ = "auwgent_answers"
    __table_args__ = (Index("auwgent_answers_at", "at"),)

    question: KeyWords  # a hash
    at: Count
    answer: Words  # JSON


answers = AnswerRow.__table__
TABLES = (answers,)


def find(database: Database, question: str, since: datetime) -> Any:
    """The answer that was kept since then; None where there is none. A job for the database's threads, like all."""
    wanted = select(answers.c.answer).where(answers.c.question == question, answers.c.at >= micros(since))
    found = database.read(lambda connection: connection.execute(wanted).scalar())
    return None if found is None else json.loads(found)


def keep(
    database: Database, question: str, answer: Any, at: datetime, since: datetime, max_size: int | None = None
) -> None:
    """Keep an answer, unless there is one since then: using an answer does not make it younger.

    What was kept before `since` goes, and of the rest the oldest, where all have more than `max_size` characters.
    """
    values: dict[str, Any] = {"at": micros(at), "answer": to_json(answer)}
    if max_size is not None and len(values["answer"]) > max_size:
        return
    too_old = answers.c.at < micros(since)

    def work(connection: Connection) -> None:
        statement = insert_into(connection, answers).values(question=question, **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["question"], set_=values, where=too_old)
        )
        connection.execute(delete(answers).where(too_old))
        filled = connection.execute(select(func.sum(func.length(answers.c.answer)))).scalar() or 0
        if max_size is None or filled <= max_size:
            return
        oldest = select(answers.c.at, func.length(answers.c.answer)).order_by(answers.c.at)
        for moment, size in connection.execute(oldest).all():
            filled -= size
            if filled <= max_size * ROOM:
                connection.execute(delete(answers).where(answers.c.at <= moment))
                break

    database.write(work)


def forget(database: Database, before: datetime) -> None:
    """Delete what was kept before then."""
    statement = delete(answers).where(answers.c.at < micros(before))
    database.write(lambda connection: connection.execute(statement))
