"""Finds words in stored turns. There is no index: it would take an eighth to two times what the text takes.

The database leaves out the turns that cannot hold the words; what is left is looked at here, as people read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select

from auwgent.store.base import Hit
from auwgent.store.dialects import Dialect, dialect_of
from auwgent.store.tables import damaged, moment, sessions, text_of, to_json, turns

AROUND = 40  # characters of an excerpt on either side of what was found
AT_ONCE = 100  # rows


def hits(connection: Connection, session_nos: Sequence[int], wanted: Sequence[str]) -> list[Hit]:
    """The turns of these sessions whose text has all the words, which are folded, those of the newest one first."""
    found = []
    statement = _candidates(dialect_of(connection), session_nos, wanted)
    rows = connection.execute(statement, execution_options={"yield_per": AT_ONCE})
    for session_id, turn_id, role, created_at, body in rows:
        try:
            excerpt = _excerpt(text_of(role, body), wanted)
        except ValueError as error:
            raise damaged(session_id) from error
        if excerpt is not None:
            found.append(Hit(session_id, turn_id, role, moment(created_at), excerpt))
    return found


def _candidates(dialect: Dialect, session_nos: Sequence[int], wanted: Sequence[str]) -> Select[Any]:
    """All turns that may hold the words, and others: only ASCII, written as it is, is compared in the database."""
    body = turns.c.body
    escaped = body.contains("\\u", autoescape=True)
    lower = dialect.lower(body)
    has_all = and_(*(lower.contains(to_json(word)[1:-1], autoescape=True) for word in wanted))
    return (
        select(sessions.c.id, turns.c.id, turns.c.role, turns.c.created_at, body)
        .join_from(turns, sessions, turns.c.session_no == sessions.c.no)
        .where(sessions.c.no.in_(session_nos), or_(has_all, dialect.is_beyond_ascii(body), escaped))
        .order_by(sessions.c.updated_at.desc(), sessions.c.no.desc(), turns.c.seat, turns.c.no)
    )


def _excerpt(text: str, wanted: Sequence[str]) -> str | None:
    """One line of the text around the first of the words; None where one of them is missing."""
    folded = text.casefold()
    if not all(word in folded for word in wanted):
        return None
    place = min(folded.index(word) for word in wanted)
    start, end = max(0, place - AROUND), place + AROUND
    line = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{line}{'…' if end < len(text) else ''}"
