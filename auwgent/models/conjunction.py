"""Merges two JSON Schemas into one that accepts what fits both, with no part closing what another opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ANNOTATIONS = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Words that mean something only together: they go together, or not at all.
_TOGETHER = (
    ("properties", "patternProperties", "additionalProperties"),
    ("prefixItems", "items"),
    ("if", "then", "else"),
    ("contains", "minContains", "maxContains"),
)
_LOOKS_AROUND = ("unevaluatedProperties", "unevaluatedItems", "$ref")
_NOTHING: dict[str, Any] = {"not": {}}


def both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of what fits both; annotations of the second win."""
    merged = _merged(first, second)
    if merged is not None:
        return merged
    told = {key: value for key, value in {**first, **second}.items() if key in ANNOTATIONS}
    parts = [{key: value for key, value in one.items() if key not in ANNOTATIONS} for one in (first, second)]
    parts = [one for one in parts if one]
    if len(parts) == 1 and "$ref" in parts[0] and told:
        return {"anyOf": parts, **told}  # strict providers take no keyword beside a reference
    flat: list[Any] = []
    for one in parts:
        flat += one["allOf"] if one.keys() == {"allOf"} else [one]
    return {**told, "allOf": flat}


def either_only(branches: Sequence[Any], around: Mapping[str, Any]) -> bool:
    """Return whether it is plain that nothing fits two branches of a schema, the one around them.

    That is so where their types differ, or the values of a required property.
    """
    if len(branches) < 2:
        return True
    if not all(isinstance(one, Mapping) for one in branches):
        return False
    kinds = [_types(one) for one in branches]
    if all(kinds) and _apart(kinds):
        return True
    required = set.intersection(*(set(one.get("required", ())) for one in branches))
    required |= set(around.get("required", ()))
    if around.get("type") != "object" and any(kind != {"object"} for kind in kinds):
        return False
    for name in required:
        values = [one.get("properties", {}).get(name, {}).get("enum") for one in branches]
        if all(isinstance(one, list) for one in values) and _apart([set(map(repr, one)) for one in values]):
            return True
    return False


def _apart(sets: Sequence[set[str]]) -> bool:
    return sum(map(len, sets)) == len(set().union(*sets))


def _types(schema: Mapping[str, Any]) -> set[str]:
    found = schema.get("type", ())
    kinds = {found} if isinstance(found, str) else set(found)
    return kinds - {"integer"} | {"number"} if "integer" in kinds else kinds


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """Both in one, or None where that cannot be said in one."""
    if not first or not second:
        return {**first, **second}
    if any(key in one for one in (first, second) for key in _LOOKS_AROUND):
        return None
    if any(_clash(first, second, group) for group in _TOGETHER):
        return None
    result = dict(first)
    for key, value in second.items():
        if key not in result or key in ANNOTATIONS:
            result[key] = value
        elif result[key] != value or isinstance(value, bool) != isinstance(result[key], bool):
            joined = _joined(key, result[key], value)
            if joined is None:
                return None
            result[key] = joined
    return _NOTHING if result.get("type") == [] or result.get("enum") == [] else result


def _clash(first: Mapping[str, Any], second: Mapping[str, Any], group: Sequence[str]) -> bool:
    """Return whether both say something with words that mean something only together."""
    here, there = ({key for key in group if key in one} for one in (first, second))
    if not here or not there or all(first.get(key) == second.get(key) for key in group):
        return False
    return not (here == there and here in ({"properties"}, {"items"}))


def _joined(key: str, one: Any, other: Any) -> Any:
    if key == "required":
        return [*one, *(name for name in other if name not in one)]
    if key == "properties":
        names = [*one, *(name for name in other if name not in one)]
        return {name: both(one.get(name, {}), other.get(name, {})) for name in names}
    if key == "items" and isinstance(one, Mapping) and isinstance(other, Mapping):
        return both(one, other)
    if key in _LOWER:
        return max(one, other)
    if key in _UPPER:
        return min(one, other)
    if key == "allOf":
        return [*one, *other]
    if key == "type":
        # The types that both allow; an integer is a number, too.
        kinds, others = ([kind] if isinstance(kind, str) else list(kind) for kind in (one, other))
        found = [kind for kind in kinds if kind in others or (kind == "integer" and "number" in others)]
        found += [kind for kind in others if kind == "integer" and "number" in kinds and kind not in found]
        return found[0] if len(found) == 1 else found
    if key == "enum":
        return [value for value in one if any(_same(value, each) for each in other)]
    return None


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
