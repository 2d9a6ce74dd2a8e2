"""`auwgent serve`: the agent over HTTP."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from auwgent.cli import options
from auwgent.imports import late
from auwgent.render.terminal import harmless
from auwgent.runtime import Runtime


@click.command(
    "serve",
    epilog=options.examples(
        "auwgent serve",
        "auwgent serve --port 9000",
        "curl http://127.0.0.1:8000/v1/models",
    ),
)
@options.config
@options.profile
@options.overrides
@click.option("--host", metavar="HOST", type=options.TEXT, help="Listen there instead of `serve.host`.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Listen there instead of `serve.port`; 0: any free one."
)
@click.option(
    "--worker", is_flag=True, help="With [queue]: take runs from it, too, as `auwgent worker` does."
)
@click.option("-q", "--quiet", is_flag=True, help="Do not print a line for each request.")
def command(
    config: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    host: str | None,
    port: int | None,
    worker: bool,
    quiet: bool,
) -> int:
    """Answer over HTTP, as [serve] of the config says.

    SIGTERM and Ctrl-C take no new runs and give those under way `drain` seconds; SIGHUP reads the config again. With
    [queue] the runs are queued for workers.
    """
    if host is not None:
        overrides += (f"serve.host={json.dumps(host)}",)
    if port is not None:
        overrides += (f"serve.port={port}",)

    def make(**more: Any) -> Runtime:
        return Runtime(config, profile=profile, overrides=overrides, **more)

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logging.getLogger("auwgent.serve.access").setLevel(logging.WARNING if quiet else logging.INFO)
    code: int = late("auwgent.serve.server:serve")(
        make, lambda line: click.echo(harmless(line), err=True), takes_runs=worker
    )
    return code
