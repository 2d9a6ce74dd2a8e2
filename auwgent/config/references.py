"""Names in a config that refer to something else in it, and what is in use at all.

Both work on the plain tree, whatever its shape, so that they see past mistakes elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from auwgent.config.keys import Finding, Key, provider_name
from auwgent.config.queue import check_schedules
from auwgent.config.serve import PROTOCOLS
from auwgent.config.trials import check_names
from auwgent.words import did_you_mean, written

Tree = Mapping[str, Any]

_DOTTED = re.compile(
    r"(?!\d)\w+(\.(?!\d)\w+)*([.:](?!\d)\w+)(\.(?!\d)\w+)*"
)  # `pkg.mod.Name` or `pkg.mod:Name`


@dataclass(slots=True)
class Used:
    """What can be reached from the root agent and [embedding]."""

    helpers: set[str] = field(default_factory=set)
    models: dict[str, Key] = field(default_factory=dict)  # each with the key that names it first
    providers: set[str] = field(default_factory=set)  # those that need a key of [api_keys]
    mcp: set[str] = field(default_factory=set)

    def needs(self, key: Key) -> bool:
        """Return whether the value at a key matters."""
        reached = {
            "helpers": self.helpers,
            "models": self.models,
            "mcp": self.mcp,
            "api_keys": self.providers,
        }
        return len(key) < 2 or key[0] not in reached or key[1] in reached[str(key[0])]


def used(tree: Tree) -> Used:
    """Follow helpers, models, fallbacks and MCP servers from the root agent and [embedding]."""
    found = Used()
    _use_agent(tree, ("agent",), _table(tree, "agent"), found)
    _use_model(tree, ("embedding", "model"), _table(tree, "embedding").get("model"), found)
    if plays_tape(tree):  # nothing but the tape is asked
        found.models = dict(list(found.models.items())[:1])
        found.providers.clear()
        found.mcp.clear()
    return found


def plays_tape(tree: Tree) -> bool:
    """Return whether the root agent's model is a tape, which then answers for all others, for tools and servers too."""
    name = _table(tree, "agent").get("model")
    use = _table(_table(tree, "models"), name).get("use", name) if isinstance(name, str) else None
    return isinstance(use, str) and use.startswith("tape/")


def _use_agent(tree: Tree, key: Key, agent: Tree, found: Used) -> None:
    _use_model(tree, (*key, "model"), agent.get("model"), found)
    found.mcp |= {server for _, server in _servers(agent)}
    for name in _texts(agent.get("helpers")).values():
        if name not in found.helpers:
            found.helpers.add(name)
            _use_agent(tree, ("helpers", name), _table(_table(tree, "helpers"), name), found)


def _use_model(tree: Tree, key: Key, name: Any, found: Used) -> None:
    if not isinstance(name, str) or name in found.models:
        return
    found.models[name] = key
    model = _table(_table(tree, "models"), name)
    use = model.get("use") if model else name
    if "api_key" not in model and isinstance(use, str) and names_provider(use):
        found.providers.add(use.partition("/")[0])
    for index, fallback in _texts(model.get("fallbacks")).items():
        _use_model(tree, ("models", name, "fallbacks", index), fallback, found)


def check(tree: Tree) -> Iterator[Finding]:
    """Yield every name that leads nowhere, and every circle."""
    models = _table(tree, "models")
    helpers = _table(tree, "helpers")
    agents: dict[Key, Tree] = {("agent",): _table(tree, "agent")}
    agents |= {("helpers", name): _table(helpers, name) for name in helpers}
    for key, agent in agents.items():
        yield from _check_model((*key, "model"), agent.get("model"), models)
        yield from _check_names((*key, "helpers"), agent, helpers)
        yield from _check_names((*key, "intents"), agent, _table(tree, "intents"))
        yield from _check_servers(key, agent, _table(tree, "mcp"))
    yield from _check_model(("embedding", "model"), _table(tree, "embedding").get("model"), models)
    for name in models:
        yield from _check_model(("models", name, "use"), _table(models, name).get("use"), {})
        for index, fallback in _texts(_table(models, name).get("fallbacks")).items():
            yield from _check_model(("models", name, "fallbacks", index), fallback, models)
    yield from _circles(models, "models", "fallbacks")
    yield from _circles(helpers, "helpers", "helpers")
    yield from _check_agent_names(tree, helpers)
    yield from _check_served(tree, helpers)
    yield from _check_misplaced(tree)
    yield from check_names(tree)
    yield from check_schedules(tree)
    for index, test in _items(tree.get("test")):
        for place, name in _texts(_table({"test": test}, "test").get("models")).items():
            yield from _check_model(("test", index, "models", place), name, models)
    for name in _table(tree, "api_keys"):
        if provider_name(name) != name:  # in a dict these are taken for what they mean
            hint = f"did you mean `{provider_name(name)}`?"
            yield Finding(
                ("api_keys", name), f"[api_keys]: {name!r} is not the name of a provider", hint, "key"
            )
    for name, profile in _table(tree, "profiles").items():
        if isinstance(profile, Mapping) and "profiles" in profile:
            yield Finding(("profiles", name, "profiles"), "a profile cannot hold profiles", about="key")


