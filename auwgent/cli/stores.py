"""The store of a config, for the commands that ask it or change it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from auwgent.errors import ConfigError
from auwgent.runtime import auwgent
from auwgent.session import now
from auwgent.store.base import SessionStore, parse_age

T = TypeVar("T")


class Since(click.ParamType[datetime]):
    """A time: so long ago, as in `7d`, or a date."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.astimezone()
        except ValueError:
            pass
        try:
            return now() - parse_age("it", value)
        except (ConfigError, OverflowError):
            self.fail(
                f"{value!r} is neither an age such as 12h, 7d, 8w nor a date such as 2026-01-31", param, ctx
            )


SINCE = Since()


def with_store(config: Path, work: Callable[[SessionStore], Awaitable[T]]) -> T:
    """Do the work on the opened store of a config. What its modules print is no part of what it gives."""

    async def run() -> T:
        async with store_of(config) as store:
            return await work(store)

    with redirect_stdout(sys.stderr):
        return asyncio.run(run())


@asynccontextmanager
async def store_of(config: Path) -> AsyncIterator[SessionStore]:
    """The first middleware of a config that can be asked for sessions, opened."""
    store = auwgent(config).store
    if store is None:
        raise ConfigError(
            "no middleware of this config can be asked for its sessions, as auwgent.middleware.SQLModelSessions can"
        )
    opens, closes = (getattr(store, name, None) for name in ("open", "close"))
    if opens is not None:
        await opens()
    try:
        yield store
    finally:
        if closes is not None:
            await closes()


def plain(row: Any) -> dict[str, Any]:
    """A row of a store as JSON data."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(row).items()
    }


def local(time: datetime) -> str:
    """A time as people read it, in their own time zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")
