"""`auwgent db`: the schema of the config's store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import click

from auwgent.cli import options
from auwgent.errors import ConfigError
from auwgent.runtime import auwgent
from auwgent.store.base import Schema

S = TypeVar("S")
T = TypeVar("T")


@runtime_checkable
class Versioned(Protocol):
    """A store whose database has a schema; opening it brings the schema up to date."""

    async def schema(self) -> Schema: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class Encryptable(Protocol):
    """A store that can encrypt its database where it stands."""

    async def encrypt(self) -> bool: ...


@click.group("db", epilog=options.examples("auwgent db check", "auwgent db upgrade", "auwgent db encrypt"))
def command() -> None:
    """Look after the store's database. Its schema is brought up to date by the first run, too."""


@command.command("check", epilog=options.examples("auwgent db check || auwgent db upgrade"))
@options.config
def check(config: Path) -> int:
    """Tell the version of the schema. Exit code 1 where a run would upgrade it, or cannot use it."""
    for schema in _each(_versioned(config), lambda store: store.schema()):
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

    async def work(store: Versioned) -> tuple[Schema, Schema]:
        before = await store.schema()
        await store.open()
        try:
            return before, await store.schema()
        finally:
            await store.close()

    for before, after in _each(_versioned(config), work):
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
    stores = [middleware for middleware in auwgent(config).middleware if isinstance(middleware, Encryptable)]
    if not stores:
        raise ConfigError(
            "no middleware of this config can encrypt, as auwgent.middleware.SQLModelSessions can"
        )
    for changed in _each(stores, lambda store: store.encrypt()):
        click.echo("encrypted" if changed else "encrypted already")


def _versioned(config: Path) -> list[Versioned]:
    stores = [middleware for middleware in auwgent(config).middleware if isinstance(middleware, Versioned)]
    if not stores:
        raise ConfigError(
            "no middleware of this config has a schema to look after, as auwgent.middleware.SQLModelSessions has"
        )
    return stores


def _each(stores: Iterable[S], work: Callable[[S], Awaitable[T]]) -> list[T]:
    async def run() -> list[T]:
        return [await work(store) for store in stores]

    return asyncio.run(run())
