"""The model that is not asked: a middleware has given its answer already."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from auwgent.models.base import CallPiece, ModelRequest, ModelSpec, Piece, Reply, TextPiece


@dataclass(slots=True)
class GivenModel:
    """Answers with a reply that is there already, in one piece for the text and one for each call."""

    spec: ModelSpec
    reply: Reply

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        if self.reply.text:
            yield TextPiece(self.reply.text)
        for index, call in enumerate(self.reply.calls):
            yield CallPiece(index, call.id or None, call.name, call.arguments)
        yield self.reply

    async def aclose(self) -> None:
        """Nothing is held."""
