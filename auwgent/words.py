"""Words that many errors share: near names, what pydantic found wrong, an exception in one line, texts cut short."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, time
from typing import TYPE_CHECKING, Any

from auwgent.secrecy import scrubbed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

NEAR = 0.6  # how alike two names must be for one to be suggested for the other, from 0 to 1
SHOWN = 20  # characters of a wrong value that is repeated; of a longer one its kind is named
TOLD = 3  # how many wrong values one sentence lists

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SUBJECT = re.compile(r"\w+ (input )?(?=should )")  # Input, String, Tuple, Decimal input …

_KINDS = {
    "string_type": "a string",
    "string_sub_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
}


def nearest(name: str, known: Iterable[str], cutoff: float = NEAR) -> str | None:
    """Return the known name most like this one: the same but for case, `-` and `_`, or a few letters away."""
    names = list(known)
    same = [other for other in names if _plain(other) == _plain(name)]
    return next(iter(same or difflib.get_close_matches(name, names, n=1, cutoff=cutoff)), None)


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").casefold()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean …?` where a known name is near, else nothing."""
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else ""


def describe(error: BaseException) -> str:
    """Return an exception in one line: its type, and its words where it has any, without secrets."""
    try:
        words = one_line(str(error))
    except Exception:  # users' exceptions may fail to tell themselves
        words = ""
    return scrubbed(f"{type(error).__name__}: {words}" if words else type(error).__name__)


def one_line(text: str, length: int | None = None) -> str:
    """Return the text with every run of white space as one space, cut where it is longer than `length`."""
    text = " ".join(text.split())
    return text if length is None else cut(text, length)


def cut(text: str, length: int) -> str:
    """Return the text, or its beginning and `…`: never more than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def misfits(problems: Iterable[ErrorDetails], most: int | None = TOLD, **how: Any) -> str:
    """Say what does not fit in data that pydantic refused, each with its place. `how` is as for `misfit`."""
    lines = list(dict.fromkeys(misfit(problem, **how) for problem in problems))
    if most is not None and len(lines) > most:
        lines = [*lines[:most], f"and {len(lines) - most} more"]
    return "; ".join(lines)


def misfit(
    problem: ErrorDetails,
    *,
    whole: str = "the whole",
    inside: str = "",
    known: Callable[[tuple[int | str, ...]], Iterable[str]] | None = None,
    shown: int = SHOWN,
) -> str:
    """Say one thing that does not fit: "`turns[2].role` should be …, not …".

    `whole` names the data itself, `inside` is where it stands in something larger, `known` gives the keys that
    a table at a place may have. `shown` limits how much of a wrong value is repeated; with 0 none is.
    """
    place = written(problem["loc"], inside)
    name = f"`{place}`" if place else whole
    if problem["type"] == "extra_forbidden" and known is not None:
        names = list(known(problem["loc"][:-1]))
        hint = did_you_mean(str(problem["loc"][-1]), names) or f"known here: {', '.join(names) or 'nothing'}"
        return f"{name} is unknown; {hint}"
    return name + expected(problem, shown)


def expected(problem: ErrorDetails, shown: int = SHOWN) -> str:
    """Say what pydantic expected, and what it got: ` should be …`, to stand right behind the name of the value."""
    kind, value = problem["type"], problem["input"]
    match kind:
        case "missing" | "missing_argument":
            return " is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return " is unknown"
        case "string_too_short" | "too_short" if value == "":
            return " may not be empty"
        case "union_tag_invalid":
            return f" should have one of these types: {problem['ctx']['expected_tags']}"
        case "union_tag_not_found":
            return " has no `type`"
        case "literal_error":
            return f" should be {problem['ctx']['expected']}{_not(value, shown)}"
        case _ if kind in _KINDS:
            return f" should be {_KINDS[kind]}, not {_given(value, shown)}"
    words = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = _SUBJECT.sub("", words)
    colon = "" if words.startswith("should ") else ":"
    return f"{colon} {words[:1].lower()}{words[1:]}{_not(value, shown)}"


def _not(value: Any, shown: int) -> str:
    is_plain = isinstance(value, str | int | float)
    return f", not {_given(value, shown)}" if shown and is_plain else ""


def _given(value: Any, shown: int) -> str:
    if shown and isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(ValueError):  # an integer too long to be written
            if len(told := repr(value)) <= shown + 2:
                return told
    return kind_of(value)


def kind_of(value: Any) -> str:
    """Name the kind of a value as someone who writes TOML or JSON would."""
    match value:
        case str():
            return "a string"
        case bool():
            return str(value).lower()
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a table"
        case date() | time():
            return "a date or time"
        case None:
            return "nothing"
        case _:
            return f"an object of {type(value).__name__}"


def written(place: Iterable[str | int], inside: str = "") -> str:
    """Write a place as a user would: `agent.tools[1].approve`. `inside` is where it begins."""
    for step in place:
        if isinstance(step, int):
            inside += f"[{step}]"
        else:
            name = step if _BARE.fullmatch(step) else f'"{step}"'
            inside += f".{name}" if inside else name
    return inside
