"""Says how a call differs from the nearest one on a tape, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auwgent.tape.form import Form
from auwgent.words import cut

AROUND, SHOWN = 30, 90  # characters before a difference, and of each side, that are shown
COMPARED = 2000  # characters of a text that its likeness is judged by

Entry = tuple[int, Form, Form]  # the number of its line, what was asked, and all of it

NOUNS = {
    "ask": "no answer to this model call",
    "embed": "no vectors of these texts",
    "tool": "no result of this call",
    "workflow": "no result of this call",
    "question": "no answer to this question",
}


def nearest(path: Path, kind: str, asked: Form, entries: Sequence[Entry], equal: int) -> str:
    """Return what is to be said of a call that is not on the tape, or was played `equal` times already."""
    head = f"{path} has {NOUNS[kind]}: {_named(kind, asked)}"
    if equal:
        times = "once" if equal == 1 else f"{equal} times"
        return f"{head}. It stands there {times}, and was played {times} already"
    if not entries:
        return f"{head}. There is nothing of the kind on it"
    line, near, _ = max(entries, key=lambda entry: _likeness(entry[1], asked))
    return f"{head}. The nearest is on line {line}; it differs first in {difference(near, asked)}"


def _named(kind: str, asked: Form) -> str:
    if kind == "ask":
        whose = asked.get("by") or asked["agent"]
        return f"{whose!r} asks {asked['model']}, {len(asked['turns'])} messages"
    if kind == "embed":
        return f"{len(asked['texts'])} texts for {asked['model']}"
    name = asked.get(kind)
    return f"{name}({cut(_plain(asked['args']), SHOWN)}) of {asked['agent']!r}"


def difference(there: Form, here: Form) -> str:
    """Return the first difference of two forms: its place, and both sides of it."""
    place, one, other = _first(there, here, ())
    return f"{_place(place)}: on the tape {_excerpt(one, other)}, now {_excerpt(other, one)}"


_NOTHING = object()


def _first(there: Any, here: Any, place: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, Any]:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            one, other = there.get(name, _NOTHING), here.get(name, _NOTHING)
            if one != other:
                return _first(one, other, (*place, name))
    if isinstance(there, list) and isinstance(here, list):
        for index in range(max(len(there), len(here))):
            one = there[index] if index < len(there) else _NOTHING
            other = here[index] if index < len(here) else _NOTHING
            if one != other:
                return _first(one, other, (*place, index))
    return place, there, here


def _place(place: tuple[Any, ...]) -> str:
    if place[:1] == ("turns",) and len(place) > 1:
        inside = ".".join(map(str, place[2:]))
        return f"message {place[1] + 1}" + (f" ({inside})" if inside else "")
    if place[:1] == ("tools",) and len(place) > 1:
        inside = ".".join(map(str, place[2:]))
        return f"tool {place[1] + 1}" + (f" ({inside})" if inside else "")
    names = {
        "system": "the system prompt",
        "agent": "the agent",
        "model": "the model",
        "args": "the arguments",
    }
    first = names.get(str(place[0]), str(place[0])) if place else "all of it"
    return ".".join([first, *map(str, place[1:])])


def _excerpt(value: Any, other: Any) -> str:
    """Return a value as it is shown: of a long text the part around the place where it differs from the other."""
    if value is _NOTHING:
        return "nothing"
    if not isinstance(value, str):
        return cut(_plain(value), SHOWN)
    begin = 0
    if isinstance(other, str):
        same = next((n for n, pair in enumerate(zip(value, other, strict=False)) if pair[0] != pair[1]), None)
        begin = max(0, (min(len(value), len(other)) if same is None else same) - AROUND)
    shown = value[begin : begin + SHOWN]
    text = json.dumps(shown, ensure_ascii=False)
    return ("…" if begin else "") + text + ("…" if begin + SHOWN < len(value) else "")


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _likeness(there: Form, here: Form) -> tuple[Any, ...]:
    """Return how like two calls are; what counts most comes first."""
    names = [name for name in ("agent", "by", "tool", "workflow", "question", "model") if name in here]
    same = sum(there.get(name) == here.get(name) for name in names)
    if "turns" not in here:
        return (same, _ratio(there, here))
    ours, theirs = here["turns"], there["turns"]
    begin = 0
    while begin < min(len(ours), len(theirs)) and ours[begin] == theirs[begin]:
        begin += 1
    rest = _ratio(theirs[begin : begin + 1], ours[begin : begin + 1])
    parts = sum(there.get(name) == here.get(name) for name in ("system", "tools", "output", "params"))
    return (same, begin - abs(len(ours) - len(theirs)) / 1000, rest, parts)


def _ratio(there: Any, here: Any) -> float:
    return difflib.SequenceMatcher(None, _plain(there)[:COMPARED], _plain(here)[:COMPARED]).ratio()
