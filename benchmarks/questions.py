"""Questions of the Berkeley function-calling leaderboard as tests of agents: a config, its tools and a [[test]] each.

    pip download --no-deps bfcl-eval && python -m zipfile -e bfcl_eval-*.whl bfcl
    ./dev python benchmarks/questions.py bfcl/bfcl_eval/data --number 100

The scripted model calls what the leaderboard expects, and so says whether the tests themselves are right; the embedded
one is a real model.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from tool_calls import CATEGORIES, fits, read

from auwgent.config import load
from auwgent.session import Session
from auwgent.testing.suite import collected
from auwgent.testing.trial import How, run_all

PLAIN = {
    "string": "str",
    "any": "str",
    "integer": "int",
    "float": "float",
    "number": "float",
    "boolean": "bool",
}
MODELS = ("scripted", "embedded")
HEAD = """from functools import partial
from typing import Annotated, Any, Literal
from pydantic import Field
from questions import is_called
"""


def annotation(about: Mapping[str, Any]) -> str:
    """The Python type of a parameter of theirs."""
    kind = about.get("type", "string")
    if about.get("enum"):
        return f"Literal[{', '.join(map(repr, about['enum']))}]"
    if kind in ("array", "tuple"):
        return f"list[{annotation(about.get('items', {}))}]"
    return PLAIN.get(kind, "dict[str, Any]")


def function(tool: Mapping[str, Any]) -> str:
    """A tool of theirs as the source of a function."""
    name, takes = name_of(tool["name"]), tool["parameters"]
    needed = takes.get("required", [])
    parameters = []
    for parameter, about in takes["properties"].items():
        kind = annotation(about)
        told = f"Annotated[{{}}, Field(description={about.get('description', '')!r})]"
        missing = "" if parameter in needed else " = None"
        parameters.append(f"{parameter}: {told.format(kind + (' | None' if missing else ''))}{missing}")
    return f"def {name}(*, {', '.join(parameters)}) -> str:\n    {tool['description']!r}\n    return 'done'\n"


def name_of(theirs: str) -> str:
    return re.sub(r"\W", "_", theirs)


def is_called(session: Session, *, name: str, expected: Mapping[str, list[Any]]) -> str:
    """What is wrong with the first call of a session; empty where it is one that the leaderboard takes."""
    call = next(call for turn in session.turns for call in turn.tool_calls or ())
    args = {key: value for key, value in call.args.items() if value is not None}
    return "" if call.name == name and fits(args, expected) else f"called {call.name} with {args}"


def write(folder: Path, number: int, entry: Mapping[str, Any], truth: Mapping[str, Any] | None) -> Path:
    """Write a question as a config with its tools and its test."""
    module, question = f"question_{number}", entry["question"][0][-1]["content"]
    names = [name_of(tool["name"]) for tool in entry["function"]]
    source = HEAD + "\n".join(map(function, entry["function"]))
    expect: dict[str, Any] = {"not_calls": names}
    replies: list[Any] = ["None of them fits."]
    if truth is not None:
        ((theirs, expected),) = truth["ground_truth"][0].items()
        source += f"\nright = partial(is_called, name={name_of(theirs)!r}, expected={expected!r})\n"
        expect = {"calls": [name_of(theirs)], "check": f"{module}.right"}
        replies = [{"tool_calls": [{"name": name_of(theirs), "args": first_of(expected)}]}, "Done."]
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    config = {
        "middleware": [],
        "agent": {"model": "scripted", "tools": [f"{module}.{name}" for name in names]},
        "models": {
            "scripted": {"use": f"scripted/{module}", "params": {"replies": replies}},
            "embedded": {"use": "local/smollm2", "params": {"seed": 1, "max_tokens": 200}},
        },
        "limits": {"seconds": 300},
        "test": [{"name": entry["id"], "input": question, "models": [*MODELS], "expect": expect}],
    }
    file = folder / f"{module}.toml"
    file.write_text(tomli_w.dumps(config), encoding="utf-8")
    return file


def first_of(expected: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Arguments that the leaderboard takes."""
    found = {}
    for name, values in expected.items():
        if "" not in values:
            found[name] = first_of(values[0]) if isinstance(values[0], dict) else values[0]
    return found


def questions(data: Path, number: int) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """Evenly spread over the categories and within each."""
    for place, category in enumerate(CATEGORIES):
        entries = read(data / f"BFCL_v4_{category}.json")
        answers = data / "possible_answer" / f"BFCL_v4_{category}.json"
        truths = {one["id"]: one for one in read(answers)} if answers.exists() else {}
        each = number // len(CATEGORIES) + (place < number % len(CATEGORIES))
        for entry in entries[:: len(entries) // each][:each]:
            yield category, entry, truths.get(entry["id"])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--model", action="append", choices=MODELS, help="only this one")
    options = parser.parse_args()
    passed: dict[tuple[str, str], list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number, (category, entry, truth) in enumerate(questions(options.data, options.number)):
            file = write(Path(folder), number, entry, truth)
            config = load(file)
            how = How(live=True, models=tuple(options.model or ()))
            for result in await run_all(file, config, collected(config), how, lambda _: None):
                passed[category, result.model].append(result.passed)
                if result.model == "scripted" and not result.passed:
                    print(entry["id"], *result.problems, file=sys.stderr)
    models = options.model or MODELS
    print(f"| [[test]] tables | {' | '.join(models)} |\n|---|{'---|' * len(models)}")
    for category, about in CATEGORIES.items():
        cells = [f"{sum(passed[category, model])} of {len(passed[category, model])}" for model in models]
        print(f"| {about} | {' | '.join(cells)} |")


if __name__ == "__main__":
    asyncio.run(main())
