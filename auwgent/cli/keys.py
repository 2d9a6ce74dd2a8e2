"""`auwgent keys`: API keys, typed once."""

from __future__ import annotations

import json
import os
import sys

import click

from auwgent.cli import options
from auwgent.errors import ConfigError
from auwgent.keystore import StoredKeys
from auwgent.models.providers import is_provider, near_provider, provider_of
from auwgent.secrecy import unsendable

EXAMPLES = """\b
Examples:
  auwgent keys set openai
  pass show openai | auwgent keys set openai
  auwgent keys list
"""


@click.group("keys", epilog=EXAMPLES)
def command() -> None:
    """Keep API keys, so that no shell has to know them.

    They go into the system's keyring where there is one (`pip install 'auwgent[encryption]'`), else into a file that
    only you can read. A variable of the environment, and one in a `.env`, comes first.
    """


def variable_of(provider: str) -> str:
    """Return the variable of a provider's key; `BadParameter` where it takes none."""
    if not is_provider(provider):
        near = near_provider(provider) or "`auwgent providers` lists them"
        raise click.BadParameter(f"there is no provider {provider!r}; {near}")
    known = provider_of(provider)
    if not known.env:
        raise click.BadParameter(f"{provider} takes no API key")
    return known.env[0]


@command.command("set", epilog=EXAMPLES)
@click.argument("provider", type=options.TEXT)
def set_(provider: str) -> None:
    """Keep the API key of PROVIDER. It is asked for without showing it, or read from standard input."""
    name = variable_of(provider)
    key = ""
    if sys.stdin is not None:
        is_asked = sys.stdin.isatty()
        question = f"API key of {provider}"
        key = click.prompt(question, hide_input=True, err=True) if is_asked else sys.stdin.read()
    key = key.strip()
    if not key:
        raise click.UsageError("there is no key: type it, or pipe it in")
    if wrong := unsendable(key):
        raise ConfigError(f"this cannot be a key: it {wrong}")
    keys = StoredKeys()
    keys[name] = key
    click.echo(f"The key of {provider} is in {keys.place(name)}; it stands for {name}.", err=True)
    if os.environ.get(name):
        click.echo(f"{name} is set in this shell, and comes first.", err=True)


@command.command(
    "list", epilog="\b\nExamples:\n  auwgent keys list\n  auwgent keys list --json | jq -r '.[].variable'"
)
@options.as_json
def list_(as_json: bool) -> None:
    """List the kept keys: the variable each stands for, and where it is. None is shown."""
    keys = StoredKeys()
    rows = [
        {
            "variable": name,
            "in": keys.place(name),
            "hidden_by": "environment" if os.environ.get(name) else None,
        }
        for name in keys
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("No keys are kept; `auwgent keys set PROVIDER` keeps one.", err=True)
    width = max((len(str(row["variable"])) for row in rows), default=0)
    for row in rows:
        note = "; the environment's comes first" if row["hidden_by"] else ""
        click.echo(f"{row['variable']:<{width}}  in {row['in']}{note}")


@command.command("delete", epilog="\b\nExamples:\n  auwgent keys delete openai")
@click.argument("provider", type=options.TEXT)
def delete(provider: str) -> None:
    """Forget the kept API key of PROVIDER."""
    name = variable_of(provider)
    keys = StoredKeys()
    if name not in keys.entries():
        raise ConfigError(f"no key of {provider} is kept; `auwgent keys list` shows those that are")
    del keys[name]
    click.echo(f"The key of {provider} is forgotten.", err=True)
