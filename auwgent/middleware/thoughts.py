"""What a model has thought, as it stands among a turn's provider_data: read, and left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

PLAIN = "reasoning_content"  # a text; the others are lists of blocks, which providers may have signed
BLOCKS = ("thinking_blocks", "reasoning_details")
WORDS = ("thinking", "text", "summary")  # the words of a block, under one of these


def thoughts(data: Mapping[str, Any] | None) -> Iterator[str]:
    """The words of each thought."""
    for name, value in (data or {}).items():
        if name == PLAIN and isinstance(value, str):
            yield value
        elif name in BLOCKS and isinstance(value, list):
            yield from map(_words, value)


def changed(data: dict[str, Any] | None, change: Callable[[str], str]) -> dict[str, Any] | None:
    """The data with changed thoughts. A block goes where its words would change: what is signed may be no other."""
    if not data or all(change(words) == words for words in thoughts(data)):
        return data
    kept: dict[str, Any] = {}
    for name, value in data.items():
        if name == PLAIN and isinstance(value, str):
            value = change(value)
        elif name in BLOCKS and isinstance(value, list):
            value = [block for block in value if change(words := _words(block)) == words]
        kept |= {name: value} if value else {}
    return kept or None


def _words(block: Any) -> str:
    return "\n".join(str(block[name]) for name in WORDS if block.get(name)) if isinstance(block, dict) else ""
