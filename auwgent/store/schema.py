"""The schema's version, and what a run would find where its sessions are kept. A plain file needs no SQLAlchemy.

1   Sessions, runs, turns, the ledger of tool calls, and the processes that are at work.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from auwgent.errors import ConfigError, StoreError
from auwgent.store.base import Schema
from auwgent.store.disks import is_full, warning_of

Steps = Mapping[int, Sequence[str]]

# The statements that lead from the version that is the key to the next one. None is changed once it was released.
STEPS: Steps = {}
SCHEMA_TABLE = "auwgent_schema"
DEFAULT_URL = "sqlite:///.auwgent/sessions.db"
PATIENCE = 5.0  # seconds that the file may be locked
FULL = "the disk is full; make room and try again"


def newest(steps: Steps = STEPS) -> int:
    """Return the version that these steps lead to."""
    return max(steps, default=0) + 1


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Where a database is: its file, if it is one, how that is shown, and how to ask for the schema's version."""

    path: Path | None
    shown: str
    version: Callable[[], int | None]

    def check(self, steps: Steps = STEPS) -> str:
        """Return whether a run could use it, and what the first one would do to it. Nothing is made or changed.

        `StoreError` where it cannot be read or written, or was made by a later release.
        """
        self._refuse_unwritable()
        schema = self.look(steps)
        danger = None if self.path is None else warning_of(self.path)
        more = f"; {danger}" if danger else ""
        if schema.found is None:
            return f"{self.shown}: not there yet, the first run makes it{more}"
        self.refuse_newer(schema)
        if schema.found < schema.newest:
            return f"{self.shown}: version {schema.found}, the first run makes it {schema.newest}{more}"
        return f"{self.shown}: version {schema.found}, up to date{more}"

    def look(self, steps: Steps = STEPS) -> Schema:
        """Return which version the schema has. Nothing is made or changed."""
        is_missing = self.path is not None and not self.path.exists()
        return Schema(None if is_missing else self.version(), newest(steps))

    def refuse_newer(self, schema: Schema) -> None:
        """`StoreError` where the database was written by a later release."""
        if schema.found is not None and schema.found > schema.newest:
            raise StoreError(
                f"{self.shown}: its schema has version {schema.found}, this auwgent knows up to {schema.newest}; "
                "install a newer auwgent"
            )

    def _refuse_unwritable(self) -> None:
        """`StoreError` where the SQLite file, or the nearest folder there is for it, cannot be written."""
        if self.path is None:
            return
        there = next(place for place in (self.path, *self.path.parents) if place.exists())
        for place in (there, there.parent) if there == self.path else (there,):
            if not os.access(place, os.W_OK):
                raise StoreError(f"{self.shown}: {place} cannot be written")
            if place != self.path and not place.is_dir():
                raise StoreError(f"{self.shown}: {place} is not a folder")


def file_of(url: str | None) -> str | None:
    """Return the SQLite file that a URL names and says nothing more of; None where it is for SQLAlchemy to read."""
    found = re.fullmatch(r"sqlite:///([^?%]+)", url or DEFAULT_URL)
    return found[1] if found and found[1] != ":memory:" else None


def check_connections(connections: int | None, url: str | None) -> None:
    """`ConfigError` where that is no number of connections, or one for a file, which has one writer."""
    if connections is None:
        return
    if type(connections) is not int or connections < 1:
        raise ConfigError(f"connections must be a number such as 4, not {connections!r}")
    if url is None or url.startswith("sqlite"):
        raise ConfigError("connections are of PostgreSQL: a SQLite file has one writer, and needs one")


def place_of(file: str, folder: Path) -> DatabasePlace:
    """Return the place of a SQLite file that is not encrypted. A relative one is looked for in the folder."""
    path = folder / Path(file).expanduser()
    return DatabasePlace(path, str(path), lambda: _version(path))


def _version(path: Path) -> int | None:
    address = (
        f"file:{quote(str(path))}?mode=rw"  # SQLite may have to recover from a crash; it creates no file
    )
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as connection:
            has_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            if connection.execute(has_table, (SCHEMA_TABLE,)).fetchone() is None:
                return None
            row = connection.execute(f"SELECT version FROM {SCHEMA_TABLE}").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {FULL if is_full(path) else explain_driver(error)}") from error
    version: int | None = row and row[0]
    return version


def explain_driver(error: BaseException) -> str:
    """Return what a driver's error says, in one line."""
    words = " ".join(str(error).split())
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return FULL
    if name == "SQLITE_NOTADB":
        return "this file is not a SQLite database, or it is encrypted and there is no encryption_key"
    if "database is locked" in words:
        return "the database stays locked by another process"
    return words or type(error).__name__
