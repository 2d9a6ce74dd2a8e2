"""The pieces of a streamed answer, shown as partial intents while they come."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from auwgent.engine.capabilities import Capability, answers_as_text
from auwgent.engine.order import Followed
from auwgent.engine.state import Frame
from auwgent.hooks.answers import Piece
from auwgent.models.base import CallPiece, ReasoningPiece, TextPiece
from auwgent.outputs import partial_json


@dataclass(slots=True)
class Block:
    """One streamed block: a text, a thought, or one call."""

    segment: int
    name: str = ""
    id: str | None = None  # of a call
    pieces: list[str] = field(default_factory=list)
    _joined: str = ""  # of the first `_count` pieces
    _count: int = 0

    def text(self, count: int) -> str:
        """Join the first `count` pieces; what was joined before is not joined again."""
        if count < self._count:
            return "".join(self.pieces[:count])
        self._joined += "".join(self.pieces[self._count : count])
        self._count = count
        return self._joined


class PieceValue(dict[str, Any]):
    """The value of a partial intent. `raw` and `snapshot` repeat all that came before: they are made when looked at."""

    def __init__(self, partials: Partials, block: Block, name: str, delta: str) -> None:
        super().__init__(
            partial=True,
            complete=False,
            mode="structured" if partials.is_structured(block) else "text",
            segment=block.segment,
            snapshot=None,
            raw=None,
            delta=delta,
        )
        if block.id is not None:
            self["id"] = block.id
        self._partials, self._block, self._name, self._count = partials, block, name, len(block.pieces)
        self._unmade = {"raw", "snapshot"}

    def _make(self, *keys: str) -> None:
        for key in self._unmade.intersection(keys):
            raw = self._block.text(self._count)
            self[key] = raw if key == "raw" else self._partials.snapshot(self._block, self._name, raw)

    def __getitem__(self, key: str) -> Any:
        self._make(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.__dict__.get("_unmade", set()).discard(key)

    def update(self, *others: Any, **values: Any) -> None:
        for key, value in dict(*others, **values).items():
            self[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        self._make(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._make(key)
        return super().pop(key, *default)

    # As long as a dict iterates by a method of its own, `dict(value)`, `{**value}` and `json.dumps` read all by these.

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._make("raw", "snapshot")
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._make("raw", "snapshot")
        return super().values()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)


class Partials:
    """The pieces of one answer. Each is told to the hooks, then to everybody."""

    def __init__(self, frame: Frame, offered: dict[str, Capability]) -> None:
        self.frame, self.offered = frame, offered
        self._text: Block | None = None
        self._thought: Block | None = None
        self._calls: dict[int, Block] = {}
        # Nobody may want them: neither the hooks, nor those who see the last pieces of blocks and all others.
        self._has_hooks = frame.run.chain.listens("onIntentPartial")
        self._is_shown = self._has_hooks or frame.run.shows_partials
        self._followed = frame.run.sink if isinstance(frame.run.sink, Followed) else None
        self.may_be_shown = self._is_shown or self._followed is not None

    async def pass_on(self, piece: Any) -> None:
        """Show what a piece adds to the answer."""
        if isinstance(piece, TextPiece) and piece.text:
            if self._text is None:
                self._text = self._block()
                self.frame.run.unfinished[id(self.frame)] = (self.frame.agent.name, self._text.pieces)
            await self._add(self._text, piece.text)
        elif isinstance(piece, ReasoningPiece) and piece.text:
            if self._thought is None:
                self._thought = self._block("reasoning")
            await self._add(self._thought, piece.text)
        elif isinstance(piece, CallPiece):
            block = self._calls.get(piece.index)
            if block is None:
                block = self._calls[piece.index] = self._block()
                block.id = self.frame.run.call_id(piece.id)
            block.name = piece.name or block.name
            await self._add(block, piece.arguments)

    def under_way(self) -> AbstractContextManager[None]:
        """While the answer comes: who begins to read it elsewhere is shown what has come."""
        is_silent = self._followed is not None and not self._is_shown
        return self._followed.saying(self._again) if self._followed and is_silent else nullcontext()

    async def close(self) -> None:
        """End the answer, so that hooks that held something back let it go."""
        if self._has_hooks:
            for block in (self._thought, self._text, *self._calls.values()):
                if block is not None:
                    await self._show(block, "", is_last=True)

    def call_id(self, index: int, name: str, wanted: str) -> str:
        """Return the id of the reply's call number `index`: the one it was shown with, if it was."""
        block = self._calls.get(index)
        if block is not None and block.name == name and block.id is not None:
            return block.id
        return self.frame.run.call_id(wanted)

    def is_structured(self, block: Block) -> bool:
        """Return whether a block holds JSON."""
        if block is self._text:
            return self.frame.agent.output is not None and answers_as_text(self.offered)
        return block is not self._thought

    def snapshot(self, block: Block, name: str, raw: str) -> Any:
        """Return what the value of the whole intent will be, as far as it is known."""
        if not self.is_structured(block):
            return {"text": raw}
        parsed = partial_json(raw)
        if name == "response_schema":
            assert self.frame.agent.output is not None
            kind, response = self.frame.agent.output.partial(parsed)
            return {"type": kind, "response": response}
        if self.offered[block.name].kind == "intent":
            return parsed
        return {"type": block.name, "args": parsed}

    async def _add(self, block: Block, delta: str) -> None:
        block.pieces.append(delta)
        if self._is_shown or (self._followed is not None and self._followed.wants_pieces):
            await self._show(block, delta)

    async def _show(self, block: Block, delta: str, *, is_last: bool = False) -> None:
        """Show a piece to the hooks, then to everybody, unless a hook holds it back.

        The last one of a block is empty, and for hooks alone unless they put something into it.
        """
        name = self._becomes(block)
        if name is None:
            return
        value = PieceValue(self, block, name, delta)
        if self._has_hooks:
            await self.frame.run.chain.fire("onIntentPartial", self.frame.ctx, Piece(name, value, is_last))
            value["complete"] = False
        if value["delta"] or not (delta or is_last):
            await self.frame.run.emit(name, value, self.frame.agent.name, partial=True)

    def _becomes(self, block: Block) -> str | None:
        """Name the intent that a block will become; None where it is none, such as a call of what is not offered."""
        if block is self._thought:
            return "reasoning"
        if block is self._text:
            return "response_schema" if self.is_structured(block) else "response_text"
        capability = self.offered.get(block.name)
        if capability is None:
            return None
        if capability.kind == "answer":
            return "response_schema"
        return capability.name if capability.kind == "intent" else f"{capability.kind}_call"

    async def _again(self) -> None:
        for block in (self._thought, self._text, *self._calls.values()):
            if block is not None:
                await self._show(block, "")

    def _block(self, name: str = "") -> Block:
        self.frame.run.segments += 1
        return Block(self.frame.run.segments - 1, name)
