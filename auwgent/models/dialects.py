"""Schemas for providers that take less of JSON Schema than others do. Each form allows all that the original allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from auwgent.models.conjunction import both
from auwgent.models.schema import LISTS, OF_SCHEMAS, SINGLE

# What no provider takes at the root of a tool's parameters.
_ROOTLESS = ("anyOf", "oneOf", "allOf", "not", "if", "then", "else", "enum", "const", "$ref")
_LONGEST_NOTE = 2_000  # characters of what a description says instead
_DEPTHS = (8, 5, 3, 2, 1)  # of definitions written out within each other, the first that is short enough
_GROWTH = 4  # times the length of the schema with its definitions
_LEAST = 4_000  # characters that are never too long
_NEGATIVE = ("not", "if", "then", "else", "oneOf")  # to allow more in these would allow less in the whole


def as_parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with a plain object at the root, as the parameters of a tool must have.

    What is lost by it stands in the description, where it is short; calls are checked against the original.
    """
    root = {"type": "object", "properties": {}, **schema}
    lost = {key: root.pop(key) for key in _ROOTLESS if key in root}
    if not lost:
        return root
    root["type"] = "object"
    if "unevaluatedProperties" in root:  # it looks into what is taken away
        lost["unevaluatedProperties"] = root.pop("unevaluatedProperties")
    definitions = schema.get("$defs", {})
    for part in lost.get("allOf", []):
        _add(root, _named(part, definitions), exactly=True)
    for key in ("anyOf", "oneOf"):
        branches = [_named(part, definitions) for part in lost.get(key, [])]
        if branches:
            always = [set(one.get("required", ())) for one in branches]
            common = sorted(set.intersection(*always) - set(root.get("required", ())))
            if common:
                root["required"] = [*root.get("required", ()), *common]
            _add(root, {"properties": _alternatives(branches)}, exactly=False)
    note = json.dumps(lost, ensure_ascii=False, separators=(",", ":"))
    if len(note) <= _LONGEST_NOTE:
        words = f"All of it must fit this JSON Schema, too: {note}"
        root["description"] = f"{root['description']}\n{words}" if root.get("description") else words
    return root


def _alternatives(branches: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the properties of all branches. What only some of them speak of may be anything in the others."""
    properties: dict[str, Any] = {}
    for name in dict.fromkeys(name for branch in branches for name in branch.get("properties", {})):
        schemas = [branch.get("properties", {}).get(name) for branch in branches]
        distinct = [one for index, one in enumerate(schemas) if one not in schemas[:index]]
        if None in distinct:
            told = [one["description"] for one in distinct if one and "description" in one]
            properties[name] = {"description": told[0]} if told else {}
        elif all(one.keys() == {"type", "enum"} and one["type"] == distinct[0]["type"] for one in distinct):
            properties[name] = {**distinct[0], "enum": [value for one in distinct for value in one["enum"]]}
        else:
            properties[name] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    return properties


def _named(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the root, or what it refers to."""
    if not isinstance(schema, Mapping):
        return {}
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found = definitions.get(name, schema)
    return found if isinstance(found, Mapping) else {}


def _add(root: dict[str, Any], part: Mapping[str, Any], *, exactly: bool) -> None:
    """Tell of the properties of a part of the root. `exactly`: they hold beside those of the root."""
    if root.get("additionalProperties") is False:
        return  # it speaks of its own properties alone
    properties = dict(root["properties"])
    for name, schema in part.get("properties", {}).items():
        if exactly:
            properties[name] = both(properties.get(name, {}), schema)
        else:
            properties.setdefault(name, schema)
    root["properties"] = properties
    if exactly and (more := [one for one in part.get("required", ()) if one not in root.get("required", ())]):
        root["required"] = [*root.get("required", ()), *more]


def written_out(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without references: definitions stand where they are used.

    Recursive ones end at some depth, as do those that would make it too long: from there on only the type is told.
    """
    definitions = schema.get("$defs", {})
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    room = max(_LEAST, _GROWTH * len(json.dumps(schema, default=str)))
    for depth in _DEPTHS:
        try:
            result: dict[str, Any] = _Writer(definitions, depth, room).schema(bare, 0)
        except _TooLong:
            continue
        return result
    last: dict[str, Any] = _Writer(definitions, 1, room, is_last=True).schema(bare, 0)
    return last


class _TooLong(Exception):
    """More would be written out than there is room for."""


class _Writer:
    """`is_last`: what there is no room for is cut, where other tries end."""

    def __init__(
        self, definitions: Mapping[str, Any], depth: int, room: int, *, is_last: bool = False
    ) -> None:
        self._definitions = definitions
        self._depth = depth
        self._room = room
        self._is_last = is_last
        self._cuts = 0
        self._sizes = {name: len(json.dumps(one, default=str)) for name, one in definitions.items()}

    def schema(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            return self._referred(schema, depth)
        result: dict[str, Any] = {}
        for key, value in schema.items():
            before = self._cuts
            if key in OF_SCHEMAS and isinstance(value, Mapping):
                written: Any = {name: self.schema(one, depth) for name, one in value.items()}
            elif key in LISTS and isinstance(value, list):
                written = [self.schema(one, depth) for one in value]
            elif key in SINGLE:
                written = self.schema(value, depth)
            else:
                written = value
            if self._cuts == before or key not in _NEGATIVE:
                result[key] = written
            elif key == "oneOf" and "anyOf" not in schema:
                result["anyOf"] = written
        if result.get("prefixItems"):  # few of those that take no references know it
            self._cuts += 1
            kinds = [one for one in result.pop("prefixItems") if one != {"not": {}}]
            if result.get("maxItems", len(kinds) + 1) > len(kinds) and result["items"] is not False:
                kinds.append(result["items"])
            kinds = [one for index, one in enumerate(kinds) if one not in kinds[:index]]
            result["items"] = {} if {} in kinds or not kinds else {"anyOf": kinds}
        if "if" not in result:
            result = {key: value for key, value in result.items() if key not in ("then", "else")}
        return result

    def _referred(self, schema: Mapping[str, Any], depth: int) -> Any:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        target = self._definitions.get(name, {})
        size = self._sizes.get(name, 2)
        if depth < self._depth and size <= self._room:
            self._room -= size
            return self.schema(target, depth + 1)
        if depth < self._depth and not self._is_last:
            raise _TooLong
        self._cuts += 1
        return {key: value for key, value in target.items() if key in ("type", "description")}
