"""Finds words in stored turns. There is no index: it would take an eighth to two times what the text takes.

The database leaves out the turns that cannot hold the words; what is left is looked at here, as people read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, Select, and_, cast, func, or_, select

from auwgent.store.base import Hit
from auwgent.store.tables import damaged, moment, sessions, text_of, to_json, turns

AROUND = 40  # characters of an excerpt on either side of what was found
AT_ONCE = 100  # rows


def hits(connection: Connection, session_nos: Sequence[int], wanted: Sequence[str]) -> list[Hit]:
    """The turns of these sessions whose text has all the words, which are folded, those of the newest one first."""
    found = []
    statement = _candidates(connection.dialect.name, session_nos, wanted)
    rows = connection.execute(statement, execution_options={"yield_per": AT_ONCE})
    for session_id, turn_id, role, created_at, body in rows:
        try:
            excerpt = _excerpt(text_of(role, body), wanted)
        except ValueError as error:
            raise damaged(session_id) from error
        if excerpt is not None:
            found.append(Hit(session_id, turn_id, role, moment(created_at), excerpt))
    return found


def _candidates(dialect: str, session_nos: Sequence[int], wanted: Sequence[str]) -> Select[Any]:
    """All turns that may hold the words, and others: only ASCII, written as it is, is compared in the database."""
    body = turns.c.body
    escaped = body.contains("\\u", autoescape=True)
    lower = _lower(dialect)
    has_all = and_(*(lower.contains(to_json(word)[1:-1], autoescape=True) for word in wanted))
    return (
        select(sessions.c.id, turns.c.id, turns.c.role, turns.c.created_at, body)
        .join_from(turns, sessions, turns.c.session_no == sessions.c.no)
        .where(sessions.c.no.in_(session_nos), or_(has_all, _is_beyond_ascii(dialect), escaped))
        .order_by(sessions.c.updated_at.desc(), sessions.c.no.desc(), turns.c.seat, turns.c.no)
    )


def _lower(dialect: str) -> ColumnElement[str]:
    """The body in lower case, whatever the language of a PostgreSQL server."""
    body = turns.c.body
    return func.lower(body.collate("C") if dialect == "postgresql" else body)


def _is_beyond_ascii(dialect: str) -> ColumnElement[bool]:
    body = turns.c.body
    if dialect == "sqlite":
        return func.length(cast(body, LargeBinary)) != func.length(body)
    return func.octet_length(body) != func.char_length(body)


def _excerpt(text: str, wanted: Sequence[str]) -> str | None:
    """One line of the text around the first of the words; None where one of them is missing."""
    folded = text.casefold()
    if not all(word in folded for word in wanted):
        return None
    place = min(folded.index(word) for word in wanted)
    start, end = max(0, place - AROUND), place + AROUND
    line = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{line}{'…' if end < len(text) else ''}"
