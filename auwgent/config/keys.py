"""Keys of the config: how they are written, and what the tables say may stand at one."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Key = tuple[str | int, ...]  # ("agent", "tools", 1, "approve")
Aspect = Literal["key", "value", "table"]  # what of a key a problem is about; "table": something it lacks


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it has a place: what is wrong with which key."""

    key: Key
    message: str
    hint: str = ""
    about: Aspect = "value"


def lookup(tree: Any, key: Key) -> tuple[bool, Any]:
    """Return whether the tree has the key, and its value."""
    for part in key:
        in_list = isinstance(tree, (list, tuple)) and isinstance(part, int) and part < len(tree)
        if not in_list and not (isinstance(tree, dict) and part in tree):
            return False, None
        tree = tree[part]
    return True, tree


def annotations_at(root: type[BaseModel], key: Key) -> list[Any]:
    """Return the types the tables allow at a key; several where they are a union, none where the key is unknown."""
    found = _variants(root)
    for part in key:
        found = [variant for annotation in found for variant in _variants(_step(annotation, part))]
    return found


def names_at(root: type[BaseModel], key: Key) -> list[str]:
    """Return the names that a table at this key may have; none where they are the user's to choose."""
    tables = [table for table in annotations_at(root, key) if _is_table(table)]
    return [name for table in tables for name in table.model_fields]


def _step(annotation: Any, part: str | int) -> Any:
    if _is_table(annotation):
        field = annotation.model_fields.get(part)
        return field.rebuild_annotation() if field else None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and isinstance(part, str):
        return arguments[1]
    if origin is tuple and isinstance(part, int):
        return arguments[0]
    return Any if annotation is Any else None


def _variants(annotation: Any) -> list[Any]:
    if annotation is None or annotation is types.NoneType:
        return []
    origin = get_origin(annotation)
    if origin is Annotated:
        inner = get_args(annotation)[0]
        variants = _variants(inner)
        # Constraints stay on a plain type; on a union they say which variant to choose, which is done here.
        return [annotation] if variants == [inner] and not _is_structure(inner) else variants
    if origin in (Union, types.UnionType):
        return [variant for argument in get_args(annotation) for variant in _variants(argument)]
    return [annotation]


def _is_structure(annotation: Any) -> bool:
    return _is_table(annotation) or get_origin(annotation) in (dict, tuple) or annotation is Any


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def provider_name(name: str) -> str:
    """Return the provider that `geminiApiKey` or `gemini_api_key` means."""
    for suffix in ("ApiKey", "_api_key"):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix).lower()
    return name
