"""`auwgent new`: files to begin one's own code with."""

from __future__ import annotations

import keyword
import os
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.config import DEFAULT_MIDDLEWARE
from auwgent.errors import ConfigError, Problem
from auwgent.imports import is_installed

EXAMPLES = """\b
Examples:
  auwgent new middleware Brief                  brief.py and test_brief.py
  auwgent new middleware my_app.hooks.Brief     my_app/hooks.py and test_hooks.py
"""


@click.group("new", epilog=options.examples("auwgent new middleware Brief"))
def command() -> None:
    """Write files to begin your own code with."""


@dataclass(frozen=True, slots=True)
class ClassPlace:
    """The place of a new class: `my_app.hooks.Brief` is `Brief` in `my_app/hooks.py`."""

    module: str
    name: str

    @property
    def file(self) -> Path:
        return Path(*self.module.split(".")).with_suffix(".py")

    @property
    def test(self) -> Path:
        return Path(f"test_{self.file.name}")


@command.command("middleware", epilog=EXAMPLES)
@click.argument("name")
@options.config
def middleware(name: str, config: Path) -> None:
    """Write a middleware and a test of it, beside the config file.

    NAME is a class, or its dotted path. The test needs no key. Nothing is overwritten; what to add to the config
    is printed.
    """
    folder = config.parent
    place = place_of(name)
    top = place.module.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise click.BadParameter(f"{top!r} is a module of Python's own; choose another name")
    if is_installed(top, outside=folder):
        raise click.BadParameter(f"{top!r} is installed already; choose another name")
    text = {"module": place.module, "name": place.name}
    _write_new({folder / place.file: _MODULE.format(**text), folder / place.test: _TEST.format(**text)})
    click.echo(f"{folder / place.file} and {folder / place.test} are written. Into {config}:", err=True)
    click.echo(line_for(config, f"{place.module}.{place.name}"))
    click.echo(f"Then:\n  auwgent check\n  pytest {shlex.quote(str(folder / place.test))}", err=True)


def place_of(name: str) -> ClassPlace:
    """`Brief`, `brief`, `my_app.hooks` or `my_app.hooks.Brief` as a module and a class."""
    *before, last = name.replace(":", ".").split(".")
    if not last[:1].isupper():
        before, last = [*before, last], "".join(part.capitalize() for part in last.split("_"))
    module = before or [re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", last).lower()]
    for part in (*module, last):
        if not part.isidentifier() or keyword.iskeyword(part):
            raise click.BadParameter(f"{name!r} should be a name such as Brief, or my_app.hooks.Brief")
    if last in ("Context", "Middleware"):
        raise click.BadParameter(f"{last} is what the class is made with; give it a name of its own")
    return ClassPlace(".".join(module), last)


def line_for(config: Path, use: str) -> str:
    """Return the line to add. A list under `middleware` is all that runs, so a first one names the default, too."""
    try:
        listed = "middleware" in tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what is wrong with it is for `auwgent check` to say
        listed = False
    if listed:
        return f'  "{use}",  # in the list of `middleware`'
    return f'middleware = ["{DEFAULT_MIDDLEWARE}", "{use}"]  # above the first [table]'


def _write_new(texts: dict[Path, str]) -> None:
    """Write all of the files or, where one is there already or cannot be written, none."""
    written: list[Path] = []
    try:
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                written.append(file)
                stream.write(text)
    except OSError as error:
        for done in written:
            done.unlink()
        taken = "there is a file already; nothing was written"
        words = taken if isinstance(error, FileExistsError) else f"cannot be written: {error.strerror}"
        raise ConfigError([Problem(words, source=os.fspath(file))]) from None


_MODULE = '''\
"""A middleware of our own."""

from auwgent import Context, Middleware


class {name}(Middleware):
    """Says a line more to the model than the user did."""

    def __init__(self, line: str = "Answer briefly.") -> None:
        self.line = line  # from the config: {{ use = "{module}.{name}", line = "…" }}

    async def onLLMStart(self, prompt: str, ctx: Context) -> str:
        """What is returned here is what the model reads, in this call only; the session keeps what was said."""
        return f"{{prompt}}\\n{{self.line}}"
'''

_TEST = '''\
"""On a model that repeats what it is told: no key, no network, no cost."""

from {module} import {name}

from auwgent import auwgent


def test_the_model_reads_a_line_more_than_the_user_wrote() -> None:
    middleware = [{{"use": {name}, "line": "In one word."}}]
    agent = auwgent({{"agent": {{"model": "scripted/echo"}}, "middleware": middleware}})
    session = agent.run_sync("Hello")
    assert session.text == "You said: Hello\\nIn one word."
    assert session.turns[0].text == "Hello"
'''
