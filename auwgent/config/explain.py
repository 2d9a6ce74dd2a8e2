"""Explains pydantic's errors in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from auwgent.config.keys import Finding, Key, names_at
from auwgent.config.tables import VARIANTS
from auwgent.secrecy import is_secret
from auwgent.words import SHOWN, did_you_mean, expected, kind_of, nearest, written

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


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
            return _wrong_kind(key, f"{error['msg']}, not {kind_of(value)}", root)
        case "refused":
            return Finding(key, f"`{name}` {error['msg']}", about="table")
        case "unsendable":
            return Finding(key, f"`{name}` {error['msg']}")
        case "literal_error":
            allowed = error.get("ctx", {}).get("expected", "").replace(" or ", ", ").split(", ")
            near = nearest(value, [one.strip("' ") for one in allowed]) if isinstance(value, str) else None
            words = expected(error, shown=0 if is_secret(key) else SHOWN)
            return Finding(key, f"`{written(key)}`{words}", f'did you mean "{near}"?' if near else "")
        case "invalid_key":
            return Finding(key[:-1], f"`{written(key[:-1])}`: keys should be strings", about="key")
    hint = _trap(key, root) if kind.endswith("_type") else ""
    return Finding(key, f"`{name}`{expected(error, shown=0)}", hint)


def place_of(error: ErrorDetails) -> Key:
    """Return the key of an error, without the names of the union variants that pydantic tried."""
    if not error["loc"]:  # a key that is not text for pydantic, such as half a surrogate pair
        return ()
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
