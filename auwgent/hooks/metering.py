"""Middleware that is asked before each request: retries, stand-ins, embeddings, middleware's own calls."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from auwgent.hooks.context import Context
from auwgent.models.quotes import Quote, Reserved

ASKING: ContextVar[str] = ContextVar("auwgent middleware", default="")  # whose hook is under way


@dataclass(frozen=True, slots=True)
class Outlay:
    """A request that is about to be sent, and for whom."""

    quote: Quote
    agent: str
    by: str  # the middleware that asks; empty: the agent itself
    call: bool  # whether it counts as a model call: it is no embedding, and no earlier try of the call counts as one
    targets: frozenset[str] | None  # the agents that the meter is for; None: all
    retry: bool = False  # whether it is another try of a call, or asks a stand-in


class Meter:
    """Base of a middleware that counts requests, or refuses them with `LimitExceeded`."""

    async def reserve(self, outlay: Outlay, ctx: Context) -> Reserved | None:
        """Set aside what the request may use; None: it is not counted."""
        raise NotImplementedError
