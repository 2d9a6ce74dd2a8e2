"""Lists what a config names, one finding each: where it was set, and what is known without opening anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from auwgent.assembly import (
    Key,
    Parts,
    environ_of,
    is_mcp,
    may_give_keys,
    models,
    odd_orders,
    unknown_providers,
)
from auwgent.config import AgentConfig, Config, ToolEntry, WorkflowEntry
from auwgent.engine.agent import Agent
from auwgent.errors import ConfigError, Problem, ProviderError
from auwgent.imports import late
from auwgent.models.base import ModelSpec
from auwgent.models.providers import is_in_process, missing_key, provider, provider_of
from auwgent.prompts import MissingValues

Kind = Literal["key", "model", "context", "middleware", "database", "tool", "workflow", "mcp", "test"]
Status = Literal["ok", "problem", "unchecked"]

MARKS: Mapping[Status, str] = {"ok": "✓", "problem": "✗", "unchecked": "·"}


@dataclass(slots=True)
class InventoryItem:
    """One thing that a run would use.

    `origin` is what set it: a place in the file, a variable's name, `--set …` or `default`. `key` is where a
    problem with it belongs. `facts` are for programs.
    """

    kind: Kind
    name: str
    origin: str
    key: Key
    status: Status = "unchecked"
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return the finding as JSON data."""
        row = {"kind": self.kind, "name": self.name, "origin": self.origin}
        return {**row, "status": self.status, "detail": self.detail, **self.facts}


@dataclass(slots=True)
class Report:
    """The result of a check: findings, problems and warnings."""

    findings: list[InventoryItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, config: Config, finding: InventoryItem, message: str, hint: str = "") -> None:
        """Mark the finding as a problem, and report it."""
        finding.status = "problem"
        finding.detail = finding.detail or "see below"
        self.problems.append(config.problem(finding.key, message, hint))


def take(config: Config, parts: Parts | None, report: Report) -> None:
    """Find what the config names. Without `parts` what it would import is not known to be there."""
    _keys_and_models(config, report, given=parts is not None and may_give_keys(parts.installed))
    status: Status = "unchecked" if parts is None else "ok"
    for made in parts.agents.values() if parts is not None else ():
        report.findings += _context(config, made, report)
    report.findings += _middleware(config, status)
    for place, why in odd_orders(parts.installed) if parts is not None else ():
        where = config.origin(("middleware", place))
        report.warnings.append(f"{where}: {why}; list it in its place")
    report.findings += [
        InventoryItem("mcp", name, config.origin(("mcp", name)), ("mcp", name)) for name in config.mcp
    ]
    tables: dict[str, tuple[Key, AgentConfig | Any]] = {config.agent.name: (("agent",), config.agent)}
    tables |= {name: (("helpers", name), table) for name, table in config.helpers.items()}
    for agent, (key, table) in tables.items():
        live = parts.agents[agent] if parts is not None else None
        own: Sequence[str] = list(live.tools) if live else []
        report.findings += _tools(config, agent, (*key, "tools"), table.tools, own, status)
        flows: Sequence[str] = list(live.workflows) if live else []
        report.findings += _entries(
            config, "workflow", agent, (*key, "workflows"), table.workflows, flows, status
        )


def _context(config: Config, agent: Agent, report: Report) -> Iterator[InventoryItem]:
    """Yield the values that a prompt needs. Those that the config lacks may come with the run, or from a hook."""
    key: Key = ("agent", "prompt") if agent.name == config.agent.name else ("helpers", agent.name, "prompt")
    missing: Sequence[str] = ()
    try:
        agent.system_prompt(config.context)
    except MissingValues as error:
        missing = error.names
    except ConfigError as error:
        report.problems += [config.problem(key, problem.message, problem.hint) for problem in error.problems]
    for name in sorted(agent.prompt.names & config.context.keys()):
        place = ("context", name)
        yield InventoryItem("context", name, config.origin(place), place, "ok", f"of {agent.name}")
    for name in missing:
        yield InventoryItem("context", name.removeprefix("ctx."), "nowhere", key, detail=f"of {agent.name}")


def _middleware(config: Config, status: Status) -> Iterator[InventoryItem]:
    for index, entry in enumerate(config.middleware):
        key: Key = ("middleware", index)
        yield InventoryItem("middleware", str(entry.use), config.origin(key), key, status)


