"""Tools that the caller of a run brings along and runs itself."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from auwgent.errors import ArgumentError, ToolError
from auwgent.models.base import ToolSpec
from auwgent.models.fits import checker
from auwgent.models.schema import tidy
from auwgent.tools import Tool
from auwgent.tools.function import check_name
from auwgent.words import did_you_mean

KEYS = ("name", "description", "parameters")


def callers_tools(given: Sequence[Any], taken: Collection[str]) -> tuple[Tool, ...]:
    """Return the `caller_tools` of a run: a table of `name`, `description` and `parameters`, a JSON Schema, each.

    `ArgumentError` where one cannot be a tool, or has a name that is `taken`.
    """
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise ArgumentError("`caller_tools` should be a list of {name, description, parameters}")
    made: dict[str, Tool] = {}
    for number, one in enumerate(given, 1):
        tool = _tool(one, f"tool {number} of `caller_tools`")
        if tool.name in made:
            raise ArgumentError(f"`caller_tools`: there are two tools {tool.name!r}")
        if tool.name in taken:
            raise ArgumentError(
                f"`caller_tools`: the agent has {tool.name!r} already; give yours another name"
            )
        made[tool.name] = tool
    return tuple(made.values())


def as_given(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return these tools as JSON, as they are kept with the run."""
    return [
        {"name": one.name, "description": one.spec.description, "parameters": dict(one.spec.parameters)}
        for one in tools
    ]


def _tool(given: Any, place: str) -> Tool:
    if callable(given):
        raise ArgumentError(
            f"{place} is a function; what the caller runs itself is described by {{name, description, parameters}}, "
            "and a function of the agent's own goes into auwgent(tools=…)"
        )
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{place} should be {{name, description, parameters}}, not {type(given).__name__}"
        )
    for key in given:
        if key not in KEYS:
            hint = did_you_mean(str(key), KEYS) or f"it has {', '.join(KEYS)}"
            raise ArgumentError(f"{place} has no key {key!r}; {hint}")
    name, about, schema = given.get("name"), given.get("description") or "", given.get("parameters") or {}
    if not isinstance(name, str) or not isinstance(about, str) or not isinstance(schema, Mapping):
        raise ArgumentError(
            f"{place} should have a text `name`, a text `description` and a JSON Schema `parameters`"
        )
    try:
        check_name(name)
        schema = json.loads(json.dumps({"type": "object", "properties": {}, **schema}, allow_nan=False))
        if schema["type"] != "object":
            raise ValueError('`parameters` should have the type "object"')
        misfits = checker(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{place}: {error}") from None

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        if wrong := misfits(arguments):
            raise ToolError("\n- ".join([f"the arguments of {name} do not fit:", *wrong]), tool=name)
        return arguments

    async def call(arguments: Any, ctx: Any) -> Any:
        raise ToolError(f"{name} is run by the caller of the run", tool=name)

    return Tool(ToolSpec(name, about, tidy(schema)), check, call)
