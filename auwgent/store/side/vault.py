"""Stores what the placeholders of a session stand for, so that it outlives the process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, literal, select, update

from auwgent.store.companions import SessionKey
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
    wanted = select(secrets.c.placeholder, secrets.c.secret).where(*_of(user_id, session_id))
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


def copy(database: Database, user_id: str, session_id: str, new_id: str) -> None:
    """Give a copy of a session the secrets of the original."""
    rows = select(secrets.c.user_id, literal(to_json(new_id)), secrets.c.placeholder, secrets.c.secret).where(
        *_of(user_id, session_id)
    )
    names = ["user_id", "session_id", "placeholder", "secret"]

    def work(connection: Connection) -> None:
        _forget(connection, [(user_id, new_id)])  # of a session that had this id once
        connection.execute(insert_into(connection, secrets).from_select(names, rows))

    database.write(work)


def move(database: Database, user_id: str, session_id: str, new_id: str) -> None:
    """Keep the secrets of a session under its new id."""
    moved = update(secrets).where(*_of(user_id, session_id)).values(session_id=to_json(new_id))

    def work(connection: Connection) -> None:
        _forget(connection, [(user_id, new_id)])
        connection.execute(moved)

    database.write(work, once=True)


def forget(database: Database, sessions: Sequence[SessionKey]) -> None:
    """Delete the secrets of sessions, from the disk as well."""
    database.write(lambda connection: _forget(connection, sessions))
    database.compact()


def _of(user_id: str, session_id: str) -> tuple[ColumnElement[bool], ...]:
    return secrets.c.user_id == to_json(user_id), secrets.c.session_id == to_json(session_id)


def _forget(connection: Connection, sessions: Sequence[SessionKey]) -> None:
    for user_id, session_id in sessions:
        connection.execute(delete(secrets).where(*_of(user_id, session_id)))
