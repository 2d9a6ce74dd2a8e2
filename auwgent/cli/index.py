"""`auwgent index`: puts files into the index that `Retrieve` searches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.cli.instances import instance_of
from auwgent.errors import ConfigError
from auwgent.middleware.retrieve import Retrieve
from auwgent.render.terminal import harmless
from auwgent.runtime import Runtime

PROSE = (".adoc", ".csv", ".htm", ".html", ".log", ".md", ".rst", ".tex", ".tsv", ".txt", ".xml")
CODE = (
    ".c",
    ".cpp",
    ".cs",
    ".css",
    ".go",
    ".h",
    ".java",
    ".js",
    ".kt",
    ".php",
    ".py",
    ".rb",
    ".rs",
    ".sh",
    ".sql",
    ".ts",
)
DATA = (".ini", ".json", ".jsonl", ".sql", ".toml", ".yaml", ".yml")
SUFFIXES = frozenset(PROSE + CODE + DATA)  # of files that are taken out of folders


@click.command(
    "index",
    epilog=options.examples(
        "auwgent index docs README.md", "auwgent index --list", "auwgent index --remove docs/old.md"
    ),
)
@click.argument("files", metavar="[FILES]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="List what is in the index.")
@click.option("--remove", is_flag=True, help="Take FILES out, by the names that --list shows.")
@options.config
@options.profile
@options.overrides
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors.")
def command(
    files: tuple[Path, ...],
    listing: bool,
    remove: bool,
    config: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    quiet: bool,
) -> None:
    """Put text files, and those in folders, into the index that the config's Retrieve searches.

    Files that have not changed since are left as they are. Names in the index are relative to the config file.
    """
    if listing and (files or remove):
        raise click.UsageError("--list stands alone")
    if not listing and not files:
        raise click.UsageError("name files or folders, or give --list")

    async def work() -> None:
        async with instance_of(Retrieve, config, profile=profile, overrides=overrides) as (retrieve, agent):
            if listing:
                for source in await retrieve.sources():
                    click.echo(harmless(f"{source.passages:>6}  {source.name}"))
            elif remove:
                await _remove(retrieve, [str(file) for file in files])
            else:
                await _add(retrieve, agent, list(_found(files)), quiet)

    asyncio.run(work())


async def _remove(retrieve: Retrieve, names: Sequence[str]) -> None:
    known = {source.name for source in await retrieve.sources()}
    for name in names:
        if name not in known:
            raise ConfigError(f"{name} is not in the index")
    await retrieve.remove(names)


async def _add(retrieve: Retrieve, agent: Runtime, files: Sequence[Path], quiet: bool) -> None:
    embedding = agent.config.embedding
    model = embedding.model if embedding is not None else ""
    for number, file in enumerate(files, 1):
        name = _name(file, agent.config.folder)
        count = await retrieve.add(name, _text(file), agent.embed, model=model)
        if not quiet:
            made = "unchanged" if count is None else f"{count} passage{'' if count == 1 else 's'}"
            click.echo(harmless(f"[{number}/{len(files)}] {name}: {made}"), err=True)


def _found(files: Sequence[Path]) -> Iterator[Path]:
    """The files, and the text files below folders, but for hidden ones."""
    for file in files:
        if not file.exists():
            raise ConfigError(f"there is no file {str(file)!r}")
        if not file.is_dir():
            yield file
            continue
        for below in sorted(file.rglob("*")):
            hidden = any(part.startswith(".") for part in below.relative_to(file).parts)
            if below.is_file() and below.suffix.lower() in SUFFIXES and not hidden:
                yield below


def _name(file: Path, folder: Path) -> str:
    return os.path.relpath(file, folder)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{str(file)!r} is no text in UTF-8; turn it into text first") from None
    except OSError as error:
        raise ConfigError(f"cannot read {str(file)!r}: {error.strerror or error}") from None
