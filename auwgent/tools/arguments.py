"""The arguments of a function: their schema from its signature, and the check of what the model sends."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from auwgent.errors import ToolError, is_end
from auwgent.models.fits import SHOWN
from auwgent.models.reading import read_json
from auwgent.models.schema import tidy
from auwgent.words import describe, misfit

NAME = re.compile(
    r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
)  # of tools and their parameters; what every provider accepts
_CONTEXT = ("auwgent.hooks.context", "Context")  # by name: it lives on a higher floor
_LAX = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty
    about: str = ""
    is_context: bool = False

    @property
    def field(self) -> Any:
        """The annotation as a field of a typed dict."""
        if isinstance(self.default, FieldInfo):  # as in `limit: int = Field(10, gt=0)`
            field: Any = Annotated[self.annotation, self.default]
            return field if self.default.is_required() else NotRequired[field]
        return self.annotation if self.default is inspect.Parameter.empty else NotRequired[self.annotation]


class Arguments:
    """The parameters of one function: their schema, and the check of what the model sends."""

    def __init__(self, tool: str, parameters: Sequence[_Parameter]) -> None:
        self._tool = tool
        self.contexts = tuple(one.name for one in parameters if one.is_context)
        self._parameters = {one.name: one for one in parameters if not one.is_context}
        self._adapter = self._build()
        self.schema = self._describe()

    @classmethod
    def of(
        cls, function: Callable[..., Any], source: Any, *, tool: str, about: Mapping[str, str]
    ) -> Arguments:
        """Read the signature of `function`. `source` is what it wraps, which knows the names in annotations.

        `about` describes parameters by name. Raises `ValueError` where a model cannot be told of a parameter.
        """
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError, NameError) as error:
            raise ValueError(f"the signature of {tool} cannot be read: {error}") from error
        scope = _scope(source)
        found = signature.parameters.values()
        return cls(tool, [_parameter(one, scope, about.get(one.name, "")) for one in found])

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as Python values. What is left out is left to the function's defaults."""
        try:
            return self._validated(given)
        except ValidationError as error:
            first = error
        try:
            return self._validated(self._meant(given, first))
        except ValidationError:
            raise ToolError(self._complaint(first), tool=self._tool) from None

    def _validated(self, given: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._adapter.validate_python(given)
        except ValidationError:
            raise
        except BaseException as error:  # a validator of the user's own broke
            if is_end(error):
                raise
            words = f"the arguments cannot be checked: {describe(error)}"
            raise ToolError(words, tool=self._tool) from error

    def _build(self) -> TypeAdapter[dict[str, Any]]:
        for one in self._parameters.values():
            try:
                TypeAdapter(one.annotation)
            except (PydanticUserError, NameError) as error:
                reason = str(error).partition("\n")[0]
                raise ValueError(
                    f"parameter {one.name!r} cannot be described to a model: {reason}"
                ) from error
        # A typed dict, unlike a model, takes any name, such as `schema`, and leaves out what was not given.
        typed_dict: Any = TypedDict
        arguments = typed_dict("arguments", {name: one.field for name, one in self._parameters.items()})
        arguments.__pydantic_config__ = _LAX
        return TypeAdapter(arguments)

    def _describe(self) -> dict[str, Any]:
        try:
            schema = self._adapter.json_schema()
        except PydanticUserError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"the parameters cannot be described to a model: {reason}") from error
        for name, one in self._parameters.items():
            described = schema["properties"][name]
            if one.about:
                described.setdefault("description", one.about)
            default = one.default.value if isinstance(one.default, Enum) else one.default
            if isinstance(default, (str, int)) or (isinstance(default, float) and isfinite(default)):
                described["default"] = default
        return tidy({"type": "object", "properties": {}} | schema)

    def _meant(self, given: dict[str, Any], error: ValidationError) -> dict[str, Any]:
        """Return the arguments with two habits of models undone: null for "none given", and JSON inside a string."""
        again = dict(given)
        for name in {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}:
            if name not in self._parameters or name not in given:
                continue
            value = given[name]
            if value is None and self._parameters[name].default is not inspect.Parameter.empty:
                del again[name]
            elif isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
                with suppress(ValueError):
                    again[name] = read_json(value)
        return again

    def _complaint(self, error: ValidationError) -> str:
        problems = error.errors(include_url=False, include_context=False)
        lines = [f"the arguments of {self._tool} do not fit, so it was not run:"]
        for problem in problems:
            known = (lambda _: self._parameters) if len(problem["loc"]) == 1 else None
            lines.append(f"- {misfit(problem, known=known, shown=SHOWN)}")
        return "\n".join(lines)


def _scope(source: Any) -> dict[str, Any]:
    """Return the names its annotations may use."""
    routine = source if inspect.isroutine(source) else type(source).__call__
    routine = getattr(routine, "__func__", routine)
    scope = dict(getattr(routine, "__globals__", {}))
    closure = getattr(routine, "__closure__", None) or ()
    names = routine.__code__.co_freevars if closure else ()
    for name, cell in zip(names, closure, strict=True):
        try:
            scope[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    return scope


def _parameter(one: inspect.Parameter, scope: dict[str, Any], about: str) -> _Parameter:
    if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
        raise ValueError(
            f"a model cannot be told what {one} takes; name the parameters "
            "(where a decorator hides them, it needs functools.wraps)"
        )
    if one.kind is one.POSITIONAL_ONLY:
        raise ValueError(f"parameter {one.name!r} is positional-only, but a tool's arguments come by name")
    if one.name == "ctx":
        return _Parameter(one.name, Any, is_context=True)
    if one.name in ("self", "cls") and one.annotation is one.empty:
        raise ValueError(f"it wants {one.name!r}: take the method of an object, not of its class")
    if not NAME.fullmatch(one.name):
        raise ValueError(
            f"parameter {one.name!r} has a name that not every provider accepts: letters, digits, _ only"
        )
    annotation = Any if one.annotation is one.empty else _resolved(one, scope)
    is_context = (getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")) == _CONTEXT
    return _Parameter(one.name, annotation, one.default, about, is_context)


def _resolved(one: inspect.Parameter, scope: dict[str, Any]) -> Any:
    """Return the annotation as a type, also where it is text, as under `from __future__ import annotations`."""

    def carrier() -> None: ...

    carrier.__annotations__ = {one.name: one.annotation}
    try:
        return typing.get_type_hints(carrier, scope, include_extras=True)[one.name]
    except NameError as error:
        raise ValueError(
            f"the type of parameter {one.name!r}, {one.annotation!r}, is not known when the program runs "
            f"({error}): import or define it at the top of the module"
        ) from error
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"the annotation of parameter {one.name!r} is not a type: {error}") from error
