"""Makes text safe for a terminal, and colours it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

from auwgent.errors import Problem

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: dict[Style, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}

_CARET = re.compile(r"( +\| +)(\^+)")
_HINT = "   = "
_TURNS_DIRECTION = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # text would read otherwise than it is
_UNSEEN = (  # no script needs them, and they hide words from whoever reads
    *(0xAD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x200B, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x2060, 0x2066),
    *range(0x206A, 0x2070),
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
)
_HARMFUL: dict[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # their pictures: an escape becomes ␛
    0x7F: "\u2421",
    **dict.fromkeys((*range(0x80, 0xA0), *_TURNS_DIRECTION, *_UNSEEN), "\ufffd"),
    0x0D: None,  # would go back and write over what was said; half of a line end elsewhere
}
del _HARMFUL[0x09], _HARMFUL[0x0A]
_ON_ONE_LINE: dict[int, str | None] = {
    **_HARMFUL,
    **{code: chr(0x2400 + code) for code in (0x09, 0x0A, 0x0D)},
    **dict.fromkeys((0x2028, 0x2029, 0x200E, 0x200F, 0x061C), "\ufffd"),
}
# Joiners that join nothing: between parts of an emoji, and in Persian and Indic words, they are needed.
_IDLE_JOINERS = re.compile(
    "(?<![\U0001f000-\U0001faff\u2190-\u2bff\ufe0f\u0600-\u06ff\u0900-\u0dff])[\u200c\u200d]|[\u200c\u200d](?!\\S)"
)


def harmless(text: str) -> str:
    """The text with nothing in it that a terminal would obey, or a reader not see. Pieces may be passed one by one."""
    return text.translate(_HARMFUL)


def one_line(text: str) -> str:
    """Return an id, a title or the like: harmless, and one line, whatever it holds."""
    return _IDLE_JOINERS.sub("\ufffd", text.translate(_ON_ONE_LINE))


def for_output(text: str) -> str:
    """Return what goes to standard output: as it is into a file or a pipe, harmless on a terminal."""
    return harmless(text) if sys.stdout is not None and sys.stdout.isatty() else text


def wants_colour(stream: TextIO) -> bool:
    """Return whether a person looks at this stream in colour. https://no-color.org"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *styles: Style, on: bool) -> str:
    """Return the text in these styles, or as it is."""
    if not on or not text:
        return text
    return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def problems_text(found: Iterable[Problem], *, colour: bool) -> str:
    """Return the problems of a config as `str(problem)` writes them, in colour, a blank line between two."""
    return "\n\n".join(_one(problem, colour) for problem in found)


def _one(problem: Problem, colour: bool) -> str:
    head, *rest = harmless(str(problem)).split("\n")
    if not problem.source:
        head = f"{paint('error:', 'red', 'bold', on=colour)} {head}"
    else:
        head = paint(head, "bold", on=colour)
    return "\n".join([head, *(_painted(line, colour) for line in rest)])


def _painted(line: str, colour: bool) -> str:
    if caret := _CARET.fullmatch(line):
        return caret[1] + paint(caret[2], "red", "bold", on=colour)
    if line.startswith(_HINT):
        return paint(line, "cyan", on=colour)
    return line
