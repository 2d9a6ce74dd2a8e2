"""Prompts: text with Jinja2 in it, sandboxed and strict, where `ctx` stands for the run's context values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from auwgent.errors import ConfigError, Problem
from auwgent.words import nearest

if TYPE_CHECKING:
    from jinja2 import Environment, Template, Undefined, nodes

_DEPTH = 5  # levels of context values that are searched for the place of a missing one
_HINT = (
    "values come from [context] in the config, --context NAME=VALUE or run(context={…}); "
    "{{ … | default('…') }} makes one optional"
)


class PromptError(ValueError):
    """A prompt cannot be used as it is written. `line` counts from 1 within part number `part` of the prompt."""

    def __init__(self, message: str, line: int | None = None, part: int = 0) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.message = message
        self.line = line
        self.part = part


class MissingValues(ConfigError):
    """A prompt names context values that the run does not have; `names` are all of them, as the prompt does."""

    def __init__(self, names: Sequence[str], hint: str) -> None:
        super().__init__([Problem(f"no value for {', '.join(names)}, which the prompt needs", hint=hint)])
        self.names = tuple(names)


class Prompt:
    """A prompt, read and checked once, rendered for each run.

    Parts are joined by blank lines; one that renders to nothing is left out. A part without `{{`, `{%` or `{#`
    is sent as it is. Raises `PromptError` where a part is not a valid template.
    """

    def __init__(self, parts: str | Sequence[str]) -> None:
        texts = [parts] if isinstance(parts, str) else parts
        self._parts = [_part(text, number) for number, text in enumerate(texts)]
        self.names: frozenset[str] = frozenset().union(*(part.names for part in self._parts))

    def render(self, values: Mapping[str, Any], **extra: Any) -> str:
        """Return the prompt with `values` as `ctx`, and `extra` names beside it, such as `output` for `schema(output)`.

        Raises `MissingValues` for all values that are missing, and `ConfigError` where the template fails.
        A value is never taken for a template.
        """
        ctx = dict(values)
        missing: list[Undefined] = []
        reset = _missing.set(missing)
        try:
            texts = [part.render({**extra, "ctx": ctx}) for part in self._parts]
        except ConfigError:
            if not missing:  # else it most likely stumbled over one of them
                raise
        finally:
            _missing.reset(reset)
        if missing:
            raise _missing_values(missing, ctx)
        return "\n\n".join(text for text in texts if text)


def read_prompt(path: Path) -> str:
    """Return the text of a prompt file, in UTF-8. Raises `PromptError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PromptError(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise PromptError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PromptError(f"{str(path)!r} is not UTF-8 text (byte {error.start})") from None


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    template: Template | None = None
    names: frozenset[str] = frozenset()

    def render(self, names: Mapping[str, Any]) -> str:
        if self.template is None:
            return _trimmed(self.text)
        try:
            return _trimmed(self.template.render(names))
        except Exception as error:
            line = _line_of(error)
            where = "the prompt" if line is None else f"the prompt, line {line}"
            raise ConfigError(f"{where}: {_reason(error)}") from error


def _trimmed(text: str) -> str:
    return text.strip("\r\n").rstrip()


def _part(text: str, number: int) -> _Part:
    if not re.search(r"\{[{%#]", text):
        return _Part(text)
    from jinja2 import TemplateSyntaxError  # prompts without a template do without it

    environment = _environment()
    try:
        tree = environment.parse(text)
        _refuse(tree, number)
        template = environment.from_string(text)
    except TemplateSyntaxError as error:
        raise PromptError(error.message or "not a valid template", error.lineno, number) from None
    return _Part(text, template, frozenset(_names(tree)))


def _refuse(tree: nodes.Template, number: int) -> None:
    """Refuse at once what would fail in every run."""
    from jinja2 import nodes

    for found in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        words = "a prompt cannot load other templates; list its files instead, as in prompt = [{ file = … }]"
        raise PromptError(words, found.lineno, number)
    for access, name in _accesses(tree):
        if name.startswith("__"):
            raise PromptError(
                f"{name!r} is refused: prompts may not reach into Python", access.lineno, number
            )


def _names(tree: nodes.Template) -> Iterator[str]:
    """Yield the context values that a template mentions."""
    from jinja2 import nodes

    for access, name in _accesses(tree):
        if isinstance(access.node, nodes.Name) and access.node.name == "ctx":
            yield name


def _accesses(tree: nodes.Template) -> Iterator[tuple[nodes.Getattr | nodes.Getitem, str]]:
    """Each `x.name` and `x["name"]`."""
    from jinja2 import nodes

    for dotted in tree.find_all(nodes.Getattr):
        yield dotted, dotted.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item, item.arg.value


# The undefined values that the rendering under way has come upon.
_missing: ContextVar[list[Undefined]] = ContextVar("missing")

_USES: dict[str, Any] = {  # what a template does with a value, and what a missing one answers
    **dict.fromkeys(("__str__", "__html__"), lambda: ""),
    **dict.fromkeys(("__len__", "__int__", "__index__", "__hash__", "__round__"), lambda: 0),
    **dict.fromkeys(("__bool__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"), lambda: False),
    "__float__": lambda: 0.0,
    "__iter__": lambda: iter(()),
}
_OPERATIONS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
_CALCULATIONS = (
    *(f"__{side}{name}__" for name in _OPERATIONS for side in ("", "r")),
    *("__call__", "__neg__", "__pos__", "__abs__"),
)


@cache
def _environment() -> Environment:
    from jinja2 import ChainableUndefined, Undefined, UndefinedError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Missing(ChainableUndefined):
        """Stands for a value that is not there. Its use is noted and rendering goes on, to find the others."""

        def noted(self) -> Missing:
            if not issubclass(self._undefined_exception, UndefinedError):
                raise self._undefined_exception(self._undefined_message)  # refused by the sandbox
            _missing.get().append(self)
            return self

    for name, answer in _USES.items():
        setattr(Missing, name, lambda self, *_, answer=answer: (self.noted(), answer())[1])
    for name in _CALCULATIONS:
        setattr(Missing, name, lambda self, *_, **__: self.noted())

    class Sandbox(ImmutableSandboxedEnvironment):
        def getattr(self, obj: Any, attribute: str) -> Any:
            """Return a value called `items` or `title` before the method of that name."""
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

    def printable(value: Any) -> Any:
        if callable(value) and not isinstance(value, Undefined):
            raise TypeError(f"{getattr(value, '__name__', value)!r} is a function here, not a value")
        return value

    environment = Sandbox(undefined=Missing, finalize=printable, keep_trailing_newline=True)
    environment.filters["tojson"] = _json  # Jinja's own escapes quotation marks and brackets for HTML
    environment.globals["schema"] = _schema
    return environment


def _json(value: Any, indent: int | None = None) -> str:
    return to_json(value, indent=indent, fallback=str).decode()


def _schema(output: Any) -> str:
    if output is None:
        raise TypeError("schema(output) needs an agent that has an `output`")
    return _json(output, indent=2)


def _missing_values(missing: Sequence[Undefined], ctx: Mapping[str, Any]) -> MissingValues:
    names = list(dict.fromkeys(_name(one, ctx) for one in missing))
    near = []
    for name in names:
        # Not for `ctx.order.total`: only the values themselves are known by name.
        known = nearest(name.removeprefix("ctx."), ctx) if name.count(".") < 2 else None
        near += [f"did you mean `ctx.{known}`?"] if known and f"ctx.{known}" != name else []
    return MissingValues(names, "; ".join([*near, _HINT]))


def _name(missing: Undefined, ctx: Mapping[str, Any]) -> str:
    """Return how the prompt names it, such as `ctx.order.total`."""
    holder, name = missing._undefined_obj, str(missing._undefined_name)
    for place, value in _places("ctx", ctx, _DEPTH):
        if value is holder:
            return f"{place}.{name}"
    return name


def _places(place: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    yield place, value
    if depth and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _places(f"{place}.{key}", inner, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _places(f"{place}[{index}]", inner, depth - 1)


def _line_of(error: Exception) -> int | None:
    """Return the line of the template that was at work, which Jinja puts into the traceback."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _reason(error: Exception) -> str:
    from jinja2 import TemplateError

    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
