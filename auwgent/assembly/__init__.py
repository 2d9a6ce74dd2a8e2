"""Builds live objects from a config: middleware, models, tools, agents. Finds what is wrong before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auwgent.assembly.agents import agents, wrong_texts
from auwgent.assembly.keys import check_keys, environ_of, may_give_keys
from auwgent.assembly.middleware import bundled, companions, middleware, odd_orders
from auwgent.assembly.models import catalog, embedder, models, unknown_providers
from auwgent.assembly.tools import is_mcp, mcp_servers
from auwgent.assembly.workbench import Key, Workbench
from auwgent.config import Config, in_file_order
from auwgent.engine.agent import Agent
from auwgent.errors import ConfigError, Problem
from auwgent.hooks.context import Embed, check_context
from auwgent.hooks.pipeline import Installed
from auwgent.imports import search_path
from auwgent.limits import Limits
from auwgent.models.catalog import Catalog
from auwgent.tools.mcp import McpServers

__all__ = [
    "Key",
    "Parts",
    "build",
    "bundled",
    "check_keys",
    "companions",
    "environ_of",
    "is_mcp",
    "may_give_keys",
    "models",
    "odd_orders",
    "unknown_providers",
    "wrong_texts",
]


@dataclass(frozen=True, slots=True)
class Parts:
    """The live objects of a config, not opened yet."""

    root: str
    agents: Mapping[str, Agent]
    installed: Sequence[Installed]
    catalog: Catalog
    limits: Limits
    servers: McpServers
    embed: Embed | None


def build(
    config: Config,
    *,
    known: Sequence[Problem] = (),
    installed: Sequence[Installed] | None = None,
    more: Sequence[Installed] = (),
) -> Parts:
    """Import and instantiate all that the config names. Raises `ConfigError` with everything that is wrong.

    That includes what is `known` to be wrong by now. `installed` are middleware that live already and are to be
    used again, in place of the config's; `more` come behind the config's.
    """
    bench = Workbench(config, known)
    with search_path(config.folder, config.imports.path):
        bench.attempt(("context",), lambda: check_context(config.context))
        servers = mcp_servers(config)
        found = catalog(bench, environ_of(config))
        parts = Parts(
            root=config.agent.name,
            agents=agents(bench, servers),
            installed=middleware(bench, more) if installed is None else installed,
            catalog=found,
            limits=config.limits,
            servers=servers,
            embed=embedder(config, found),
        )
        bench.problems += unknown_providers(config, found)  # now that all code is there which may bring some
    if known or bench.problems:
        raise ConfigError(sorted(dict.fromkeys([*known, *bench.problems]), key=in_file_order))
    return parts
