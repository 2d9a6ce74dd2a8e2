"""`auwgent acp`: the agent in editors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.errors import ConfigError
from auwgent.imports import late
from auwgent.runtime import Runtime


@click.command("acp", epilog=options.examples("auwgent acp", "auwgent acp -c ~/helper/auwgent.toml"))
@options.config
@options.profile
@options.overrides
def command(config: Path, profile: str | None, overrides: tuple[str, ...]) -> None:
    """Serve the agent to an editor, by the Agent Client Protocol on standard input and output.

    The editor starts the command itself. Conversations are those of the config's store: what was begun on a terminal
    goes on in the editor.
    """
    agent = Runtime(config, profile=profile, overrides=overrides)
    try:
        serve = late("auwgent.serve.editors:on_stdio")
    except ModuleNotFoundError as error:
        raise ConfigError('`auwgent acp` needs the extra "acp": pip install "auwgent[acp]"') from error
    asyncio.run(serve(agent))
