"""An answer that its provider paused, and goes on with when it is sent back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from auwgent.models.answer import to_go_on, together
from auwgent.models.base import ModelRequest, Piece, Reply

PAUSES = 10  # of one answer, at most: a provider that searches for long pauses now and then


async def until_done(
    ask: Callable[[ModelRequest], AsyncGenerator[Piece | Reply, None]], request: ModelRequest
) -> AsyncGenerator[Piece | Reply, None]:
    """Yield all pieces of an answer, however often it is paused, and its parts as one reply."""
    said: list[Reply] = []
    while not said or (said[-1].finish_reason == "paused" and len(said) <= PAUSES):
        async with aclosing(ask(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    said.append(piece)
                else:
                    yield piece
        request = replace(request, turns=[*request.turns, to_go_on(said[-1])])
    yield together(said)