def names_provider(use: Any) -> bool:
    """Return whether it is `provider/model`; else it is a class of the user's own, as an object or a dotted path."""
    return isinstance(use, str) and not _DOTTED.fullmatch(use)


def _check_model(key: Key, name: Any, models: Tree) -> Iterator[Finding]:
    if not isinstance(name, str) or not name or name in models:
        return
    provider, slash, model = name.partition("/")
    if slash and provider and model:
        return
    if key[-1] == "use":
        if names_provider(name):
            yield Finding(key, f"`{written(key)}` should be `provider/model`, not {name!r}")
    else:
        hint = did_you_mean(name, models) or "write `provider/model`, or add a [models.*] table of that name"
        yield Finding(key, f"`{written(key)}`: there is no model {name!r}", hint)


def _check_names(key: Key, agent: Tree, known: Tree) -> Iterator[Finding]:
    kind = str(key[-1])
    for index, name in _texts(agent.get(kind)).items():
        if name not in known:
            hint = did_you_mean(name, known) or f"add a [{kind}.{name}] table"
            yield Finding((*key, index), f"`{written(key)}`: there is no {kind[:-1]} {name!r}", hint)


def _check_servers(key: Key, agent: Tree, servers: Tree) -> Iterator[Finding]:
    for place, name in _servers(agent):
        if name not in servers:
            where = (*key, *place)
            hint = did_you_mean(name, servers) or f"add an [mcp.{name}] table"
            yield Finding(where, f"`{written(where)}`: there is no MCP server {name!r}", hint)


def _check_agent_names(tree: Tree, helpers: Tree) -> Iterator[Finding]:
    root = _table(tree, "agent").get("name", "Main")
    if not isinstance(root, str):
        return
    if root in helpers:
        yield Finding(("helpers", root), f"{root!r} is the name of the root agent already", about="key")
    for index, entry in _items(tree.get("middleware")):
        targets = entry.get("target") if isinstance(entry, Mapping) else None
        single = (
            {(): targets} if isinstance(targets, str) else {(i,): name for i, name in _texts(targets).items()}
        )
        for place, name in single.items():
            if name != root and name not in helpers:
                hint = did_you_mean(name, [root, *helpers])
                yield Finding(
                    ("middleware", index, "target", *place), f"`target`: there is no agent {name!r}", hint
                )


def _check_served(tree: Tree, helpers: Tree) -> Iterator[Finding]:
    serve, root = _table(tree, "serve"), _table(tree, "agent").get("name", "Main")
    for index, name in _texts(serve.get("agents")).items():
        if name != root and name not in helpers:
            key: Key = ("serve", "agents", index)
            hint = did_you_mean(name, [str(root), *helpers]) or "it may be the root agent or a helper"
            yield Finding(key, f"`{written(key)}`: there is no agent {name!r}", hint)
    for index, name in _texts(serve.get("protocols")).items():
        if name and name not in PROTOCOLS and names_provider(name):
            key = ("serve", "protocols", index)
            hint = did_you_mean(name, PROTOCOLS) or f"there are {', '.join(PROTOCOLS)}, or a dotted path"
            yield Finding(key, f"`{written(key)}`: there is no protocol {name!r}", hint)


def _check_misplaced(tree: Tree) -> Iterator[Finding]:
    """`middleware` below [context] would be a value of the user's own, and the list would silently not run."""
    if "middleware" not in tree and isinstance(_table(tree, "context").get("middleware"), list):
        hint = "`middleware` is a key of the file's root; in TOML it must stand above the first [table]"
        yield Finding(("context", "middleware"), "`middleware` is in [context]", hint, about="key")


def _circles(tables: Tree, kind: str, link: str) -> Iterator[Finding]:
    links = {
        name: [to for to in _texts(_table(tables, name).get(link)).values() if to in tables]
        for name in tables
    }
    while circle := _circle(links):
        name, to = circle[-2:]
        links[name].remove(to)
        index = next(index for index, other in _texts(tables[name][link]).items() if other == to)
        key = (kind, name, link, index)
        yield Finding(key, f"`{written(key)}` closes a circle: {' → '.join(circle)}")


def _circle(links: Mapping[str, list[str]]) -> list[str]:
    """Return names that each link to the next and end with the first."""
    try:
        TopologicalSorter(links).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _servers(agent: Tree) -> list[tuple[Key, str]]:
    """Return the MCP servers among the tools of an agent and its workflows, and where each is named."""
    found: list[tuple[Key, str]] = []
    places: list[tuple[Key, Any]] = [(("tools",), agent.get("tools"))]
    places += [
        (("workflows", index, "tools"), flow.get("tools"))
        for index, flow in _items(agent.get("workflows"))
        if isinstance(flow, Mapping)
    ]
    for place, tools in places:
        for index, tool in _items(tools):
            use, key = (
                (tool.get("use"), (*place, index, "use"))
                if isinstance(tool, Mapping)
                else (tool, (*place, index))
            )
            if isinstance(use, str) and use.startswith("mcp:"):
                found.append((key, use.split(":")[1]))
    return found


def _table(tree: Tree, name: Any) -> Tree:
    value = tree.get(name) if isinstance(name, str) else None
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[tuple[int, Any]]:
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _texts(value: Any) -> dict[int, str]:
    return {index: item for index, item in _items(value) if isinstance(item, str)}
