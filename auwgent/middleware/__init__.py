"""Middleware: the base and the bundled ones. Each is loaded when it is first named."""

from typing import TYPE_CHECKING

from auwgent.imports import lazy

if TYPE_CHECKING:
    from auwgent.hooks.context import AuwgentMiddleware, Context, Middleware
    from auwgent.middleware.approve import Approve
    from auwgent.middleware.audit import Audit
    from auwgent.middleware.budget import Budget
    from auwgent.middleware.cache import Cache
    from auwgent.middleware.compaction import Compaction
    from auwgent.middleware.kept import (
        Amount,
        Bytes,
        Configured,
        Count,
        Given,
        InFolder,
        Kept,
        Many,
        Time,
        option,
    )
    from auwgent.middleware.moderate import Moderate
    from auwgent.middleware.ratelimit import RateLimit
    from auwgent.middleware.redact import Redact
    from auwgent.middleware.remember import Remember
    from auwgent.middleware.retrieve import Retrieve
    from auwgent.middleware.sessions import SQLModelSessions
    from auwgent.middleware.trace import Trace

__all__ = [
    "Amount",
    "Approve",
    "Audit",
    "AuwgentMiddleware",
    "Budget",
    "Bytes",
    "Cache",
    "Compaction",
    "Configured",
    "Context",
    "Count",
    "Given",
    "InFolder",
    "Kept",
    "Many",
    "Middleware",
    "Moderate",
    "RateLimit",
    "Redact",
    "Remember",
    "Retrieve",
    "SQLModelSessions",
    "Time",
    "Trace",
    "option",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        **dict.fromkeys(("AuwgentMiddleware", "Context", "Middleware"), "auwgent.hooks.context"),
        **dict.fromkeys(
            ("Amount", "Bytes", "Configured", "Count", "Given", "InFolder", "Kept", "Many", "Time", "option"),
            "auwgent.middleware.kept",
        ),
        "Approve": "auwgent.middleware.approve",
        "Audit": "auwgent.middleware.audit",
        "Budget": "auwgent.middleware.budget",
        "Cache": "auwgent.middleware.cache",
        "Compaction": "auwgent.middleware.compaction",
        "Moderate": "auwgent.middleware.moderate",
        "RateLimit": "auwgent.middleware.ratelimit",
        "Redact": "auwgent.middleware.redact",
        "Remember": "auwgent.middleware.remember",
        "Retrieve": "auwgent.middleware.retrieve",
        "SQLModelSessions": "auwgent.middleware.sessions",
        "Trace": "auwgent.middleware.trace",
    },
)
