"""Problems of a config, for people: in the layout of `str(problem)`, with colours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from auwgent.errors import Problem
from auwgent.render.terminal import harmless, paint

_CARET = re.compile(r"( +\| +)(\^+)")
_HINT = "   = "


def text(found: Iterable[Problem], *, colour: bool) -> str:
    """Return all of them, with a blank line between two."""
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
