"""What pydantic found wrong, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from auwgent.config.keys import Finding, Key, did_you_mean, names_at, nearest, written
from auwgent.config.secrets import is_secret
from auwgent.config.tables import VARIANTS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def explain(error: ErrorDetails, root: type[BaseModel]) -> Finding:
    """One finding for one error of pydantic."""
    kind, value = error["type"], error["input"]
    key = place_of(error)
    name = written(key) or "the config"
    match kind:
        case "extra_forbidden":
            return _unknown(key, value, root)
        case "missing":
            return _missing(key)
        case "kind":
            return _wrong_kind(key, f"{error['msg']}, not {_kind_of(value)}", root)
        case "refused":
            return Finding(key, f"`{name}` {error['msg']}", about="table")
        case "literal_error":
            return _not_among(key, error, value)
        case "string_too_short":
            return Finding(key, f"`{name}` may not be empty")
        case "invalid_key":
            return Finding(key[:-1], f"`{written(key[:-1])}`: keys should be strings", about="key")
        case _ if kind in _EXPECTED:
            return _wrong_kind(key, f"should be {_EXPECTED[kind]}, not {_kind_of(value)}", root)
    words = error["msg"].removeprefix("Input ")
    return Finding(key, f"`{name}` {words[:1].lower()}{words[1:]}")


def place_of(error: ErrorDetails) -> Key:
    """Where pydantic was, without the names of the variants of unions it tried on the way."""
    *around, last = error["loc"]
    named = error["type"] in ("extra_forbidden", "missing", "invalid_key")  # then the last one is a key
    return (
        *(part for part in around if part not in VARIANTS),
        *([last] if named or last not in VARIANTS else []),
    )


def _unknown(key: Key, value: Any, root: type[BaseModel]) -> Finding:
    *table, name = key
    known = names_at(root, tuple(table))
    trap = _trap(key, root) if isinstance(value, (list, dict)) else ""
    hint = trap or did_you_mean(str(name), known) or f"known here: {', '.join(sorted(known))}"
    place = f" in {_table_name(table)}" if table else ""
    return Finding(key, f"unknown key `{name}`{place}", hint, "key")


def _trap(key: Key, root: type[BaseModel]) -> str:
    """TOML's classic: what follows a [table] belongs to it, also what was meant for the root."""
    name = key[-1]
    if len(key) < 2 or name not in root.model_fields:
        return ""
    hint = f"`{name}` is a key of the file's root; in TOML it must stand above the first [table]"
    return hint if name == "middleware" else f"{hint}, or be a table [{name}] of its own"


def _missing(key: Key) -> Finding:
    *table, name = key
    if not table:
        return Finding(
            (), f"there is no [{name}] table", 'it needs at least a model: model = "provider/model"', "table"
        )
    return Finding(tuple(table), f"{_table_name(table)} needs `{name}`", about="table")


def _table_name(key: list[str | int]) -> str:
    name = written(tuple(key))
    return f"`{name}`" if any(isinstance(part, int) for part in key) else f"[{name}]"


def _wrong_kind(key: Key, words: str, root: type[BaseModel]) -> Finding:
    return Finding(key, f"`{written(key)}` {words}", _trap(key, root))


def _not_among(key: Key, error: ErrorDetails, value: Any) -> Finding:
    expected = error.get("ctx", {}).get("expected", "")
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ", ").split(", ")]
    near = nearest(value, choices) if isinstance(value, str) else None
    given = f", not {value!r}" if isinstance(value, (str, int, float)) and not is_secret(key) else ""
    return Finding(
        key, f"`{written(key)}` should be {expected}{given}", f"did you mean {near!r}?" if near else ""
    )


def _kind_of(value: Any) -> str:
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
