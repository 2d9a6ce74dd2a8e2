"""`${NAME}`, `${NAME:-default}` and `$$` in the strings of a config."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# `${{` belongs to Jinja: a dollar sign in front of `{{ … }}`.
_VARIABLE = re.compile(r"\$(?:\$|\{(?!\{)(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^${}]*))?\})?)")


@dataclass(frozen=True, slots=True)
class Unset:
    """Stands where a string cannot be: variables are not set, or a `${` is not one."""

    names: tuple[str, ...]


def expand(value: Any, environ: Mapping[str, str]) -> Any:
    """Return the value with the variables of every string filled in; strings that lack one become `Unset`.

    Lists and tables without any are not copied: a program may give a middleware its own list.
    """
    if isinstance(value, str):
        return _expand_text(value, environ) if "$" in value else value
    if isinstance(value, dict):
        return same(value, {key: expand(item, environ) for key, item in value.items()})
    if type(value) in (list, tuple):
        return same(value, type(value)(expand(item, environ) for item in value))
    return value


def same(value: Any, copy: Any) -> Any:
    """Return the value itself, where a copy of the list or table holds the very same things."""
    if isinstance(value, dict):
        is_same = value.keys() == copy.keys() and all(copy[key] is item for key, item in value.items())
    else:
        is_same = len(value) == len(copy) and all(map(operator.is_, value, copy))
    return value if is_same else copy


def _expand_text(text: str, environ: Mapping[str, str]) -> str | Unset:
    lacking: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        # A variable that is set to nothing is as good as none; `${NAME:-}` is how to ask for nothing.
        value = (environ.get(name) or default) if name else None
        if value is None:
            lacking.append(name or "")
        return value or ""

    filled = _VARIABLE.sub(fill, text)
    return Unset(tuple(dict.fromkeys(lacking))) if lacking else filled
