"""JSON Schemas as every provider takes them, and what is wrong with data that does not fit, in words for a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from auwgent.words import cut

_OF_SCHEMAS = ("properties", "patternProperties", "dependentSchemas")  # name -> schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    *("items", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("contains", "not", "if", "then", "else"),
)
_DROPPED = ("title", "$defs", "definitions", "discriminator", "$schema", "$id", "$comment")
_REFERENCE = re.compile(r"#/(?:\$defs|definitions)/(?P<name>.+)")
SHOWN = 80  # characters of a wrong value that the model is shown


def tidy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in the words all providers understand.

    References are replaced by what they refer to; only recursive ones stay, with the definitions they need.
    Titles go, objects are closed, and keywords that some providers refuse become their plain equivalents.
    That may allow a little more than the original does, so answers are to be checked against the original.
    """
    return _Tidy({**schema.get("definitions", {}), **schema.get("$defs", {})}).whole(schema)


def checker(schema: Mapping[str, Any]) -> Callable[[Any], list[str]]:
    """A function that says everything in which data does not fit the schema; nothing is fetched for it.

    Raises `ValueError` where it is no JSON Schema, or refers to something outside of it.
    """
    from jsonschema import Draft202012Validator, SchemaError  # slow to import, and few agents need it
    from jsonschema.validators import validator_for

    _refuse_remote(schema)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.json_path}: {error.message}") from error
    validator = kind(dict(schema), format_checker=kind.FORMAT_CHECKER)

    def misfits(data: Any) -> list[str]:
        errors = sorted(validator.iter_errors(data), key=lambda error: error.json_path)
        return [f"{error.json_path}: {cut(error.message, SHOWN)}" for error in errors]

    return misfits


def _refuse_remote(schema: Any) -> None:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError(
                f"$ref {reference!r} is outside the schema; only those beginning with # are followed"
            )
    if isinstance(schema, Mapping | list):
        for inner in schema.values() if isinstance(schema, Mapping) else schema:
            _refuse_remote(inner)


class _Tidy:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._recursive: set[str] = set()

    def whole(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._schema(schema, ())
        kept: dict[str, Any] = {}
        while missing := self._recursive - kept.keys():
            for name in sorted(missing):
                kept[name] = self._schema(self._definitions[name], (name,))
        return result | {"$defs": kept} if kept else result

    def _schema(self, schema: Any, inside: tuple[str, ...]) -> Any:
        """One schema, `inside` the definitions that are being written out around it."""
        if not isinstance(schema, Mapping):
            return schema  # `additionalProperties: false`
        reference = _REFERENCE.fullmatch(str(schema.get("$ref", "")))
        if reference and reference["name"] in self._definitions:
            return self._reference(schema, reference["name"], inside)
        result: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _DROPPED:
                continue
            if key == "oneOf" and "anyOf" not in schema:
                key = "anyOf"
            if key in _OF_SCHEMAS:
                result[key] = {name: self._schema(one, inside) for name, one in value.items()}
            elif key in _LISTS:
                result[key] = [self._schema(one, inside) for one in value]
            elif key in _SINGLE:
                result[key] = self._schema(value, inside)
            else:
                result[key] = value
        return _plain(result)

    def _reference(self, schema: Mapping[str, Any], name: str, inside: tuple[str, ...]) -> dict[str, Any]:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if name not in inside:
            whole: dict[str, Any] = self._schema({**self._definitions[name], **beside}, (*inside, name))
            return whole
        self._recursive.add(name)
        reference = {"$ref": f"#/$defs/{name}"}
        # Strict providers take no keyword beside a reference.
        return {"anyOf": [reference], **_plain(beside)} if beside else reference


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "default" in schema and schema["default"] is None:
        del schema["default"]  # says no more than that the property is not required
    if "(?" in str(schema.get("pattern", "")):
        del schema["pattern"]  # look-around, such as pydantic's own pattern for decimals
    if "prefixItems" in schema:
        _widen_tuple(schema)
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def _widen_tuple(schema: dict[str, Any]) -> None:
    kinds: list[Any] = []
    for kind in schema.pop("prefixItems"):
        if kind not in kinds:
            kinds.append(kind)
    schema.setdefault("items", kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
