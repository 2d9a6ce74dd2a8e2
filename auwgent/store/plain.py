"""Statements as the driver takes them: what a run writes at each step is small, and SQLAlchemy's way to it is not.

They are made by SQLAlchemy all the same, once for each database, and run in its transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement


def run(connection: Connection, statement: Any, values: Mapping[str, Any]) -> Any:
    """Execute a statement on the connection of a transaction; gives the driver's cursor.

    `values` have their parameters by name, of plain types, and an `INSERT` has the columns that they name. Who listens
    to SQLAlchemy hears of it as of any other.
    """
    text = _text(statement, connection.dialect, tuple(values))
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.cursor()
        for hear in connection.dispatch.before_cursor_execute:
            hear(connection, cursor, text, values, None, False)
        cursor.execute(text, values)
        for hear in connection.dispatch.after_cursor_execute:
            hear(connection, cursor, text, values, None, False)
        return cursor
    except connection.dialect.loaded_dbapi.Error as error:
        raise _told(connection.dialect, error, driver) from error


def _told(dialect: Dialect, error: Any, driver: Any) -> Exception:
    """Return a driver's error in the form that SQLAlchemy gives it, without the statement and its parameters."""
    base: Any = dialect.loaded_dbapi.Error
    is_lost = dialect.is_disconnect(error, driver, None)
    same: Exception = DBAPIError.instance(
        None, None, error, base, hide_parameters=True, connection_invalidated=is_lost, dialect=dialect
    )
    return same


@lru_cache(256)
def _text(statement: ClauseElement, dialect: Dialect, columns: tuple[str, ...]) -> str:
    kind: Any = type(dialect)
    named = kind(paramstyle="pyformat" if dialect.paramstyle == "pyformat" else "named")
    return str(statement.compile(dialect=named, column_keys=list(columns)))
