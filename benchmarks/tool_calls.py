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
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from auwgent.models.base import ModelRequest, RawCall, Reply, ToolSpec
from auwgent.models.catalog import Catalog
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


def verdict(calls: tuple[RawCall, ...] | list[RawCall], truth: Mapping[str, Any] | None) -> str:
    if truth is None:
        return "wrong tool" if calls else "right"
    if not calls:
        return "no call"
    ((name, expected),) = truth["ground_truth"][0].items()
    if calls[0].name != re.sub(r"\W", "_", name):
        return "wrong tool"
    return "right" if fits(json.loads(calls[0].arguments), expected) else "wrong arguments"


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
    print(
        "| questions | right | wrong arguments | wrong tool | no call | seconds each |\n|---|---|---|---|---|---|"
    )
    for category, about in CATEGORIES.items():
        entries = read(options.data / f"BFCL_v4_{category}.json")
        chosen = entries[:: max(1, len(entries) // options.each)][: options.each]
        answers = options.data / "possible_answer" / f"BFCL_v4_{category}.json"
        truths = {one["id"]: one for one in read(answers)} if answers.exists() else {}
        count: Counter[str] = Counter()
        began = time.monotonic()
        for entry in chosen:
            reply = await answer(catalog, options.model, asked(entry))
            count[verdict(reply.calls, truths.get(entry["id"]))] += 1
        seconds = (time.monotonic() - began) / len(chosen)
        shares = " | ".join(
            f"{count[kind] / len(chosen):.0%}"
            for kind in ("right", "wrong arguments", "wrong tool", "no call")
        )
        print(f"| {about} ({len(chosen)}) | {shares} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
