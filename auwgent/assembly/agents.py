"""Agents: the root and its helpers, each with its prompt, tools, output and intents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from auwgent.assembly.tools import is_mcp, remote, tool, tools
from auwgent.assembly.workbench import Key, Workbench
from auwgent.config import AgentConfig, Config, HelperConfig, ToolEntry
from auwgent.config.tables import TextFile
from auwgent.engine.agent import ANSWER, READ_RESULT, Agent, CustomIntent, Workflow
from auwgent.errors import Problem, ToolError
from auwgent.intents import OURS
from auwgent.models.base import ToolSpec
from auwgent.models.fits import checker
from auwgent.outputs import Output, output_type
from auwgent.prompts import Prompt, read_prompt
from auwgent.session import Turn
from auwgent.tools import Tool
from auwgent.tools.function import check_name
from auwgent.tools.mcp import McpServers
from auwgent.tools.skills import LOAD, Skill, find, read, skill_tool
from auwgent.words import did_you_mean, written

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")  # of JSON Schema


def agents(bench: Workbench, servers: McpServers) -> dict[str, Agent]:
    """Return all agents of the config by name, the root first."""
    config = bench.config
    intents = {name: _intent(bench, name) for name in config.intents}
    made = {config.agent.name: _agent(bench, servers, ("agent",), config.agent.name, config.agent, intents)}
    for name, helper in config.helpers.items():
        made[name] = _agent(bench, servers, ("helpers", name), name, helper, intents)
    _inherited(bench, made)
    return made


def wrong_texts(config: Config) -> list[Problem]:
    """Return what is wrong with prompts and skills. Nothing is imported for it."""
    bench = Workbench(config)
    tables: dict[Key, AgentConfig | HelperConfig] = {("agent",): config.agent}
    tables |= {("helpers", name): helper for name, helper in config.helpers.items()}
    for key, table in tables.items():
        _prompt(bench, key, table)
        if table.skills:
            _skills(bench, (*key, "skills"), table.skills, {})
    return bench.problems


def _agent(
    bench: Workbench,
    servers: McpServers,
    key: Key,
    name: str,
    table: AgentConfig | HelperConfig,
    intents: Mapping[str, CustomIntent | None],
) -> Agent:
    helper = table if isinstance(table, HelperConfig) else None
    elsewhere = [entry for entry in table.tools if is_mcp(entry)]
    own = tools(bench, (*key, "tools"), table.tools)
    if table.skills:
        own |= _skills(bench, (*key, "skills"), table.skills, own)
    workflows = {}
    for index, entry in enumerate(table.workflows):
        place = (*key, "workflows", index)
        told = {name: getattr(entry, name) for name in ("use", "name", "description", "approve")}
        function = tool(bench, place, ToolEntry(**told))
        if function is not None:
            workflows[function.name] = Workflow(function, tools(bench, (*place, "tools"), entry.tools))
    agent = Agent(
        name=name,
        model=table.model,
        prompt=_prompt(bench, key, table),
        description=helper.description if helper else "",
        tools=own,
        remote=remote(bench, servers, (*key, "tools"), elsewhere, own),
        workflows=workflows,
        helpers=table.helpers,
        intents={one: made for one in table.intents if (made := intents.get(one)) is not None},
        output=_output(bench, (*key, "output"), table.output),
        examples=tuple(_examples(name, table)),
        inherit=helper.inherit_tools if helper else False,
        handoff=helper.handoff if helper else "return",
    )
    _distinct(bench, key, agent)
    return agent


def _skills(
    bench: Workbench, key: Key, patterns: Sequence[str], taken: Mapping[str, Tool]
) -> dict[str, Tool]:
    """Return the tool that loads the skills of an agent; none where something is wrong with them."""
    found: dict[str, Skill] = {}
    before = len(bench.problems)
    for index, pattern in enumerate(patterns):
        place = (*key, index)
        for folder in bench.attempt(place, partial(find, bench.config.folder, pattern)) or ():
            skill = bench.attempt(place, partial(read, folder))
            if skill is not None and found.setdefault(skill.name, skill).folder != skill.folder:
                bench.problem(place, f"there are two skills named {skill.name!r}: {folder} is the second")
    if LOAD in taken:
        bench.problem(
            key, f"{LOAD!r} is the tool that loads skills, and a tool of this agent too", "give it a `name`"
        )
    return {LOAD: skill_tool(list(found.values()))} if len(bench.problems) == before else {}


def _distinct(bench: Workbench, key: Key, agent: Agent) -> None:
    """Refuse two tools, workflows, helpers or intents with one name: the model calls them by it."""
    seen: dict[str, str] = {}
    for kind, names in (
        ("tools", agent.tools),
        ("workflows", agent.workflows),
        ("helpers", agent.helpers),
        ("intents", agent.intents),
    ):
        for name in names:
            if name in seen:
                bench.problem(
                    (*key, kind), f"{name!r} is in `{seen[name]}` of this agent too", "give one a `name`"
                )
            seen[name] = kind
    if READ_RESULT in seen:
        bench.problem(
            (*key, seen[READ_RESULT]),
            f"{READ_RESULT!r} is ours: it reads on in long results",
            "give it another `name`",
        )
    if agent.output is not None and ANSWER in seen:
        bench.problem(
            (*key, seen[ANSWER]), f"{ANSWER!r} is what the model answers with", "give it another `name`"
        )


def _inherited(bench: Workbench, agents: Mapping[str, Agent]) -> None:
    """Check that a helper inherits only what some caller has; tools of MCP servers are not known yet."""
    if bench.known:
        return
    for name, helper in bench.config.helpers.items():
        callers = [agent for agent in agents.values() if name in agent.helpers]
        if not isinstance(helper.inherit_tools, tuple) or any(agent.remote for agent in callers):
            continue
        known = sorted({tool for agent in callers for tool in agent.tools})
        for index, wanted in enumerate(helper.inherit_tools):
            if wanted not in known and not any(agent.inherit for agent in callers):
                hint = did_you_mean(wanted, known) or f"they have: {', '.join(known) or 'none'}"
                key = ("helpers", name, "inherit_tools", index)
                bench.problem(key, f"no agent that calls {name!r} has a tool {wanted!r}", hint)


def _prompt(bench: Workbench, key: Key, table: AgentConfig | HelperConfig) -> Prompt:
    parts: list[str] = []
    if table.prompt_file is not None:
        parts.append(_text(bench, (*key, "prompt_file"), table.prompt_file))
    elif isinstance(table.prompt, str):
        parts.append(table.prompt)
    else:
        for index, part in enumerate(table.prompt):
            place = (*key, "prompt", index)
            parts.append(_text(bench, place, part.file) if isinstance(part, TextFile) else part)
    return bench.attempt((*key, "prompt"), lambda: Prompt(parts)) or Prompt([])


def _text(bench: Workbench, key: Key, path: str) -> str:
    return bench.attempt(key, lambda: read_prompt(bench.config.folder / path)) or ""


def _output(bench: Workbench, key: Key, wanted: Any) -> Output | None:
    if wanted is None:
        return None
    if isinstance(wanted, TextFile):
        wanted = bench.config.folder / wanted.file
    elif isinstance(wanted, tuple):
        wanted = [bench.resolve((*key, index), one) for index, one in enumerate(wanted)]
    else:
        wanted = bench.resolve(key, wanted)
    if wanted is None or (isinstance(wanted, list) and None in wanted):
        return None
    made: Output | None = bench.attempt(key, lambda: output_type(wanted))
    return made


def _intent(bench: Workbench, name: str) -> CustomIntent | None:
    table = bench.config.intents[name]
    key: Key = ("intents", name)
    properties = {one: _field(bench, (*key, "fields", one), kind) for one, kind in table.fields.items()}
    try:
        check_name(name)
    except ValueError as error:
        bench.problem(key, f"intent {name!r}: {error}")
        return None
    if name in OURS:
        bench.problem(key, f"intent {name!r} is one of ours already", "call it something else")
        return None
    if None in properties.values():
        return None
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    description = table.description or f"Emit the event {name}."
    return CustomIntent(ToolSpec(name, description, schema), _fields_check(name, schema), table.terminal)


def _field(bench: Workbench, key: Key, kind: Any) -> dict[str, Any] | None:
    """Return a field of an intent as JSON Schema; None, and told where, if it is none."""
    place = f"`{written(key)}`"
    if isinstance(kind, str):
        if kind in TYPES:
            return {"type": kind}
        hint = did_you_mean(kind, TYPES) or f"types: {', '.join(TYPES)}"
        bench.problem(key, f"{place}: there is no type {kind!r}", hint)
    elif isinstance(kind, dict):
        try:
            checker(kind)
        except ValueError as error:
            bench.problem(key, f"{place}: {error}")
        else:
            return kind
    else:
        bench.problem(key, f"{place} should be the name of a type, or a JSON Schema as a table")
    return None


def _fields_check(name: str, schema: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    misfits = checker(schema)

    def check(fields: dict[str, Any]) -> dict[str, Any]:
        if wrong := misfits(fields):
            raise ToolError("; ".join(wrong), tool=name)
        return fields

    return check


def _examples(agent: str, table: AgentConfig | HelperConfig) -> list[Turn]:
    turns = []
    for number, example in enumerate(table.examples, start=1):
        turns.append(Turn(id=f"example-{number}-user", role="user", content=example.user, agent=agent))
        turns.append(
            Turn(id=f"example-{number}-answer", role="assistant", content=example.assistant, agent=agent)
        )
    return turns
