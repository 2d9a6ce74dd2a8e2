"""Stores what the placeholders of a session stand for, so that it outlives the process."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import select

from auwgent.store.database import Database
from auwgent.store.dialects import insert_into
from auwgent.store.rows import KeyWords, Row, Words
from auwgent.store.tables import to_json


class SecretRow(Row, table=True):
    """A secret of a session, and what stands in its place."""

    __tablename__ = "auwgent_secrets"

    user_id: KeyWords  # JSON
    session_id: KeyWords  # JSON
    placeholder: KeyWords
    secret: Words  # JSON


secrets = SecretRow.__table__
TABLES = (secrets,)


def read(database: Database, user_id: str, session_id: str) -> dict[str, str]:
    """Return the secrets of a session by their placeholders. A job for the database's threads, like the next."""
    wanted = select(secrets.c.placeholder, secrets.c.secret).where(
        secrets.c.user_id == to_json(user_id), secrets.c.session_id == to_json(session_id)
    )
    rows = database.read(lambda connection: connection.execute(wanted).all())
    return {placeholder: json.loads(secret) for placeholder, secret in rows}


def add(database: Database, user_id: str, session_id: str, more: Mapping[str, str]) -> None:
    """Keep more of them; a placeholder that is known keeps its meaning."""
    rows = [
        {
            "user_id": to_json(user_id),
            "session_id": to_json(session_id),
            "placeholder": placeholder,
            "secret": to_json(secret),
        }
        for placeholder, secret in more.items()
    ]
    database.write(
        lambda connection: connection.execute(insert_into(connection, secrets).on_conflict_do_nothing(), rows)
    )
