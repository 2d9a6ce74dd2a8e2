"""JSON as models write it: with words around it, in fences, after thoughts, twice, as a string. One bound for all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from auwgent.session import DEEPEST, is_too_deep

_LONGEST_INTEGER = 1_000  # digits
_STARTS = 200  # places in a text where JSON may begin
_START = re.compile(r"[{\[]")
_THOUGHTS = re.compile(r"^.*</think(ing)?>", re.DOTALL)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)


def read_json(text: str) -> Any:
    """Return the value of a text that is JSON and nothing else.

    Raises `ValueError` where it is not, where it is nested deeper than `DEEPEST`, or holds a number that is none.
    """
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    return _bounded(value)


def read_arguments(text: str) -> dict[str, Any] | None:
    """Return the arguments of a call; None where they are not a JSON object.

    Nothing at all, `null` and an empty list count as no arguments, as some servers write them; an object may be written
    twice, or as a JSON string. What was cut off is never repaired: a call does what the model wrote, or nothing.
    """
    if not text.strip():
        return {}
    try:
        value = read_json(text)
    except ValueError:
        written = _in_a_row(text)
        said = [one for one in written if one != {}]
        if not written or any(one != said[0] for one in said):
            return None
        value = said[0] if said else {}
    if isinstance(value, str):
        try:
            value = read_json(value) if value.strip() else {}
        except ValueError:
            return None
    if value is None or value == []:
        return {}
    return value if isinstance(value, dict) and _can_be_sent(value) else None


def answers(text: str) -> Iterator[Any]:
    """Yield the JSON values that a text may mean, the likeliest first: all of it, then fences, then words.

    Of several the last one comes first: before it a model thinks aloud.
    """
    spoken = _THOUGHTS.sub("", text, count=1)
    seen: list[Any] = []
    for candidate in (text, spoken, *reversed(_FENCE.findall(spoken))):
        try:
            value = read_json(candidate.strip().removeprefix("\ufeff"))
        except ValueError:
            continue
        if value not in seen:
            seen.append(value)
            yield value
    for value in reversed(list(_values(spoken))):
        if value not in seen:
            seen.append(value)
            yield value


def _values(text: str) -> Iterator[Any]:
    """Yield the objects and lists that stand in a text."""
    place = 0
    for _ in range(_STARTS):
        found = _START.search(text, place)
        if found is None:
            return
        try:
            value, place = _decoder.raw_decode(text, found.start())
            yield _bounded(value)
        except (ValueError, RecursionError):
            place = found.end()


def _in_a_row(text: str) -> list[Any]:
    """Return the values that a text consists of, one behind the other; none where anything else stands in it."""
    values: list[Any] = []
    rest = text.strip()
    while rest:
        try:
            value, end = _decoder.raw_decode(rest)
            values.append(_bounded(value))
        except (ValueError, RecursionError):
            return []
        rest = rest[end:].lstrip()
    return values


def _bounded(value: Any) -> Any:
    if is_too_deep(value):
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value


def _can_be_sent(value: Any) -> bool:
    """Half a surrogate pair cannot be written in any encoding."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Not strict: many models write line breaks in strings as they are.
_decoder = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_real, parse_constant=_refuse)
