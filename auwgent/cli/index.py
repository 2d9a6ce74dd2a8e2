"""`auwgent index`: puts files into the index that `Retrieve` searches."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.cli.documents import Documents
from auwgent.cli.stores import with_one
from auwgent.config import load
from auwgent.errors import ConfigError, ProviderError
from auwgent.middleware.retrieve import TOO_LONG, Retrieve
from auwgent.render.terminal import one_line
from auwgent.runtime import Runtime

Say = Callable[[str], None]
PATIENCE = 3.0  # seconds; whether so much is left is not told


@click.command(
    "index",
    epilog=options.examples(
        "auwgent index docs README.md", "auwgent index --list", "auwgent index --remove docs/old.md"
    ),
)
@click.argument("files", metavar="[FILES]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="List what is in the index.")
@click.option(
    "--renew", is_flag=True, help="Recompute the vectors with the model that [embedding] names now."
)
@click.option("--remove", is_flag=True, help="Remove FILES from the index, by the names that --list shows.")
@options.config
@options.profile
@options.overrides
@click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
def command(
    files: tuple[Path, ...],
    listing: bool,
    renew: bool,
    remove: bool,
    config: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    quiet: bool,
) -> None:
    """Put text files, and those in folders, into the index that the config's Retrieve searches.

    Files that have not changed since are left alone, and what is gone from a folder is taken out. The config, files
    of keys, hidden files and what .gitignore names are never taken in. Names in the index are relative to the config
    file.
    """
    if (listing or renew) and (files or remove or (listing and renew)):
        raise click.UsageError(f"{'--list' if listing else '--renew'} stands alone")
    if not (listing or renew or files):
        raise click.UsageError("name files or folders, or give --list or --renew")

    def say(words: str) -> None:
        if not quiet:
            click.echo(one_line(words), err=True)

    async def look(retrieve: Retrieve) -> None:
        if remove:
            names = [str(file) for file in files]
            known = {source.name for source in await retrieve.sources()}
            for name in names:
                if name not in known:
                    raise ConfigError(f"{name} is not in the index")
            await retrieve.remove(names)
        else:
            for source in await retrieve.sources():
                click.echo(one_line(f"{source.passages:>6}  {source.name}"))

    async def fill(agent: Runtime) -> None:
        retrieve = next((one for one in agent.middleware if isinstance(one, Retrieve)), None)
        if retrieve is None:
            raise ConfigError("the middleware of this config does not list auwgent.middleware.Retrieve")
        try:
            await retrieve.open()
            await (_renew(retrieve, agent, say) if renew else _add(retrieve, agent, files, say))
        finally:
            await retrieve.close()
            await agent.close()

    if listing or remove:
        with_one(Retrieve, load(config, profile=profile, overrides=overrides), look)
    else:
        asyncio.run(fill(Runtime(config, profile=profile, overrides=overrides)))


async def _renew(retrieve: Retrieve, agent: Runtime, say: Say) -> None:
    for source in await retrieve.sources():
        count = await retrieve.renew(source, agent.embed, model=agent.embed_model)
        say(f"{source.name}: {_told(count)}")


async def _add(retrieve: Retrieve, agent: Runtime, given: Sequence[Path], say: Say) -> None:
    """Index what is given. What cannot be is told; where it was named itself, the end is an error."""
    config = agent.config
    env_file = getattr(config, "env_file", None)
    documents = Documents(
        [Path(config.source), *([config.folder / env_file] if isinstance(env_file, str) else [])]
    )
    known = {source.name for source in await retrieve.sources()}
    wrong = [
        f"there is no file {str(path)!r}"
        for path in given
        if not path.exists() and not any(_is_below(name, path, config.folder) for name in known)
    ]
    if wrong:
        raise ConfigError("; ".join(wrong))
    files = [file for path in given for file in (documents.within(path) if path.is_dir() else [path])]
    began = time.monotonic()
    refused: list[ProviderError] = []
    for number, file in enumerate(filter(Path.exists, files), 1):
        name = _name(file, config.folder)
        problem = documents.problem(file)
        try:
            if not problem:
                text = documents.text(file)
                count = await retrieve.add(name, text, agent.embed, model=agent.embed_model)
        except ValueError as error:
            problem = str(error)
        except ProviderError as error:
            if error.fault not in TOO_LONG:
                raise
            problem = f"is refused: {error}"
            refused.append(error)
        if problem:
            say(f"[{number}/{len(files)}] {name}: left out, it {problem}")
            wrong += [f"{str(file)!r} {problem}"] if file in given else []
            continue
        say(f"[{number}/{len(files)}] {name}: {_told(count)}{_left(began, number, len(files))}")
    if refused and len(refused) == len(files):
        raise refused[0]
    gone = [
        name
        for name in known
        if any(_is_below(name, path, config.folder) for path in given)
        and (not (file := config.folder / name).is_file() or documents.problem(file))
    ]
    await retrieve.remove(gone)
    for name in sorted(gone):
        say(f"{name}: taken out, it is gone or may not be indexed")
    if wrong:
        raise ConfigError("; ".join(wrong))


def _left(began: float, done: int, number: int) -> str:
    """Return how long the rest will take, where that is long and a person is looking."""
    took = time.monotonic() - began
    rest = took * (number - done) / done
    return f", some {rest:.0f} s to go" if min(took, rest) > PATIENCE and sys.stderr.isatty() else ""


def _told(count: int | None) -> str:
    return "unchanged" if count is None else f"{count} passage{'' if count == 1 else 's'}"


def _is_below(name: str, path: Path, folder: Path) -> bool:
    """Return whether a name in the index is of this file, or of one below this folder."""
    above = _name(path, folder)
    return name == above or above == "." or name.startswith(f"{above}{os.sep}")


def _name(file: Path, folder: Path) -> str:
    return os.path.relpath(file, folder)
