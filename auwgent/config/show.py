"""The config that is in force, as TOML without its secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

import tomli_w
from pydantic import BaseModel, SecretStr

from auwgent.config.keys import Key
from auwgent.config.positions import Positions
from auwgent.config.settings import Config
from auwgent.config.tables import Entry, MiddlewareEntry
from auwgent.secrecy import MASK, follows_flag, is_argument, is_secret, masked, masked_argument
from auwgent.spans import Span


def show(config: Config, *, origin: bool = False) -> str:
    """Return every key with its value, defaults included. With `origin`, a comment after each says what set it."""
    names = [name for name in Config.model_fields if name != "profiles"]  # the selected one is in it already
    plain = {name: _plain(getattr(config, name), (name,)) for name in names}
    tree = {name: value for name, value in plain.items() if value not in (None, {})}
    text = tomli_w.dumps(tree)
    return _with_origins(text, tree, config) if origin else text


def _plain(value: Any, key: Key) -> Any:
    """Return a value as a TOML file could hold it."""
    match value:
        case SecretStr():
            return MASK
        case Entry():
            names = value.model_fields_set - {"options"}
            options = value.options if isinstance(value, MiddlewareEntry) else {}
            table = _table(
                {name: getattr(value, name) for name in type(value).model_fields if name in names} | options,
                key,
            )
            return table["use"] if table.keys() == {"use"} else table
        case BaseModel():
            return _table(dict(value), key)
        case Mapping():
            return _table(value, key)
        case list() | tuple():
            if is_argument((*key, 0)):
                return [
                    MASK if follows_flag(value, n) else _argument(item, (*key, n))
                    for n, item in enumerate(value)
                ]
            return [_plain(item, (*key, index)) for index, item in enumerate(value)]
        case str() | int() | float() if is_secret(key) and not isinstance(value, bool):
            return MASK
        case str():
            return masked(value)
        case Span():
            return str(value)
        case bool() | int() | float() | date() | time() | None:
            return value
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"  # an object of a dict


def _argument(item: Any, key: Key) -> Any:
    return masked_argument(item) if isinstance(item, str) else _plain(item, key)


def _table(items: Mapping[str, Any], key: Key) -> dict[str, Any]:
    plain = {str(name): _plain(item, (*key, str(name))) for name, item in items.items()}
    return {name: item for name, item in plain.items() if item is not None}


def _with_origins(text: str, tree: Mapping[str, Any], config: Config) -> str:
    lines = text.split("\n")
    positions = Positions(text)
    for key in _leaves(tree, ()):
        end, _ = positions.find(key, "value").end
        lines[end] += f"  # {config.origin(key)}"
    return "\n".join(lines)


def _leaves(tree: Mapping[str, Any], key: Key) -> Iterator[Key]:
    """Yield the keys whose values are not tables."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*key, name))
        else:
            yield (*key, name)
