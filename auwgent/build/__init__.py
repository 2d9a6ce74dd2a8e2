"""From a config to live objects: middleware, models, tools, agents. What is wrong is found here, before a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auwgent.build.agents import agents
from auwgent.build.middleware import middleware
from auwgent.build.models import catalog, embedder, models
from auwgent.build.tools import is_mcp, mcp_servers
from auwgent.build.workbench import Key, Workbench
from auwgent.config import Config
from auwgent.engine.agent import Agent, Limits
from auwgent.errors import ConfigError
from auwgent.imports import search_path
from auwgent.middleware.base import Embed, check_context
from auwgent.middleware.pipeline import Installed
from auwgent.models.catalog import Catalog
from auwgent.tools.mcp import McpServers

__all__ = ["Key", "Parts", "build", "is_mcp", "models"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a config describes, alive but not opened."""

    root: str
    agents: Mapping[str, Agent]
    installed: Sequence[Installed]
    catalog: Catalog
    limits: Limits
    servers: McpServers
    embed: Embed | None


def build(
    config: Config, *, installed: Sequence[Installed] | None = None, more: Sequence[Installed] = ()
) -> Parts:
    """Import and instantiate all that the config names. Raises `ConfigError` with everything that is wrong.

    `installed` are middleware that live already and are to be used again, in place of the config's; `more` come
    behind the config's.
    """
    bench = Workbench(config)
    with search_path(config.folder, config.imports.path):
        bench.attempt(("context",), lambda: check_context(config.context))
        servers = mcp_servers(config)
        found = catalog(bench, os.environ)
        parts = Parts(
            root=config.agent.name,
            agents=agents(bench, servers),
            installed=[*middleware(bench), *more] if installed is None else installed,
            catalog=found,
            limits=Limits(**config.limits.model_dump()),
            servers=servers,
            embed=embedder(config, found),
        )
    if bench.problems:
        raise ConfigError(bench.problems)
    return parts
