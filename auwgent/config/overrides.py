"""`AUWGENT_…` variables and `--set` texts as layers over the file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from auwgent.config.keys import Finding, Key, annotations_at, lookup, names_at
from auwgent.errors import Problem
from auwgent.secrecy import masked
from auwgent.words import written

PREFIX = "AUWGENT_"


@dataclass(slots=True)
class Overrides:
    """Values that came as text, each with the name of what it came from."""

    kind: str  # what the layer is called where no single key is meant
    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def source_of(self, key: Key) -> str:
        """Return the variable or option that set a key, or something around or below it."""
        while key:
            for other, source in self.sources.items():
                if other[: len(key)] == key or key[: len(other)] == other:
                    return source
            key = key[:-1]
        return self.kind

    def problem(self, finding: Finding) -> Problem:
        """The finding with the variable or option as its source. Their values may be secret and are not shown."""
        source = self.source_of(finding.key)
        return Problem(
            masked(finding.message), source=source, key=written(finding.key), hint=masked(finding.hint)
        )

    def put(self, key: Key, value: Any, source: str) -> None:
        """Set a key, tables around it included."""
        table = self.tree
        for part in key[:-1]:
            table = table.setdefault(str(part), {})
        table[str(key[-1])] = value
        self.sources[key] = source


Root = type[BaseModel]
Trees = Sequence[Mapping[str, Any]]  # the layers below, highest first


def from_environment(environ: Mapping[str, str], root: Root, below: Trees) -> Overrides:
    """Variables such as `AUWGENT_AGENT__MODEL`. Others with that prefix, such as `AUWGENT_CONFIG`, are not keys."""
    layer = Overrides("environment")
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        parts = name.removeprefix(PREFIX).split("__")
        if not name.startswith(PREFIX) or (len(parts) == 1 and parts[0].lower() not in root.model_fields):
            continue
        key: Key = ()
        for part in parts:
            key = (*key, _match(part, [*names_at(root, key), *_names_in(below, key)]))
        _set(layer, key, environ[name], name, root, below)
    return layer


class Typed(str):
    """An override that was typed as an option of its own, and is told by its name."""

    __slots__ = ("option",)
    option: str

    def __new__(cls, option: str, text: str) -> Self:
        made = super().__new__(cls, text)
        made.option = option
        return made


def from_options(texts: Sequence[str], root: Root, below: Trees) -> Overrides:
    """Texts such as `limits.seconds=60`."""
    layer = Overrides("--set")
    for text in texts:
        name, equals, value = text.partition("=")
        key = _parse_key(name.strip())
        source = text.option if isinstance(text, Typed) else f"--set {name.strip()}"
        if equals and key and all(key):
            _set(layer, key, value, source, root, below)
        else:
            layer.problems.append(
                Problem("should be KEY=VALUE, as in agent.model=openai/gpt-5", source=source)
            )
    return layer


def _set(layer: Overrides, key: Key, text: str, source: str, root: Root, below: Trees) -> None:
    if key[0] == "profiles":
        message = "profiles can be changed in the file only"
        layer.problems.append(Problem(message, source=source, key=written(key)))
        return
    for depth in range(1, len(key)):
        around = key[:depth]
        if _is_list(around, root, below) or not isinstance(lookup(layer.tree, around)[1], (dict, type(None))):
            message = f"cannot set `{written(key)}`: `{written(around)}` is not a table"
            hint = 'a list is replaced as a whole, as in KEY=\'["one", "two"]\''
            layer.problems.append(Problem(message, source=source, key=written(key), hint=hint))
            return
    layer.put(key, read_value(text, root, key), source)


def _is_list(key: Key, root: Root, below: Trees) -> bool:
    value = next((value for found, value in (lookup(tree, key) for tree in below) if found), None)
    annotations = annotations_at(root, key)
    return isinstance(value, list) or (
        bool(annotations) and all(get_origin(each) is tuple for each in annotations)
    )


def read_value(text: str, root: Root, key: Key) -> Any:
    """Return the text as TOML or JSON where it is either, unless the key wants a string and nothing like that."""
    value = _parse(text)
    if isinstance(value, str):
        return value
    annotations = annotations_at(root, key)
    wants_text = not any(_fits(value, annotation) for annotation in annotations)
    return text if wants_text and any(_fits(text, annotation) for annotation in annotations) else value


def _parse(text: str) -> Any:
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        document = tomllib.loads(f"value = {text}")
        if len(document) == 1:  # more than a value would be a second line with a key of its own
            return document["value"]
    if text.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    return text


def _fits(value: Any, annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _parse_key(text: str) -> Key:
    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return tuple(text.split("."))  # such as `context.größe`, which TOML would want quoted
    key: list[str] = []
    while isinstance(table, dict) and len(table) == 1:  # two would be two lines
        ((part, table),) = table.items()
        key.append(part)
    return tuple(key)


def _names_in(trees: Trees, key: Key) -> list[str]:
    tables = [lookup(tree, key)[1] for tree in trees]
    return [name for table in tables if isinstance(table, dict) for name in table if isinstance(name, str)]


def _match(part: str, names: list[str]) -> str:
    """Variables are written in capitals, keys as the user likes."""
    return next((name for name in names if name.lower() == part.lower()), part.lower())