def _tools(
    config: Config, agent: str, key: Key, entries: Sequence[ToolEntry], names: Sequence[str], status: Status
) -> Iterator[InventoryItem]:
    """Report an agent's tools. Functions are known once imported; an MCP server's tools are listed later."""
    remote = [index for index, entry in enumerate(entries) if is_mcp(entry)]
    yield from _entries(config, "tool", agent, key, entries, names, status, leave=remote)
    for index in remote:
        yield _entry(config, "tool", agent, (*key, index), str(entries[index].use), entries[index])


def _entries(
    config: Config,
    kind: Kind,
    agent: str,
    key: Key,
    entries: Sequence[ToolEntry | WorkflowEntry],
    names: Sequence[str],
    status: Status,
    leave: Sequence[int] = (),
) -> Iterator[InventoryItem]:
    """Yield the functions under a key; `names` are theirs in the same order, where they were imported."""
    known = iter(names)
    for index, entry in enumerate(entries):
        if index not in leave:
            last = str(entry.use).replace(":", ".").rpartition(".")[2]
            name = next(known, None) or entry.name or last
            found = _entry(config, kind, agent, (*key, index), name, entry)
            found.status = status
            yield found


def _entry(
    config: Config, kind: Kind, agent: str, key: Key, name: str, entry: ToolEntry | WorkflowEntry
) -> InventoryItem:
    facts = {"agent": agent, "use": str(entry.use)}
    detail = f"of {agent}" if name == entry.use else f"of {agent}, {entry.use}"
    if isinstance(entry, ToolEntry) and entry.approve != "allow":
        detail += " (asks first)" if entry.approve == "ask" else " (denied)"
    return InventoryItem(kind, name, config.origin(key), key, detail=detail, facts=facts)


def _keys_and_models(config: Config, report: Report, *, given: bool) -> None:
    """Report keys and models; a missing key is not a problem where a middleware may give it (`given`)."""
    catalog = models(config, environ_of(config))
    in_use: list[tuple[InventoryItem, ModelSpec]] = []
    for name, key in config.models_in_use().items():
        try:
            spec = catalog.spec(name)
        except ConfigError as error:  # of a named model whose table does not name one
            report.problems += [config.problem(key, problem.message) for problem in error.problems]
            continue
        found = InventoryItem("model", spec.name, config.origin(key), key, facts={"model": name})
        found.detail = f"as {name}" if name != spec.name else ""
        in_use.append((found, spec))
    report.problems += unknown_providers(config, catalog)
    for found in _keys(config, [spec for _, spec in in_use], given=given):
        report.findings.append(found)
    for found, spec in in_use:
        report.findings.append(found)
        if not catalog.can_reach(found.facts["model"]):
            found.status, found.detail = "problem", "see below"
        if (trouble := _trouble(spec)) and not (given and missing_key(spec)):
            report.fault(config, found, trouble)


def _keys(config: Config, specs: Sequence[ModelSpec], *, given: bool) -> Iterator[InventoryItem]:
    """Each key that is set or needed once, with where it is. The keys themselves go nowhere."""
    wanted: dict[str, ModelSpec] = {}
    for spec in specs:
        if spec.label and config.models[spec.label].api_key is not None:
            key: Key = ("models", spec.label, "api_key")
            yield InventoryItem("key", f"models.{spec.label}", config.origin(key), key, "ok", "set")
        else:
            wanted.setdefault(spec.provider, spec)
    for name in config.api_keys:
        key = ("api_keys", name)
        detail = "set" if name in wanted else "set, no model in use needs it"
        yield InventoryItem("key", name, config.origin(key), key, "ok", detail)
    environ = environ_of(config)
    for name, spec in wanted.items():
        if name in config.api_keys or is_in_process(spec):
            continue
        variable = next((one for one in provider_of(name).env if environ.get(one)), None)
        if variable is not None:
            yield InventoryItem("key", name, variable, ("agent", "model"), "ok", "set")
        elif missing_key(spec):
            status: Status = "unchecked" if given else "problem"
            detail = "missing, unless a middleware gives it" if given else "missing"
            yield InventoryItem("key", name, "nowhere", ("agent", "model"), status, detail)


def _trouble(spec: ModelSpec) -> str | None:
    """Return why the model could not be asked, as far as can be seen from here."""
    if (path := provider(spec).model) and hasattr(late(path), "check"):
        try:
            late(path).of(spec).check()
        except (ConfigError, ProviderError) as error:
            return str(error)
        return None
    return missing_key(spec)
