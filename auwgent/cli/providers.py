"""`auwgent providers`: which key each provider needs, and whether it is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from auwgent.assembly import environ_of
from auwgent.cli import options
from auwgent.config import Config, load
from auwgent.config.references import names_provider
from auwgent.errors import ConfigError
from auwgent.keystore import Filled, StoredKeys
from auwgent.models.providers import IN_PROCESS, PROVIDERS, Provider, provider_of
from auwgent.render.terminal import paint, problems_text, wants_colour

EXAMPLES = """\b
Examples:
  auwgent providers
  auwgent providers --json | jq -r '.[] | select(.key_from).provider'
"""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A provider and its key. `key_from` says where the key is, and never what it is."""

    provider: str
    variables: tuple[str, ...]
    needs_key: bool
    key_from: str | None
    note: str


@click.command("providers", epilog=EXAMPLES)
@options.config
@options.as_json
def command(config: Path, as_json: bool) -> None:
    """List the providers, which key each needs, and whether it is there.

    A key comes from [api_keys] of the config, if there is one, or else from the environment; one under [models.*]
    is for that model alone. Providers that are not in the list work, too: LiteLLM knows about a hundred more.
    """
    readable = _readable(config)
    environ = Filled(os.environ, StoredKeys()) if readable is None else environ_of(readable)
    rows = list(found(readable, environ))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    colour = wants_colour(sys.stdout)
    name = max(len(row.provider) for row in rows)
    variables = max(len(_variables(row)) for row in rows)
    for row in rows:
        told = _told(row)
        style = paint(told, "green" if row.key_from else "yellow" if row.needs_key else "dim", on=colour)
        note = f"; also {row.note}" if row.note else ""
        click.echo(f"{row.provider:<{name}}  {_variables(row):<{variables}}  {style}{note}")


def found(config: Config | None, environ: Mapping[str, str]) -> Iterator[KeyRow]:
    """Yield every provider: the known ones in their order, then what else the config names."""
    for name in [*PROVIDERS, *(_others(config) if config is not None else ())]:
        provider = provider_of(name)
        yield KeyRow(
            name, provider.env, provider.needs_key, _origin(provider, config, environ), provider.note
        )


def _others(config: Config) -> list[str]:
    used = (config.models[name].use if name in config.models else name for name in config.models_in_use())
    named = [*config.api_keys, *(name.partition("/")[0] for name in used if names_provider(name))]
    return [name for name in dict.fromkeys(named) if name not in PROVIDERS and name not in IN_PROCESS]


def _origin(provider: Provider, config: Config | None, environ: Mapping[str, str]) -> str | None:
    if config is not None and provider.name in config.api_keys:
        return config.origin(("api_keys", provider.name))
    variable = next((name for name in provider.env if environ.get(name)), None)
    if variable is not None and not os.environ.get(variable) and variable in StoredKeys():
        beside = config is not None and variable in config.beside
        return variable if beside else f"{variable}, kept by `auwgent keys`"
    if variable is not None or config is None:
        return variable
    own = (
        f"{config.origin(('models', name, 'api_key'))} (for models.{name})"
        for name, table in config.models.items()
        if table.api_key is not None and str(table.use).partition("/")[0] == provider.name
    )
    return next(own, None)


def _readable(path: Path) -> Config | None:
    """Return the config, if it is there and in order. What is wrong with it is told, but a key may be all it lacks."""
    if not path.exists():
        return None
    try:
        return load(path)
    except ConfigError as error:
        click.echo(problems_text(error.problems, colour=wants_colour(sys.stderr)), err=True)
        return None


def _variables(row: KeyRow) -> str:
    return " or ".join(row.variables) or "-"


def _told(row: KeyRow) -> str:
    if row.key_from:
        return f"there, from {row.key_from}"
    return "missing" if row.needs_key else "not needed"
