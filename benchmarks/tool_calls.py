"""Asks the embedded model questions of the Berkeley function-calling leaderboard; prints the table of its page.

    pip download --no-deps bfcl-eval && python -m zipfile -e bfcl_eval-*.whl bfcl
    ./dev python benchmarks/tool_calls.py bfcl/bfcl_eval/data --each 50

A call is right where its tool is the expected one and each argument is one of the values that the leaderboard takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from auwgent.models.base import ModelRequest, RawCall, Reply, ToolSpec
from auwgent.models.catalog import Catalog
from auwgent.models.local.choosing import fitting_tool
from auwgent.session import Turn

CATEGORIES = {
    "simple_python": "one tool, and it fits",
    "multiple": "two to four tools, one fits",
    "irrelevance": "one tool, and it does not fit",
}
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def schema(value: Any) -> Any:
    """A schema of theirs as JSON Schema."""
    if isinstance(value, list):
        return [schema(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: schema(item) for key, item in value.items() if key != "optional"}
    if isinstance(found.get("type"), str):
        found["type"] = TYPES.get(found["type"], found["type"])
    return found


def asked(entry: Mapping[str, Any]) -> ModelRequest:
    tools = [
        ToolSpec(re.sub(r"\W", "_", one["name"]), one["description"], schema(one["parameters"]))
        for one in entry["function"]
    ]
    turns = [Turn(role=one["role"], content=one["content"]) for one in entry["question"][0]]
    return ModelRequest(system="You are a helpful assistant.", turns=turns, tools=tools, stream=False)


def same(value: Any, expected: Any) -> bool:
    if isinstance(value, str) and isinstance(expected, str):
        return re.sub(r"\W", "", value).lower() == re.sub(r"\W", "", expected).lower()
    if isinstance(value, dict) and isinstance(expected, dict):
        return fits(value, expected)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(same, value, expected))
    return bool(value == expected)


def fits(args: Mapping[str, Any], expected: Mapping[str, list[Any]]) -> bool:
    """Whether each argument is one of the values that are taken; "" says that it may be left out."""
    if not args.keys() <= expected.keys():
        return False
    return all(
        any(same(args[name], one) for one in values) if name in args else "" in values
        for name, values in expected.items()
    )


def is_right_tool(entry: Mapping[str, Any], truth: Mapping[str, Any] | None) -> bool:
    """Whether the tool that is chosen for the model is the expected one; none where none fits."""
    tool = fitting_tool(asked(entry))
    wanted = re.sub(r"\W", "_", next(iter(truth["ground_truth"][0]))) if truth is not None else None
    return (tool.name if tool is not None else None) == wanted


def is_right_call(calls: Sequence[RawCall], truth: Mapping[str, Any]) -> bool:
    ((name, expected),) = truth["ground_truth"][0].items()
    is_named = bool(calls) and calls[0].name == re.sub(r"\W", "_", name)
    return is_named and fits(json.loads(calls[0].arguments), expected)


async def answer(catalog: Catalog, model: str, request: ModelRequest) -> Reply:
    async with aclosing(catalog.get(model).ask(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Reply):
                return piece
    raise RuntimeError("no answer")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--each", type=int, default=50, help="questions of each category, evenly spread")
    parser.add_argument("--model", default="local/smollm2")
    options = parser.parse_args()
    catalog = Catalog({}, {}, {})
    print("| questions | right tool | right call | seconds each |\n|---|---|---|---|")
    for category, about in CATEGORIES.items():
        entries = read(options.data / f"BFCL_v4_{category}.json")
        answers = options.data / "possible_answer" / f"BFCL_v4_{category}.json"
        truths = {one["id"]: one for one in read(answers)} if answers.exists() else {}
        chosen = [is_right_tool(entry, truths.get(entry["id"])) for entry in entries]
        told = f"{sum(chosen) / len(chosen):.0%} of {len(chosen)}"
        asked_of = entries[:: max(1, len(entries) // options.each)][: options.each] if truths else []
        right, began = 0, time.monotonic()
        for entry in asked_of:
            reply = await answer(catalog, options.model, asked(entry))
            right += is_right_call(reply.calls, truths[entry["id"]])
        calls = f"{right / len(asked_of):.0%} of {len(asked_of)}" if asked_of else ""
        seconds = f"{(time.monotonic() - began) / len(asked_of):.1f}" if asked_of else ""
        print(f"| {about} | {told} | {calls} | {seconds} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
