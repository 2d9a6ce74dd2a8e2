"""`auwgent schema`: the JSON Schema of the config file."""

from __future__ import annotations

import json

import click

from auwgent.cli import options
from auwgent.config.json_schema import schema


@click.command("schema", epilog=options.examples("auwgent schema > auwgent.schema.json"))
def command() -> None:
    """Print the JSON Schema of the config file, for editors.

    The line `#:schema ./auwgent.schema.json` at the top of a config tells most of them where it is.
    """
    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))
