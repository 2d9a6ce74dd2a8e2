"""A JSON Schema in the form of OpenAPI 3.0, in which Gemini takes the parameters of functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = """type format title description nullable default items minItems maxItems enum properties propertyOrdering
    required minProperties maxProperties minimum maximum minLength maxLength pattern example anyOf"""
FIELDS = frozenset(_FIELDS.split())
FORMATS = ("enum", "date-time")  # all others are refused
_OF_THE_WHOLE = ("properties", "required", "items", "minItems", "maxItems", "minProperties", "maxProperties")


def as_openapi(schema: Any) -> Any:
    """Return a schema without what this form lacks: what may be null is `nullable`, several types are `anyOf`."""
    if not isinstance(schema, Mapping):
        return schema
    one = _nullable(_one_type(dict(schema)))
    if isinstance(one.get("enum"), list):
        kinds = [one.get("type"), *(branch.get("type") for branch in one.get("anyOf") or ())]
        # Texts alone may be listed, and none of them may be empty.
        one |= (
            {"enum": [None if value == "" else value for value in one.pop("enum")]}
            if "string" in kinds
            else {}
        )
    if one.get("type") == "array" and not one.get("items"):
        one["items"] = {"type": "object"}
    if "properties" in one:
        one["type"] = "object"
        if not one["properties"]:
            del one["properties"]
            one.pop("required", None)
    if not {"type", "anyOf", "oneOf", "allOf"} & one.keys():
        one["type"] = "object"
    if one.get("anyOf"):  # nothing may stand beside it
        beside = {key: one[key] for key in ("title", "description") if one.get(key)}
        one = {"anyOf": [{**branch, **beside} for branch in one["anyOf"]]}
    return _kept(one)


def _nullable(one: dict[str, Any]) -> dict[str, Any]:
    """Null among the alternatives becomes a property of all others."""
    branches = one.get("anyOf")
    if not isinstance(branches, list) or not all(isinstance(branch, Mapping) for branch in branches):
        return one
    others = [branch or {"type": "object"} for branch in branches if branch.get("type") != "null"]
    if others and len(others) < len(branches):
        others = [{**branch, "nullable": True} for branch in others]
    return one | {"anyOf": others or branches}


def _one_type(one: dict[str, Any]) -> dict[str, Any]:
    """A list of types becomes alternatives."""
    kinds = one.get("type")
    if not isinstance(kinds, list):
        return one
    if len(kinds) == 1:
        return one | {"type": kinds[0]}
    del one["type"]
    of_the_whole = {}
    if "object" in kinds or "array" in kinds:
        of_the_whole = {key: one.pop(key) for key in _OF_THE_WHOLE if key in one}
    return one | {
        "anyOf": [{"type": kind, **(of_the_whole if kind in ("object", "array") else {})} for kind in kinds]
    }


def _kept(one: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in one.items():
        if key not in FIELDS or (key == "format" and value not in FORMATS):
            continue
        if key == "properties":
            value = {name: as_openapi(inner) for name, inner in value.items()}
        elif key == "anyOf":
            value = [as_openapi(inner) for inner in value]
        elif key == "items":
            value = as_openapi(value)
        kept[key] = value
    return kept
