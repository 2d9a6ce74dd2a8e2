"""Options that several commands share, so that they mean and say the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from auwgent.imports import late

COMPLETE = "_AUWGENT_COMPLETE"  # set by a shell that wants completions


class TextType(click.ParamType[str]):
    """Text as it was typed. A shell may pass any bytes; what is not UTF-8 can be neither sent nor stored."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("is not valid UTF-8", param, ctx)
        return text


class Pair(TextType):
    """`K=V`. The key is everything before the first `=`, the value is text, whatever it looks like."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        key, found, _ = text.partition("=")
        if not found or not key.strip():
            self.fail(f"{text!r} should be KEY=VALUE", param, ctx)
        return text


class Id(TextType):
    """The id of a session. An empty one is a shell variable that is not set."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("an id may not be empty", param, ctx)
        return text


class Known(TextType):
    """Text that a shell can complete, by a function of `auwgent.cli.completion`."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self._function = function

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found: list[CompletionItem] = late(f"auwgent.cli.completion:{self._function}")(ctx, incomplete)
        return found


class KnownId(Known, Id):
    """The id of a session that a shell can complete."""


TEXT = TextType()
PAIR = Pair()
ID = Id()
SESSION = KnownId("session", "sessions")
MODEL = Known("model", "models")
PROFILE = Known("profile", "profiles")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


config: Decorator = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    envvar="AUWGENT_CONFIG",
    show_envvar=True,
    default="auwgent.toml",
    show_default=True,
    metavar="FILE",
    help="The config file.",
)

profile: Decorator = click.option(
    "-p", "--profile", type=PROFILE, metavar="NAME", help="Apply [profiles.NAME] on top of the config."
)

overrides: Decorator = click.option(
    "--set",
    "overrides",
    type=PAIR,
    multiple=True,
    metavar="K=V",
    help="Set a config key, as in --set limits.llm_calls=3. May be repeated.",
)

user: Decorator = click.option(
    "-u", "--user", type=TEXT, metavar="USER", help="The session's user (default: none)."
)

as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def examples(*lines: str) -> str:
    """Return the end of a command's help: command lines as people type them."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def pairs(values: tuple[str, ...]) -> dict[str, str]:
    """Return the keys and values of options of type `PAIR`; of a key that comes twice the last one counts."""
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in values)}
