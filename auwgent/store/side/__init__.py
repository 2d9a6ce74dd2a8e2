"""Small tables beside the sessions, for middleware that counts or keeps something, shared by all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Table

from auwgent.locks import ProcessLock
from auwgent.store.database import Database
from auwgent.store.dialects import lock, parse_url
from auwgent.store.rows import Row

P = ParamSpec("P")
T = TypeVar("T")

LOCK = 0x61757769646573  # "auwides", for PostgreSQL's advisory lock

# Of the process that this one was forked from, or of files that are gone: to close them might harm those who use them.
left: list[Database] = []


class SideDatabase:
    """A database with some tables, opened at its first use.

    `url` is one of those that sessions may have, or `sqlite://`, which is kept in this process until it is
    closed. None stands for the SQLite file `default`, relative to the folder that it is opened with. Raises
    `ConfigError` where the URL is none.
    """

    def __init__(self, url: str | None, tables: Sequence[Table], *, default: str) -> None:
        self._url = parse_url(url or f"sqlite:///{default}")
        self._tables = tables
        self._opening = ProcessLock()
        self._database: Database | None = None

    async def open(self, folder: Path | None) -> None:
        """Open it once, however many ask for it at the same time, and create the tables that are missing.

        It is opened again in a forked process, and where its file was removed or replaced.
        """
        if self._database is None or self._database.is_lost:
            await asyncio.to_thread(self._open, folder or Path.cwd())

    async def run(
        self,
        folder: Path | None,
        job: Callable[Concatenate[Database, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a job in a thread of the database."""
        await self.open(folder)
        assert self._database is not None
        return await self._database.run(job, self._database, *args, **kwargs)

    async def close(self) -> None:
        """Let what is under way end, then close it. It may be opened again."""
        database, self._database = self._database, None
        if database is not None and not database.is_foreign:
            await database.close()

    def _open(self, folder: Path) -> None:
        with self._opening:
            if self._database is not None and not self._database.is_lost:
                return
            if self._database is not None:
                left.append(self._database)
            database = Database(self._url, folder=folder)
            try:
                database.submit(self._create, database).result()
            except BaseException:
                asyncio.run(database.close())
                raise
            self._database = database

    def _create(self, database: Database) -> None:
        def create(connection: Connection) -> None:
            lock(connection, LOCK)
            Row.metadata.create_all(connection, tables=self._tables)

        database.create_file()
        database.write(create)
