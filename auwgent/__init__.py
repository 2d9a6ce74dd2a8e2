"""Auwgent: a multi-provider agent runtime with a declarative config file.

Importing this package is quick and does nothing: each name is loaded when it is first used.
"""

from typing import TYPE_CHECKING

from auwgent.imports import lazy

if TYPE_CHECKING:
    from auwgent.engine.agent import ApprovalRequest
    from auwgent.entry import auwgent
    from auwgent.errors import (
        AuwgentError,
        ConfigError,
        LimitExceeded,
        MiddlewareError,
        ProviderError,
        RunConflict,
        RunFailed,
        RunPaused,
        SessionConflict,
        SessionNotFound,
        ToolError,
    )
    from auwgent.hooks.context import AuwgentMiddleware, Context, Middleware
    from auwgent.intents import AuwgentBaseIntentHandler, Intent
    from auwgent.models.base import CallPiece, Model, ModelRequest, RawCall, ReasoningPiece, Reply, TextPiece
    from auwgent.runtime import Runtime
    from auwgent.session import Session, ToolCall, Turn, Usage

__version__ = "0.1.0"

__all__ = [
    "ApprovalRequest",
    "AuwgentBaseIntentHandler",
    "AuwgentError",
    "AuwgentMiddleware",
    "CallPiece",
    "ConfigError",
    "Context",
    "Intent",
    "LimitExceeded",
    "Middleware",
    "MiddlewareError",
    "Model",
    "ModelRequest",
    "ProviderError",
    "RawCall",
    "ReasoningPiece",
    "Reply",
    "RunConflict",
    "RunFailed",
    "RunPaused",
    "Runtime",
    "Session",
    "SessionConflict",
    "SessionNotFound",
    "TextPiece",
    "ToolCall",
    "ToolError",
    "Turn",
    "Usage",
    "auwgent",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        **dict.fromkeys(
            (
                "AuwgentError",
                "ConfigError",
                "LimitExceeded",
                "MiddlewareError",
                "ProviderError",
                "RunConflict",
                "RunFailed",
                "RunPaused",
                "RunPaused",
                "SessionConflict",
                "SessionNotFound",
                "ToolError",
            ),
            "auwgent.errors",
        ),
        "ApprovalRequest": "auwgent.engine.agent",
        **dict.fromkeys(
            ("CallPiece", "Model", "ModelRequest", "RawCall", "ReasoningPiece", "Reply", "TextPiece"),
            "auwgent.models.base",
        ),
        **dict.fromkeys(("AuwgentBaseIntentHandler", "Intent"), "auwgent.intents"),
        **dict.fromkeys(("AuwgentMiddleware", "Context", "Middleware"), "auwgent.hooks.context"),
        "Runtime": "auwgent.runtime",
        "auwgent": "auwgent.entry",
        **dict.fromkeys(("Session", "ToolCall", "Turn", "Usage"), "auwgent.session"),
    },
)
