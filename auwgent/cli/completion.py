"""`auwgent completion`, and what it completes: names that a config and the providers know.

The chat uses it, too. Whatever goes wrong, there is just nothing to complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from auwgent.cli.options import COMPLETE
from auwgent.cli.stores import all_of
from auwgent.config import load
from auwgent.errors import AuwgentError
from auwgent.middleware.sessions import SQLModelSessions
from auwgent.models.listed import model_names
from auwgent.models.local import weights
from auwgent.models.providers import PROVIDERS
from auwgent.store.base import SessionInfo

MOST = 50  # sessions

EXAMPLES = """\b
Examples:
  eval "$(auwgent completion bash)"                       # in ~/.bashrc
  eval "$(auwgent completion zsh)"                        # in ~/.zshrc
  auwgent completion fish > ~/.config/fish/completions/auwgent.fish
"""


@click.command("completion", epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a SHELL: bash, zsh or fish.

    It completes commands and options, and what a config knows: models, profiles and session ids.
    """
    root = context.find_root()
    script = get_completion_class(shell)
    assert script is not None  # click has all three
    click.echo(script(root.command, {}, root.info_name or "", COMPLETE).source())


def sessions(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return ids of the user's sessions, the newest first, each with how it began."""
    found: list[SessionInfo] = []
    with contextlib.suppress(AuwgentError):
        found = asyncio.run(_sessions(context))
    return [CompletionItem(one.id, help=one.preview) for one in found if one.id.startswith(incomplete)]


def models(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return names under [models], then providers and their models."""
    named: Iterable[str] = ()
    with contextlib.suppress(AuwgentError):
        named = load(_config(context)).models
    return [CompletionItem(name) for name in names_of_models(named, incomplete)]


def profiles(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return names under [profiles]."""
    with contextlib.suppress(AuwgentError):
        return [
            CompletionItem(name) for name in load(_config(context)).profiles if name.startswith(incomplete)
        ]
    return []


def names_of_models(own: Iterable[str], incomplete: str) -> list[str]:
    """Return the user's own names and the providers; the models of a provider once no other is meant."""
    here = [
        name for name in (*own, *(f"local/{name}" for name in weights.KNOWN)) if name.startswith(incomplete)
    ]
    there = [f"{provider}/" for provider in PROVIDERS if f"{provider}/".startswith(incomplete)]
    meant = there[0] if not here and len(there) == 1 else incomplete
    provider, slash, _ = meant.partition("/")
    found = [name for name in model_names(provider) if name.startswith(incomplete)] if slash else []
    return list(dict.fromkeys([*here, *(found or there)]))


async def _sessions(context: click.Context) -> list[SessionInfo]:
    store = all_of(SQLModelSessions, load(_config(context), only="middleware"))[0]
    try:
        return await store.list_sessions(context.params.get("user") or "", limit=MOST)
    finally:
        await store.close()


def _config(context: click.Context) -> Path:
    """Return the config that the command line names so far; nothing is parsed to the end while one completes."""
    return Path(context.params.get("config") or os.environ.get("AUWGENT_CONFIG") or "auwgent.toml")
