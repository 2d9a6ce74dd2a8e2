"""Structured output: the shape an answer must have, the check of an answer, and what can be said of half of one."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from auwgent.errors import is_end
from auwgent.models.base import OutputSpec
from auwgent.models.fits import SHOWN, checker
from auwgent.models.reading import answers, read_json
from auwgent.models.schema import tidy
from auwgent.words import cut, describe, misfit

_PROBLEMS = 10  # named at once
_KIND, _RESPONSE = "type", "response"  # the names of the `response_schema` intent


class OutputError(ValueError):
    """An answer does not fit; the text says everything that is wrong, in words for the model."""


@dataclass(frozen=True, slots=True)
class _Variant:
    """One shape: its name, its JSON Schema, and the check that gives a plain JSON value and a live object."""

    name: str
    schema: Mapping[str, Any]
    check: Callable[[Any], tuple[Any, Any]]
    is_type: bool  # a model or another type, of which there are instances


class Output:
    """What an agent's answer must be: one shape, or one of several.

    Providers want an object at the root. Where the shape is none, the model is asked for `{"response": …}`, and
    for `{"type": …, "response": …}` where there are several. An answer without this frame is understood too.
    """

    def __init__(self, variants: Sequence[_Variant]) -> None:
        self._variants = {variant.name: variant for variant in variants}
        name = "_or_".join(self._variants)[:64]
        schemas = [tidy(variant.schema) for variant in variants]
        self._keys = {
            variant.name: schema.get("properties", {}).keys()
            for variant, schema in zip(variants, schemas, strict=True)
        }
        self._framed = len(variants) > 1 or schemas[0].get("type") != "object"
        self.spec = OutputSpec(name, _frame(self._variants, schemas) if self._framed else schemas[0])

    def validate(self, answer: Any) -> tuple[str, Any, Any]:
        """Return the name of the shape, the answer as plain JSON data, and as a live object.

        `answer` is the model's text, or data that was parsed already. Raises `OutputError`.
        """
        if not isinstance(answer, str):
            return self._fitting(answer)
        first: OutputError | None = None
        for value in answers(answer):
            try:
                return self._fitting(value)
            except OutputError as error:
                first = first or error
        raise first or OutputError(_no_json(answer))

    def instance(self, answer: str) -> Any:
        """Return the answer as an instance of the type it is of; None where it fits none, or that is a JSON Schema."""
        try:
            name, _, live = self.validate(answer)
        except OutputError:
            return None
        return live if self._variants[name].is_type else None

    def _fitting(self, value: Any) -> tuple[str, Any, Any]:
        names, inner = self._unframed(value)
        failures: list[str] = []
        for name in names:
            try:
                return (name, *self._variants[name].check(inner))
            except OutputError as error:
                failures.append(f"as {name}: {error}" if len(names) > 1 else str(error))
        if isinstance(inner, str):  # JSON in JSON
            with suppress(ValueError):
                within = read_json(inner)
                return self._fitting(within if inner is value else {**value, _RESPONSE: within})
        raise OutputError("; ".join(failures))

    def partial(self, snapshot: Any) -> tuple[str, Any]:
        """Return the name of the shape and the answer so far, from what `partial_json` made of the text so far."""
        names, inner = self._unframed(snapshot)
        return (names[0] if len(names) == 1 else self.spec.name), inner

    def _unframed(self, value: Any) -> tuple[list[str], Any]:
        """Return the names of the shapes it may have, the likeliest first, and the answer itself."""
        names = list(self._variants)
        if not self._framed or not isinstance(value, Mapping):
            return names, value
        kind = value.get(_KIND)
        inner: Any = value
        if value.keys() <= {_KIND, _RESPONSE}:
            inner = value.get(_RESPONSE)
        elif kind in names and _KIND not in self._keys[kind]:
            inner = {key: one for key, one in value.items() if key != _KIND}
        if kind in names:
            return [kind], inner
        if isinstance(inner, Mapping):
            names.sort(key=lambda name: -len(self._keys[name] & inner.keys()))
        return names, inner


def output_type(value: Any) -> Output:
    """The output for a Pydantic model or other type, a list of them, a JSON Schema, or the path of a schema file.

    Raises `ValueError` where it cannot be one.
    """
    if isinstance(value, Path):
        return output_type(_read(value))
    if get_origin(value) in (Union, UnionType):
        value = get_args(value)
    if not isinstance(value, list | tuple):
        return Output([_variant(value)])
    variants = [_variant(one) for one in value]
    names = [variant.name for variant in variants]
    if not names:
        raise ValueError("an empty list is not an output: name at least one type")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"two outputs are called {min(twice)!r}; an answer could not say which of them it is"
        )
    return Output(variants)


def partial_json(text: str) -> Any:
    """Return what the beginning of a JSON text holds so far; None while that is nothing."""
    text = re.sub(r"^\s*```\w*\s*", "", text)
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None


def _frame(variants: Mapping[str, _Variant], schemas: list[dict[str, Any]]) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    for number, schema in enumerate(schemas):
        clash = any(definitions.get(name, one) != one for name, one in schema.get("$defs", {}).items())
        schemas[number] = schema = _renamed(schema, f"_{number}") if clash else schema
        definitions |= schema.pop("$defs", {})
    properties: dict[str, Any] = {_RESPONSE: schemas[0]}
    if len(schemas) > 1:
        properties = {_KIND: {"type": "string", "enum": list(variants)}, _RESPONSE: {"anyOf": schemas}}
    frame: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return frame | {"$defs": definitions} if definitions else frame


def _renamed(schema: dict[str, Any], ending: str) -> dict[str, Any]:
    """Return the schema with an ending at the names of its definitions, which another one uses for its own."""
    text = re.sub(r'("\$ref": "#/\$defs/[^"]+)"', rf'\1{ending}"', json.dumps(schema))
    renamed: dict[str, Any] = json.loads(text)
    return renamed | {"$defs": {f"{name}{ending}": one for name, one in renamed["$defs"].items()}}


def _no_json(text: str) -> str:
    begins = f"the answer begins {cut(repr(text), SHOWN)}"
    try:
        read_json(text)
    except ValueError as error:
        return f"not valid JSON: {error}; {begins}"
    return begins


def _variant(value: Any) -> _Variant:
    if isinstance(value, Mapping):
        return _of_schema(value)
    if inspect.isroutine(value) or not (inspect.isclass(value) or hasattr(value, "__origin__")):
        raise ValueError(f"{value!r} is a {type(value).__name__}, not a Pydantic model or another type")
    return _of_type(value)


def _of_type(kind: Any) -> _Variant:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        schema = adapter.json_schema()
    except (PydanticUserError, NameError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{_called(kind)} cannot be described to a model: {reason}") from error

    def check(value: Any) -> tuple[Any, Any]:
        try:
            live = adapter.validate_json(to_json(value))  # as JSON: a strict model takes dates as text then
            plain = adapter.dump_python(live, mode="json", by_alias=True)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            raise OutputError(_listed([misfit(problem, shown=SHOWN) for problem in problems])) from error
        except PydanticSerializationError as error:
            raise OutputError(f"not valid JSON: {error}") from error
        except BaseException as error:
            if is_end(error):
                raise
            raise OutputError(f"a validator of {_called(kind)} broke: {describe(error)}") from error
        return plain, live

    return _Variant(_called(kind), schema, check, is_type=True)


def _called(kind: Any) -> str:
    return _safe(getattr(kind, "__name__", None) or str(kind))


def _safe(name: str) -> str:
    """Return the name in the characters that providers accept."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "answer"


def _listed(problems: list[str]) -> str:
    more = len(problems) - _PROBLEMS
    return "; ".join(problems[:_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def _of_schema(schema: Mapping[str, Any]) -> _Variant:
    misfits = checker(schema)

    def check(value: Any) -> tuple[Any, Any]:
        if wrong := misfits(value):
            raise OutputError(_listed(wrong))
        return value, value

    return _Variant(_safe(str(schema.get("title", ""))), schema, check, is_type=False)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise ValueError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from None
    if not isinstance(schema, Mapping):
        raise ValueError(f"{str(path)!r} holds a {type(schema).__name__}, not a JSON Schema object")
    return schema
