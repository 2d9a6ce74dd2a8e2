"""Configs of an agent, alive: what its runs are made with, each built once, opened once and closed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auwgent.assembly import Parts, build
from auwgent.config import Config, examine
from auwgent.deck import playing
from auwgent.engine.order import Services
from auwgent.errors import ConfigError
from auwgent.hooks.pipeline import Installed, Pipeline
from auwgent.imports import late
from auwgent.locks import KeyedLock
from auwgent.rehearsal import rehearsing
from auwgent.store.base import RunStore, is_run_store
from auwgent.store.sessions import Sessions
from auwgent.tape import Player
from auwgent.tape.voices import path_in, voice_in
from auwgent.words import did_you_mean

if TYPE_CHECKING:
    from auwgent.fleet.queue import Queue


class Variant:
    """One config of an agent, alive: the plain one, or one with a profile.

    A profile that leaves the middleware as it is shares the instances of its base.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        base: Variant | None = None,
        deck: Callable[[Services], Services] | None = None,
        **services: Any,
    ) -> None:
        """`services` are those of the engine that its owner has; a `deck` changes what runs are made with."""
        self.config, self.parts, self.base = config, parts, base
        self.pipeline: Pipeline = base.pipeline if base else Pipeline(parts.installed)
        self.services = Services(
            agents=parts.agents,
            root=parts.root,
            pipeline=self.pipeline,
            models=parts.catalog,
            limits=parts.limits,
            embed=parts.embed,
            **services,
        )
        if config.plays_tape:
            tape = parts.catalog.spec(config.agent.model).name
            self.services = playing(self.services, Player(path_in(tape), voice_in(tape)))
        if deck is not None:
            self.services = deck(self.services)
        self._queue: Queue | None = None
        self._lines = KeyedLock()  # of those who want it opened or closed
        self._is_open = False

    @cached_property
    def store(self) -> RunStore | None:
        """The store that tells of its runs: the first middleware that has all the verbs of one."""
        return next((one.instance for one in self.parts.installed if is_run_store(one.instance)), None)

    @property
    def queue(self) -> Queue:
        """The queue of its runs; `ConfigError` where there is none, or it cannot be in that store."""
        if self.base is not None:
            return self.base.queue
        if self._queue is None:
            config = self.config.queue
            if config is None:
                raise ConfigError("this config has no [queue], which submitted runs and workers need")
            if not isinstance(self.store, Sessions):
                raise ConfigError(
                    "[queue] needs auwgent.middleware.SQLModelSessions as the store of the sessions"
                )
            self._queue = late("auwgent.fleet.queue:Queue")(config, self.store)
            self.store.queue = self._queue
        assert self._queue is not None
        return self._queue

    async def open(self) -> None:
        """Open once, however many runs begin at the same time, in whatever event loops."""
        if not self.config.plays_tape:
            self.parts.servers.open()
        if self.base is not None:
            await self.base.open()
        elif not self._is_open:
            async with self._lines.turn("open"):
                if not self._is_open:
                    if self.config.queue is not None and not self.services.rehearsal:
                        _ = self.queue
                    await self.pipeline.open()
                    self._is_open = True

    async def warm(self) -> None:
        """Wait until what the models need is loaded, where `limits.seconds` would count it as the run's time."""
        if self.parts.limits.seconds is not None and not self.config.plays_tape:
            await self.parts.catalog.warm([agent.model for agent in self.parts.agents.values()])

    async def close(self) -> None:
        """Close what was opened, the models last."""
        async with self._lines.turn("open"):
            if self._is_open:
                self._is_open = False
                await self.pipeline.close()
                if self._queue is not None:
                    await self._queue.close()
        await self.parts.servers.close()
        await self.parts.catalog.aclose()

    def agent_named(self, name: str | None) -> str:
        """Return the agent that answers: the root, or the helper of that name. `ConfigError` where there is none."""
        if name is None:
            return self.parts.root
        if name not in self.parts.agents:
            hint = did_you_mean(name, self.parts.agents) or f"there are {', '.join(self.parts.agents)}"
            raise ConfigError(f"there is no agent {name!r}; {hint}")
        return name


class Variants:
    """The agent with a profile, and overrides, laid over its config; each is built once."""

    def __init__(
        self,
        source: str | Path | Mapping[str, Any],
        profile: str | None,
        overrides: tuple[str, ...],
        *,
        more: Sequence[Installed],
        rehearsal: Path | None,
        deck: Callable[[Services], Services] | None,
        **services: Any,
    ) -> None:
        """`profile` and `overrides` are those of the plain one; `more` is middleware behind that of the config."""
        self._source, self._main, self._more = source, (profile, overrides), more
        self._rehearsal, self._deck, self._services = rehearsal, deck, services
        self._built: dict[tuple[str | None, tuple[str, ...]], Variant] = {}
        self._building = threading.Lock()

    def get(self, profile: str | None, overrides: tuple[str, ...] | None = None) -> Variant:
        """Return the one with that profile and, where they are given, other overrides. `ConfigError`: all is told."""
        key = profile, self._main[1] if overrides is None else overrides
        with self._building:
            if key not in self._built:
                self._built[key] = self._build(*key)
            return self._built[key]

    def _build(self, profile: str | None, overrides: tuple[str, ...]) -> Variant:
        config, wrong = examine(self._source, profile=profile, overrides=overrides)
        if config is None:
            raise ConfigError(wrong)
        main = self._built.get(self._main)
        base = main if main is not None and main.config.middleware == config.middleware else None
        installed = base.parts.installed if base else None
        parts = build(config, known=wrong, installed=installed, more=self._more)
        if self._rehearsal is not None and installed is None:
            parts = replace(parts, installed=rehearsing(parts.installed, self._rehearsal))
        return Variant(
            config, parts, base, self._deck, rehearsal=self._rehearsal is not None, **self._services
        )

    async def close(self) -> None:
        """Close all that were opened."""
        for variant in list(self._built.values()):
            await variant.close()
