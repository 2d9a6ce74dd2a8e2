"""Where sessions are kept: the tables, the journal a run writes, and what can be asked of it afterwards.

Importing SQLAlchemy takes longer than all else together, so each module that needs it is loaded when it is used.
"""

from typing import TYPE_CHECKING

from auwgent.imports import lazy

if TYPE_CHECKING:
    from auwgent.store import (
        cipher,
        database,
        dialects,
        entries,
        history,
        journal,
        listings,
        migrations,
        pauses,
        search,
        side,
        statements,
        tables,
    )

__all__ = [
    "cipher",
    "database",
    "dialects",
    "entries",
    "history",
    "journal",
    "listings",
    "migrations",
    "pauses",
    "search",
    "side",
    "statements",
    "tables",
]

__getattr__, __dir__ = lazy(__name__, {name: f"{__name__}.{name}" for name in __all__})
