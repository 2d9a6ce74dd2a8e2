"""Chooses a tool for a model that cannot: by the words that the user's text shares with what a tool says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auwgent.models.base import ModelRequest, ToolSpec

ENOUGH = 2  # points a tool needs; a word of its name gives two, any other word one
STOP_WORDS = """
about all and any are but can could did does for from get give has have her him his how into its just let like
make may more much not now off one our out over please say set she should some tell text than that the their
them then there these they this use user value want was were what when where which who why will with would you
your
""".split()  # noqa: SIM905 - words in prose order


def fitting_tool(request: ModelRequest) -> ToolSpec | None:
    """Return the tool that the user's last text asks for; None where there is none or a tool has just answered."""
    if not request.turns or request.turns[-1].role != "user":
        return None
    text = request.turns[-1].text
    points = [(_points(tool, text), tool) for tool in request.tools]
    best, tool = max(points, key=lambda each: each[0], default=(0, None))
    return tool if best >= ENOUGH else None


def _points(tool: ToolSpec, text: str) -> int:
    said = _words(text)
    name = _words(tool.name)
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    about = _words(" ".join([tool.description, *properties])) - name
    points = 2 * len(said & name) + len(said & about)
    # "What is 17 plus 25?" names no tool, but holds just what one that wants two numbers needs.
    types = [properties.get(required, {}).get("type") for required in tool.parameters.get("required", ())]
    numbers = re.findall(r"\d+(?:[.,]\d+)*", text)
    if types and set(types) <= {"integer", "number"} and len(numbers) >= len(types):
        points += 2
    return points


def _words(text: str) -> set[str]:
    """Return the words of prose or of an identifier, without those that say nothing and without most endings."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    words = (word.lower() for word in re.findall(r"[^\W\d_]{3,}", split))
    return {
        re.sub(r"(?<=\w{3})(?:ing|ies|es|ed|s|y|e)$", "", word) for word in words if word not in STOP_WORDS
    }
