"""Writes auwgent/typed.py, the config as TypedDicts, from its tables. With --check it only compares."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from auwgent.config import settings, tables

PAGE = Path(__file__).parent.parent / "auwgent" / "typed.py"

HEAD = '''\
"""The config as a program writes it: the tables of the file as TypedDicts, for type checkers.

Made from the tables by scripts/config_types.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from auwgent.models.base import Model
'''

# What a dict may hold where a file has a dotted path, or has no word for it.
LIVE = {
    ("AgentTable", "model"): "str | Model | type[Model]",
    ("AgentTable", "output"): "str | Mapping[str, Any] | type[Any] | Sequence[str | type[Any]]",
    ("ModelConfig", "use"): "str | Model | type[Model]",
    ("ToolEntry", "use"): "str | Callable[..., Any]",
    ("WorkflowEntry", "use"): "str | Callable[..., Any]",
    # A class, an instance, a dotted path, or a table of `use` and the keyword arguments of its constructor.
    ("Config", "middleware"): "Sequence[Any]",
    ("Config", "profiles"): "Mapping[str, Mapping[str, Any]]",
}
NAMES = {
    "Config": "ConfigDict",
    "AgentConfig": "AgentDict",
    "AgentTable": "AgentKeys",
    "TextFile": "FileDict",
}
PLAIN = (str, int, float, bool)
ALIASES = {"apiKeys": "Mapping[str, str]"}


def tables_of(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The tables of a config, each behind those it is made of."""
    found: dict[type[BaseModel], None] = {}

    def visit(annotation: Any) -> None:
        for each in get_args(annotation):
            visit(each)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)) or annotation in found:
            return
        if issubclass(annotation, tables.AgentTable):
            visit(annotation.__mro__[1])
        for field in annotation.model_fields.values():
            visit(field.rebuild_annotation())
        if annotation not in (BaseModel, tables.Table, tables.MiddlewareEntry):
            found.setdefault(annotation)

    visit(root)
    yield from found


def name_of(table: type[BaseModel]) -> str:
    """What the TypedDict of a table is called."""
    name = table.__name__
    return NAMES.get(name, f"{name.removesuffix('Config').removesuffix('Entry')}Dict")


def written(annotation: Any) -> str:
    """The type of what a program may write where the tables have this one."""
    return " | ".join(dict.fromkeys(variants(annotation)))


def variants(annotation: Any) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from variants(arguments[0])
    elif origin in (Union, types.UnionType):
        for each in arguments:
            yield from () if each is types.NoneType else variants(each)
    elif origin is Literal:
        yield f"Literal[{', '.join(map(repr, arguments))}]"
    elif origin is tuple:
        yield f"Sequence[{written(arguments[0])}]"
    elif origin is dict:
        yield f"Mapping[str, {written(arguments[1])}]"
    elif annotation in (tables.ToolEntry, tables.WorkflowEntry):
        yield from ("str", "Callable[..., Any]", name_of(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield name_of(annotation)
    else:
        # What is no plain type is written as text, such as a secret or a span of time.
        yield "Any" if annotation is Any else annotation.__name__ if annotation in PLAIN else "str"


def fields(table: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, str]]:
    """The fields of a table that its base does not have, with the type that is written for each."""
    base = table.__mro__[1]
    inherited = base.model_fields if base is tables.AgentTable else {}
    for name, field in table.model_fields.items():
        # What `auwgent(output=…)` takes decides what its runs give, so it stands beside the other keys.
        if (
            (name == "output")
            if table is not tables.AgentTable and name in inherited
            else (name not in inherited and not (table is tables.AgentTable and name == "output"))
        ):
            live = next((LIVE[key] for one in table.__mro__ if (key := (one.__name__, name)) in LIVE), None)
            yield name, field, live or written(field.rebuild_annotation())


def section(table: type[BaseModel]) -> str:
    base = table.__mro__[1]
    title = name_of(base) if base is tables.AgentTable else "TypedDict"
    about = (table.__doc__ or "").strip().splitlines()[0]
    lines = [f"class {name_of(table)}({title}, total=False):", f'    """{about}"""', ""]
    for name, field, kind in fields(table):
        note = " ".join((field.description or "").split())
        lines += textwrap.wrap(note, 100, initial_indent="    # ", subsequent_indent="    # ")
        lines.append(f"    {name}: {f'Required[{kind}]' if field.is_required() else kind}")
    if table is settings.Config:
        lines += [f"    {name}: {kind}" for name, kind in ALIASES.items()]
    return "\n".join(lines)


def page() -> str:
    """The module as it should be."""
    text = "\n\n\n".join([HEAD.rstrip(), *map(section, tables_of(settings.Config))]) + "\n"
    for rule in (("check", "--select", "I,F401", "--fix-only"), ("format",)):
        command = [sys.executable, "-m", "ruff", *rule, "--quiet", "--stdin-filename", str(PAGE), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> int:
    wanted = page()
    if sys.argv[1:] == ["--check"]:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
