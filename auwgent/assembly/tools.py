"""Tools: functions by dotted path, and those of MCP servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from auwgent.assembly.workbench import Key, Workbench, name_of
from auwgent.config import Config, ToolEntry
from auwgent.engine.agent import Remote
from auwgent.tools import Tool
from auwgent.tools.function import function_tool
from auwgent.tools.mcp import McpServer, McpServers, McpTools


def tools(bench: Workbench, key: Key, entries: Sequence[ToolEntry]) -> dict[str, Tool]:
    """Return the functions among these entries as tools, by name."""
    found: dict[str, Tool] = {}
    for index, entry in enumerate(entries):
        if is_mcp(entry):
            if "workflows" in key:
                bench.problem(
                    (*key, index), "a workflow's own tools are functions; give this one to an agent"
                )
            continue
        one = tool(bench, (*key, index), entry)
        if one is not None and one.name in found:
            bench.problem(
                (*key, index), f"there are two tools named {one.name!r}", "give one of them a `name`"
            )
        elif one is not None:
            found[one.name] = one
    return found


def remote(
    bench: Workbench, servers: McpServers, key: Key, entries: Sequence[ToolEntry], taken: Mapping[str, Tool]
) -> Callable[[], Awaitable[Remote]] | None:
    """Return the source of an agent's MCP tools, which are known once the servers have answered."""
    wanted: list[McpTools] = []
    for entry in entries:
        found = bench.attempt(key, partial(McpTools.parse, entry.use, entry))
        wanted += [found] if found is not None else []

    async def ask() -> Remote:
        found = await servers.tools(wanted, taken=taken)
        return Remote(found.tools, [str(failure) for failure in found.failures])

    return ask if wanted else None


def tool(bench: Workbench, key: Key, entry: ToolEntry) -> Tool | None:
    """Return a function as a tool."""
    function = bench.resolve(key, entry.use)
    if function is None:
        return None
    if not callable(function):
        bench.problem(key, f"{name_of(entry.use)} is not a function that can be a tool")
        return None
    made: Tool | None = bench.attempt(key, partial(function_tool, function, entry))
    return made


def is_mcp(entry: ToolEntry) -> bool:
    """Return whether an entry of `tools` stands for tools of an MCP server."""
    return isinstance(entry.use, str) and entry.use.startswith("mcp:")


def mcp_servers(config: Config) -> McpServers:
    """The [mcp.*] servers, not connected yet. What their tools say of themselves is remembered beside the config."""
    servers = [
        McpServer(name=name, folder=config.folder, **dict(table)) for name, table in config.mcp.items()
    ]
    return McpServers(servers, pins=config.folder / ".auwgent" / "mcp.json")
