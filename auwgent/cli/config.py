"""`auwgent config`: the effective config; `auwgent schema`: the JSON Schema of its file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.config import json_schema, load
from auwgent.config.show import show as as_toml


@click.group("config", epilog=options.examples("auwgent config show --origin"))
def command() -> None:
    """Show the effective config."""


@command.command(
    "show",
    epilog=options.examples(
        "auwgent config show", "auwgent config show --origin --profile strict --set limits.llm_calls=3"
    ),
)
@options.config
@options.profile
@options.overrides
@click.option("--origin", is_flag=True, help="Add a comment to each key that says what set it.")
def show(config: Path, profile: str | None, overrides: tuple[str, ...], origin: bool) -> None:
    """Print the effective config as TOML, defaults included, secrets masked."""
    loaded = load(config, profile=profile, overrides=overrides)
    click.echo(as_toml(loaded, origin=origin), nl=False)


@click.command("schema", epilog=options.examples("auwgent schema > auwgent.schema.json"))
def schema() -> None:
    """Print the JSON Schema of the config file, for editors.

    The line `#:schema ./auwgent.schema.json` at the top of a config tells most of them where it is.
    """
    click.echo(json.dumps(json_schema.schema(), indent=2, ensure_ascii=False))
