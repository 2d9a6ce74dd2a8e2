"""What may reach a terminal, and in which colours."""

from __future__ import annotations

import os
from typing import Literal, TextIO

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: dict[Style, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}

_TURNS_DIRECTION = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # text would read otherwise than it is
_HARMFUL: dict[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # their pictures: an escape becomes ␛
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **dict.fromkeys(_TURNS_DIRECTION, "\ufffd"),
    0x0D: None,  # would go back and write over what was said; half of a line end elsewhere
}
del _HARMFUL[0x09], _HARMFUL[0x0A]


def harmless(text: str) -> str:
    """The text with nothing in it that a terminal would obey. Pieces of a text may be passed one by one."""
    return text.translate(_HARMFUL)


def wants_colour(stream: TextIO) -> bool:
    """Whether a person looks at this stream in colour. https://no-color.org"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *styles: Style, on: bool) -> str:
    """The text in these styles, or as it is."""
    if not on or not text:
        return text
    return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"
