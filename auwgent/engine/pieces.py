"""The pieces of a streamed answer, shown as partial intents while they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from auwgent.engine.capabilities import Capability, answers_as_text
from auwgent.engine.state import Frame
from auwgent.hooks.answers import Piece
from auwgent.models.base import CallPiece, TextPiece
from auwgent.outputs import Output, partial_json


@dataclass(slots=True)
class Block:
    """One streamed block: a text, or one call."""

    segment: int
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def raw(self) -> str:
        """What has come so far."""
        self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0]


@dataclass(slots=True)
class Partials:
    """The pieces of one answer, shown as partial intents."""

    frame: Frame
    offered: dict[str, Capability]
    text: Block | None = None
    calls: dict[int, Block] = field(default_factory=dict)

    async def pass_on(self, piece: Any) -> None:
        """Show what a piece adds to the answer; reasoning is not shown."""
        if isinstance(piece, TextPiece) and piece.text:
            await self._text(piece)
        elif isinstance(piece, CallPiece):
            await self._call(piece)

    async def _text(self, piece: TextPiece) -> None:
        run, frame = self.frame.run, self.frame
        if self.text is None:
            self.text = Block(self._segment())
            run.unfinished[id(frame)] = (frame.agent.name, self.text.pieces)
        self.text.pieces.append(piece.text)
        await self._show(self.text, piece.text)

    async def _call(self, piece: CallPiece) -> None:
        block = self.calls.get(piece.index)
        if block is None:
            block = self.calls[piece.index] = Block(self._segment())
        block.name = piece.name or block.name
        block.pieces.append(piece.arguments)
        if block.name in self.offered:
            await self._show(block, piece.arguments)

    async def close(self) -> None:
        """The answer is whole: hooks that held something back can let it go now."""
        for block in (self.text, *self.calls.values()):
            if block is not None and (block is self.text or block.name in self.offered):
                await self._show(block, "", is_last=True)

    def _will_be(self, block: Block) -> tuple[str, Any]:
        """The intent that a block under way will become, and its value so far."""
        output, raw = self.frame.agent.output, block.raw
        if block is self.text:
            if output is not None and answers_as_text(self.offered):
                return "response_schema", _so_far(output, raw)
            return "response_text", {"text": raw}
        capability = self.offered[block.name]
        if capability.kind == "answer":
            assert output is not None
            return "response_schema", _so_far(output, raw)
        if capability.kind == "intent":
            return capability.name, partial_json(raw)
        return f"{capability.kind}_call", {"type": capability.name, "args": partial_json(raw)}

    async def _show(self, block: Block, delta: str, *, is_last: bool = False) -> None:
        """Show a piece to the hooks, then to everybody, unless a hook holds it back.

        The last one of a block is empty, and for hooks alone unless they put something into it.
        """
        chain, frame = self.frame.run.chain, self.frame
        if not (chain.listens("onIntentPartial") or (frame.run.shows_partials and not is_last)):
            return  # nobody would see it, and to put it together takes time
        name, snapshot = self._will_be(block)
        value = {
            "partial": True,
            "complete": False,
            "mode": "text" if name == "response_text" else "structured",
            "segment": block.segment,
            "snapshot": snapshot,
            "raw": block.raw,
            "delta": delta,
        }
        if chain.listens("onIntentPartial"):
            await chain.fire("onIntentPartial", frame.ctx, Piece(name, value, is_last))
            value["complete"] = False
        if value["delta"] or not (delta or is_last):
            await frame.run.emit(name, value, frame.agent.name, partial=True)

    def _segment(self) -> int:
        self.frame.run.segments += 1
        return self.frame.run.segments - 1


def _so_far(output: Output, raw: str) -> dict[str, Any]:
    kind, response = output.partial(partial_json(raw))
    return {"type": kind, "response": response}
