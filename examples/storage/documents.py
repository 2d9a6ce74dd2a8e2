"""Sessions as documents, in a JSONB column of PostgreSQL: `pip install 'auwgent[postgres]'`."""

import json
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from auwgent import Session, SessionConflict

TABLE = """
    CREATE TABLE IF NOT EXISTS documents (
        user_id text, id text, version integer NOT NULL, session jsonb NOT NULL, PRIMARY KEY (user_id, id)
    )
"""
FIND = "SELECT version, session FROM documents WHERE user_id = %s AND id = %s"
ADD = "INSERT INTO documents (session, version, user_id, id) VALUES (%s, 1, %s, %s)"
REPLACE = """
    UPDATE documents SET session = %s, version = version + 1 WHERE user_id = %s AND id = %s AND version = %s
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('documents'))"  # the first ones make the table one by one


class Documents:
    """Keeps each session in a row. Of two runs at once on one session, the second fails."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> None:
        async with await AsyncConnection.connect(self.url) as connection:
            await connection.execute(LOCK)
            await connection.execute(TABLE)

    async def onRunStart(self, session: Session, ctx: Any) -> Any:
        async with await AsyncConnection.connect(self.url) as connection:
            found = await connection.execute(FIND, (ctx.userId, ctx.sessionId))
            version, stored = await found.fetchone() or (0, None)
        ctx["document_version"] = version
        return stored

    async def onRunComplete(self, session: Session, ctx: Any) -> None:
        version = ctx.get("document_version")
        values = [without_nul(session), ctx.userId, session.id]
        async with await AsyncConnection.connect(self.url) as connection:
            try:
                if version:
                    done = await connection.execute(REPLACE, [*values, version])
                else:
                    done = await connection.execute(ADD, values)
                changed = done.rowcount
            except UniqueViolation:
                changed = 0
        if not changed:
            raise SessionConflict(f"another run saved session {session.id!r} meanwhile")


def without_nul(session: Session) -> Jsonb:
    """JSONB holds no NUL; a replacement character takes its place."""

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\0", "\ufffd")
        if isinstance(value, list):
            return [replaced(one) for one in value]
        if isinstance(value, dict):
            return {replaced(key): replaced(one) for key, one in value.items()}
        return value

    return Jsonb(replaced(session.model_dump(mode="json")), dumps=json.dumps)
