"""Cutting texts into passages: where paragraphs, lines, sentences or words end."""

from __future__ import annotations

import re

# Where a text may be cut, the best places first.
BREAKS = (r"\n\s*\n", r"\n", r"(?<=[.!?。！？])\s+", r"\s+")


def chunks(text: str, size: int, overlap: int) -> list[str]:
    """Passages of at most `size` characters; each begins with up to `overlap` characters of the one before."""
    found: list[str] = []
    place = 0
    text = text.strip()
    while place < len(text):
        end = len(text) if len(text) - place <= size else _end(text, place, place + size)
        passage = text[place:end].strip()
        if passage:
            found.append(passage)
        if end == len(text):
            break
        place = _begin(text, max(place + 1, end - overlap), end)
    return found


def _end(text: str, begin: int, latest: int) -> int:
    """Return the best place to end a passage, in its second half."""
    for pattern in BREAKS:
        breaks = [match.end() for match in re.finditer(pattern, text[begin : latest + 1])]
        ends = [begin + end for end in breaks if (latest - begin) // 2 < end <= latest - begin]
        if ends:
            return ends[-1]
    return latest


def _begin(text: str, earliest: int, end: int) -> int:
    """Return the start of the next passage: at a word, as early as possible."""
    found = re.compile(r"(?<=\s)\S").search(text, earliest, end)
    return found.start() if found else end
