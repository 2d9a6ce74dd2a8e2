"""Processes that start quickly: forked from one that has imported the package already."""

from __future__ import annotations

from auwgent.testing.store_suite import forked

forked.set_forkserver_preload(
    [
        "auwgent.testing.store_suite",
        "tests.support.far",
        "tests.support.killed",
        "tests.support.worker",
        # What the store imports only when it is opened.
        "auwgent.store.journal",
        "auwgent.store.migrations",
        "sqlalchemy.dialects.postgresql.psycopg",
    ]
)

__all__ = ["forked"]
