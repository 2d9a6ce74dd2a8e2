"""Checks data against a JSON Schema, and says in words for a model where it does not fit.

A schema may come from strangers: nothing is fetched for it, and nothing in it can hold the interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from auwgent.models.schema import LISTS, OF_SCHEMAS, SINGLE, SchemaDocument, address_in, subschemas
from auwgent.words import cut

SHOWN = 80  # characters of a wrong value that the model is shown
_STEPS = 5_000  # references followed for one value, and 20 for each part of it: a schema could double them each time
_LONGEST = 2_000  # characters of a pattern
# What JavaScript, whose dialect JSON Schema uses, reads differently.
_OTHER_DIALECT = ("&&", "--", "~~", r"\<", r"\>", "(?x")
_left: ContextVar[Iterator[int]] = ContextVar("left")  # steps of the check under way


def checker(schema: Mapping[str, Any]) -> Callable[[Any], list[str]]:
    """Return a function that says everything in which data does not fit the schema.

    Patterns are matched by an engine that never backtracks. One that it does not know, such as one that looks
    around, is left unchecked. Raises `ValueError` where it is not a JSON Schema of any draft, or refers to
    something outside of it.
    """
    try:
        _refuse_outside(schema)
        kind = _kind(schema)
        validator = kind(_checkable(schema), format_checker=_formats(kind))
    except RecursionError:
        raise ValueError("the schema is nested too deeply") from None

    def misfits(data: Any) -> list[str]:
        token = _left.set(iter(range(_STEPS + 20 * _parts(data))))
        try:
            errors = sorted(validator.iter_errors(data), key=lambda error: error.json_path)
        except RecursionError:
            return ["$: nested too deeply to be checked"]
        finally:
            _left.reset(token)
        return [f"{error.json_path}: {cut(error.message, SHOWN)}" for error in errors]

    return misfits


def _parts(data: Any) -> int:
    todo, count = [data], 0
    while todo:
        one = todo.pop()
        count += 1
        todo += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
    return count


def _refuse_outside(schema: Mapping[str, Any]) -> None:
    document = SchemaDocument(schema)
    todo: list[tuple[Any, str]] = [(schema, "")]
    while todo:
        one, base = todo.pop()
        if not isinstance(one, Mapping):
            continue
        base = address_in(one, base)
        reference = one.get("$ref")
        if isinstance(reference, str) and document.target(reference, base) is None:
            raise ValueError(f"$ref {reference!r} leads out of the schema, or to nothing in it")
        todo += [(inner, base) for inner in subschemas(one)]


def _kind(schema: Mapping[str, Any]) -> Any:
    """Return the validator of the draft that the schema names, else of the newest one that it is valid in."""
    import jsonschema  # slow to import, and few agents need it
    from jsonschema.validators import validator_for

    drafts: list[Any] = [
        jsonschema.Draft202012Validator,
        jsonschema.Draft7Validator,
        jsonschema.Draft4Validator,
    ]
    problems: list[jsonschema.SchemaError] = []
    for draft in [validator_for(schema, default=drafts[0]), *drafts]:
        try:
            draft.check_schema(dict(schema), format_checker=jsonschema.FormatChecker(formats=()))
        except jsonschema.SchemaError as error:
            problems.append(error)
        else:
            return _safe(draft)
    first = problems[0]
    raise ValueError(f"not a JSON Schema: {first.json_path}: {cut(first.message, SHOWN)}") from first


@cache
def _safe(draft: Any) -> Any:
    """The draft's validator with our own word for all that could take for ever."""
    from jsonschema import ValidationError
    from jsonschema.validators import extend

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _matches(wanted, value):
            yield ValidationError(f"{cut(repr(value), SHOWN)} does not match {wanted!r}")

    def pattern_properties(validator: Any, wanted: Mapping[str, Any], value: Any, __: Any) -> Iterator[Any]:
        for name in value if isinstance(value, Mapping) else ():
            for one, schema in wanted.items():
                if _matches(one, name):
                    yield from validator.descend(value[name], schema, path=name, schema_path=one)

    def additional(validator: Any, wanted: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if not isinstance(value, Mapping):
            return
        patterns = schema.get("patternProperties", ())
        for name in value.keys() - schema.get("properties", {}).keys():
            if any(_matches(one, name) for one in patterns):
                continue
            if wanted is False:
                yield ValidationError(f"Additional properties are not allowed ({name!r} was unexpected)")
            else:
                yield from validator.descend(value[name], wanted, path=name)

    def unique(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[Any]:
        if wanted and isinstance(value, list) and len({*map(_canonical, value)}) < len(value):
            yield ValidationError(f"{cut(repr(value), SHOWN)} has non-unique elements")

    def counted(inner: Any) -> Any:
        def follow(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
            if next(_left.get(), None) is None:
                raise RecursionError
            return inner(validator, wanted, value, schema)

        return follow

    own = {"pattern": pattern, "patternProperties": pattern_properties, "uniqueItems": unique}
    own["additionalProperties"] = additional
    following = [key for key in ("$ref", "$dynamicRef", "$recursiveRef") if key in draft.VALIDATORS]
    return extend(  # type: ignore[no-untyped-call]
        draft, own | {key: counted(draft.VALIDATORS[key]) for key in following}
    )


def _canonical(value: Any) -> str:
    def plain(one: Any) -> Any:
        if isinstance(one, list):
            return [plain(each) for each in one]
        if isinstance(one, Mapping):
            return {key: plain(each) for key, each in one.items()}
        return int(one) if isinstance(one, float) and one.is_integer() else one

    return json.dumps(plain(value), sort_keys=True, default=str)


@cache
def _formats(kind: Any) -> Any:
    from jsonschema import FormatChecker

    return FormatChecker(
        formats=(kind.FORMAT_CHECKER.checkers.keys() & FormatChecker.checkers.keys()) - {"regex"}
    )


def _matches(pattern: str, text: str) -> bool:
    engine = _engine(pattern)
    return engine is None or engine.isinstance_python(text)


@lru_cache(maxsize=1_000)
def _engine(pattern: str) -> SchemaValidator | None:
    """pydantic's engine for a pattern, which never backtracks; None where it does not know the pattern."""
    if len(pattern) > _LONGEST or any(sign in pattern for sign in _OTHER_DIALECT):
        return None
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        return None


def _checkable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without patterns that cannot be checked, and without what would then be refused wrongly."""
    patterns = {text: one for one in _all(schema) for text in _patterns(one)}
    unknown = {text for text in patterns if _engine(text) is None}
    # Which properties were evaluated, jsonschema itself finds out with the patterns of their names.
    named = any("patternProperties" in one for one in _all(schema))
    result: dict[str, Any] = _known(schema, unknown, named)
    return result


def _all(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for inner in subschemas(schema):
            yield from _all(inner)


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(schema.get("pattern"), str):
        yield schema["pattern"]
    yield from schema.get("patternProperties", {})


def _known(schema: Any, unknown: set[str], named: bool) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    left_out = unknown & set(_patterns(schema))
    for key, value in schema.items():
        turned = key in ("not", "if", "then", "else", "oneOf") and unknown
        if turned and any(
            _patterns_or_reference(one, unknown) for one in subschemas({"not": value, "oneOf": value})
        ):
            continue
        if (key == "pattern" and value in unknown) or (named and key == "unevaluatedProperties"):
            continue
        if key == "additionalProperties" and left_out:
            continue
        if key in (*OF_SCHEMAS, "$defs", "definitions", "dependencies") and isinstance(value, Mapping):
            value = {
                name: _known(one, unknown, named)
                for name, one in value.items()
                if key != "patternProperties" or name not in unknown
            }
        elif isinstance(value, list) and (key in LISTS or key == "items"):
            value = [_known(one, unknown, named) for one in value]
        elif key in SINGLE or key == "additionalItems":
            value = _known(value, unknown, named)
        result[key] = value
    return result


def _patterns_or_reference(schema: Any, unknown: set[str]) -> bool:
    return any("$ref" in one or unknown & set(_patterns(one)) for one in _all(schema))
