"""`auwgent model`: the weights of models that run in process."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.config import Config, load
from auwgent.errors import ConfigError
from auwgent.models.local import weights

STEPS = 1000  # of the progress bar
DEFAULT = next(iter(weights.KNOWN))


@click.group("model", epilog=options.examples("auwgent model pull", "auwgent model list"))
def command() -> None:
    """Fetch and list the weights of models that run in process, such as local/smollm2."""


@command.command(
    "pull", epilog=options.examples("auwgent model pull", "auwgent model pull --config auwgent.toml")
)
@click.argument("name", required=False)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Fetch what this config's models need, if anything.",
)
def pull(name: str | None, config: Path | None) -> None:
    """Fetch the weights of NAME (smollm2), unless they are here.

    They are checked against their pinned hash.
    """
    if name and config:
        raise click.UsageError("give NAME or --config, not both")
    for each in [(name or DEFAULT).removeprefix("local/")] if config is None else needed(config):
        _pull(each)


def needed(path: Path) -> list[str]:
    """Return the known weights that the agents of a config may want, fallbacks included.

    What is wrong with the file is for `auwgent run` to say.
    """
    try:
        config = load(path)
    except ConfigError:
        return []
    agents = [config.agent, *config.helpers.values()]
    found = {model for agent in agents for model in _reachable(agent.model, config, set())}
    return [name for name in weights.KNOWN if f"local/{name}" in found and not weights.place(name).is_file()]


def _reachable(model: str, config: Config, seen: set[str]) -> set[str]:
    """`provider/model` of a name in the config and of those that stand in for it."""
    if model in seen:
        return set()
    seen.add(model)
    if model not in config.models:
        return {model}
    table = config.models[model]
    return set().union(*(_reachable(each, config, seen) for each in (str(table.use), *table.fallbacks)))


def _pull(name: str) -> None:
    if not weights.pulled(name):
        title = f"{name}, {_megabytes(weights.known(name).package_size)}"
        with click.progressbar(length=STEPS, label=title, file=sys.stderr) as bar:

            def say(text: str) -> None:
                bar.label = f"{title}: {text}"
                bar.render_progress()

            weights.pull(name, lambda share: bar.update(round(share * STEPS) - bar.pos), say)
            bar.update(STEPS - bar.pos)
    click.echo(f"{name} is here: {weights.cached(name)}", err=True)


@command.command("list", epilog=options.examples("auwgent model list"))
def list_() -> None:
    """List the weights that are here, and those that can be fetched."""
    rows = [_row(name) for name in weights.KNOWN]
    others = sorted(weights.cache().glob("*.gguf"))
    rows += [
        (f"local/{path}", _megabytes(path.stat().st_size), "")
        for path in others
        if path.stem not in weights.KNOWN
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for model, size, note in rows:
        click.echo(f"{model:{widths[0]}}  {size:>{widths[1]}}  {note}".rstrip())


def _row(name: str) -> tuple[str, str, str]:
    path = weights.place(name)
    if path.is_file():
        return f"local/{name}", _megabytes(path.stat().st_size), str(path)
    get = "" if name == DEFAULT else f" {name}"
    return (
        f"local/{name}",
        "-",
        f"not here: auwgent model pull{get} ({_megabytes(weights.KNOWN[name].package_size)})",
    )


def _megabytes(size: int) -> str:
    return f"{round(size / 1e6)} MB"
