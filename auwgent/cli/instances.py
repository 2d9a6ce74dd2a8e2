"""A middleware of a config, for the commands that are about it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from auwgent.errors import ConfigError
from auwgent.runtime import Runtime, auwgent


class Opened(Protocol):
    """A middleware that has to be opened before it is of use."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


T = TypeVar("T", bound=Opened)


@asynccontextmanager
async def instance_of(
    kind: type[T], config: Path, *, profile: str | None = None, overrides: Sequence[str] = ()
) -> AsyncIterator[tuple[T, Runtime]]:
    """The first middleware of that class, opened, and the agent it belongs to."""
    runtime = auwgent(config, profile=profile, overrides=overrides)
    found = next((one for one in runtime.middleware if isinstance(one, kind)), None)
    if found is None:
        raise ConfigError(f"there is no auwgent.middleware.{kind.__name__} in the middleware of this config")
    try:
        await found.open()
        yield found, runtime
    finally:
        await found.close()
        await runtime.close()
