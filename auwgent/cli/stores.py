"""The store of a config, for the commands that ask it or change it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from auwgent.assembly import bundled, companions
from auwgent.config import Config, load
from auwgent.errors import ConfigError, SessionNotFound
from auwgent.imports import late
from auwgent.keystore import data_folder
from auwgent.middleware.sessions import SQLModelSessions
from auwgent.session import now
from auwgent.store.base import RunInfo, RunStore, SessionStore, parse_age

T = TypeVar("T")
NAMED = 4  # ids that are told where several begin alike

OPENING = 2.0  # seconds that a server may take to answer a command that only looks; its URL may be wrong


class Opened(Protocol):
    """A middleware that has to be opened before it is of use."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Opened)


class Moment(click.ParamType[datetime]):
    """A point in time: a date, or a length of time, which is counted back or, with `to_come`, on from now."""

    def __init__(self, *, to_come: bool = False) -> None:
        self.name = "time" if to_come else "when"
        self._sign = 1 if to_come else -1
        self._wanted = (
            "neither a time such as 2026-01-31T07:00 nor one from now such as 30m"
            if to_come
            else "neither an age such as 12h, 7d, 8w nor a date such as 2026-01-31"
        )

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.astimezone()
        except ValueError:
            pass
        try:
            return now() + self._sign * parse_age("it", value)
        except (ConfigError, OverflowError):
            self.fail(f"{value!r} is {self._wanted}", param, ctx)


SINCE = Moment()


def source_of(config: Path) -> Path | dict[str, Any]:
    """Return the config file; where none was named and none is here, what `auwgent run -m` keeps its sessions by."""
    if str(config) != "auwgent.toml" or config.exists() or not without_config()[0].exists():
        return config
    return without_config()[1]


def without_config() -> tuple[Path, dict[str, Any]]:
    """Return the database of runs without a config, in the user's data folder, and what stands for their config."""
    file = data_folder() / "sessions.db"
    return file, {
        "agent": {"model": "scripted/echo"},  # each run names its own
        "middleware": [{"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{file}"}],
    }


def with_store(config: Path, work: Callable[[SQLModelSessions], Awaitable[T]]) -> T:
    """Do the work on the opened store of a config. Nothing of the user's is imported for it."""
    return asyncio.run(_with_store(load(source_of(config), only="middleware"), work))


def with_queue(config: Path, work: Callable[[Any], Awaitable[T]]) -> T:
    """Do the work on the queue of a config; `ConfigError` where it has none."""
    loaded = load(config, only="middleware")
    if loaded.queue is None:
        raise ConfigError("that run is for workers, and this config has no [queue]")
    queued = loaded.queue

    async def on_store(store: SQLModelSessions) -> T:
        queue = late("auwgent.fleet.queue:Queue")(queued, store)
        try:
            return await work(queue)
        finally:
            await queue.close()

    return asyncio.run(_with_store(loaded, on_store))


async def _with_store(config: Config, work: Callable[[SQLModelSessions], Awaitable[T]]) -> T:
    store = all_of(SQLModelSessions, config)[0]
    store.opening = OPENING
    beside = companions(config)
    store.companions.add(beside)
    try:
        return await _on_opened(store, work)
    finally:
        for one in beside:
            await one.close()


def all_of(kind: type[Kept], config: Config) -> list[Kept]:
    """Return all middleware of a bundled class in a config, not opened; `ConfigError` where there is none.

    Code of the user's is not run: who looks at what is kept in a folder need not trust it.
    """
    if found := bundled(config, kind):
        return found
    raise ConfigError(
        f"the middleware of this config does not list auwgent.middleware.{kind.__name__}, which this command is about; "
        "a class of your own is asked in Python"
    )


async def _on_opened(store: Kept, work: Callable[[Kept], Awaitable[T]]) -> T:
    try:
        await store.open()
        return await work(store)
    finally:
        await store.close()


def with_one(kind: type[Kept], config: Config, work: Callable[[Kept], Awaitable[T]]) -> T:
    """Do the work on the first middleware of a bundled class in a config, opened, and closed afterwards."""
    return asyncio.run(_on_opened(all_of(kind, config)[0], work))


def begins_with(kind: str, given: str, ids: Iterable[str]) -> str:
    """Return the one id that is, or begins with, what was given; that itself where there is none.

    `ConfigError` where several begin with it. `kind` is what they are ids of.
    """
    known = [one for one in ids if one.startswith(given)]
    if given in known or not known:
        return given
    if len(known) == 1:
        return known[0]
    more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    raise ConfigError(
        f"several {kind}s begin with {given!r}: {', '.join(known[:NAMED])}{more}; give more of the id"
    )


async def of_session(
    store: SessionStore, user_id: str, given: str, work: Callable[[str], Awaitable[T]]
) -> tuple[str, T]:
    """Do the work on the user's session of that id, or whose id begins so; gives its id and what came of it."""
    try:
        return given, await work(given)
    except SessionNotFound:
        whole = begins_with("session", given, [row.id for row in await store.list_sessions(user_id)])
        if whole == given:
            raise
    return whole, await work(whole)


async def find_run(store: RunStore, user_id: str, given: str) -> RunInfo:
    """Return the user's run of that id, or the one whose id begins so."""
    try:
        return await store.run(user_id, given)
    except SessionNotFound:
        found = begins_with("run", given, [run.run_id for run in await store.runs(user_id)])
        if found == given:
            raise
    return await store.run(user_id, found)


def plain(row: Any) -> dict[str, Any]:
    """Return a row of a store as JSON data."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(row).items()
    }


def local(time: datetime) -> str:
    """Return a time as people read it, in their own time zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")
