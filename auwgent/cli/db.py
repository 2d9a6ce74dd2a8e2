"""`auwgent db`: the schema of the config's store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from auwgent.cli import options
from auwgent.cli.stores import all_of
from auwgent.config import load
from auwgent.middleware.sessions import SQLModelSessions
from auwgent.store.base import Schema

T = TypeVar("T")


@click.group("db", epilog=options.examples("auwgent db check", "auwgent db upgrade", "auwgent db encrypt"))
def command() -> None:
    """Check, upgrade or encrypt the store's database. The first run upgrades the schema, too."""


@command.command("check", epilog=options.examples("auwgent db check || auwgent db upgrade"))
@options.config
def check(config: Path) -> int:
    """Tell the version of the schema. Exit code 1 where a run would upgrade it, or cannot use it."""
    for schema in _each(config, lambda store: store.schema()):
        if schema.found is None:
            click.echo(f"there is no database yet; a run will make one of version {schema.newest}")
        elif schema.found == schema.newest:
            click.echo(f"version {schema.found}, up to date")
        else:
            newer = schema.found > schema.newest
            what = "install a newer auwgent" if newer else "auwgent db upgrade brings it up to date"
            click.echo(f"version {schema.found}, this auwgent wants {schema.newest}: {what}")
            return 1
    return 0


@command.command("upgrade", epilog=options.examples("auwgent db upgrade -c team.toml"))
@options.config
def upgrade(config: Path) -> None:
    """Bring the schema up to date; a SQLite file is copied first."""

    async def work(store: SQLModelSessions) -> tuple[Schema, Schema]:
        before = await store.schema()
        await store.open()
        try:
            return before, await store.schema()
        finally:
            await store.close()

    for before, after in _each(config, work):
        if before.found == after.found:
            click.echo(f"version {after.found}, up to date")
        else:
            click.echo(f"version {before.found or 'none'} became version {after.found}")


@command.command("encrypt", epilog=options.examples("auwgent db encrypt -c team.toml"))
@options.config
def encrypt(config: Path) -> None:
    """Encrypt a file that was made without a key.

    The key is the store's encryption_key. End all that uses the SQLite file first: it is exchanged for an encrypted
    one, as are its copies, and overwritten.
    """
    for changed in _each(config, lambda store: store.encrypt()):
        click.echo("encrypted" if changed else "encrypted already")


def _each(config: Path, work: Callable[[SQLModelSessions], Awaitable[T]]) -> list[T]:
    loaded = load(config, only="middleware")  # held: no error shows its secrets for as long as it lives
    stores = all_of(SQLModelSessions, loaded)

    async def run() -> list[T]:
        return [await work(store) for store in stores]

    return asyncio.run(run())
