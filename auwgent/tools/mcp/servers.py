"""The MCP servers of an agent, and their tools as the agent's own."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from auwgent.config.tables import ToolOptions
from auwgent.errors import ToolError
from auwgent.locks import ProcessLock
from auwgent.models.base import ToolSpec
from auwgent.models.fits import checker
from auwgent.models.reading import read_json
from auwgent.models.schema import tidy
from auwgent.session import Media, Part, Text
from auwgent.tools import Tool
from auwgent.tools.arguments import NAME
from auwgent.tools.mcp.connection import Connection, Lost, ended
from auwgent.tools.mcp.pins import Pins
from auwgent.tools.mcp.server import McpFailure, McpServer

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

_MEDIA: Mapping[str, Literal["image", "audio"]] = {"image": "image", "audio": "audio"}

log = logging.getLogger("auwgent.mcp")


@dataclass(frozen=True, slots=True)
class McpTools:
    """An entry of an agent's `tools`: all tools of a server, or the one called `tool` there."""

    server: str
    tool: str | None = None
    options: ToolOptions = field(default_factory=ToolOptions)

    @classmethod
    def parse(cls, use: str, options: ToolOptions | None = None) -> McpTools:
        """Parse `mcp:SERVER` or `mcp:SERVER:TOOL`; `options` are the other keys of its entry. Raises `ValueError`."""
        found = re.fullmatch(r"mcp:([^:]+)(?::(.+))?", use)
        if not found:
            raise ValueError(f"{use!r} should be mcp:SERVER or mcp:SERVER:TOOL")
        options = options or ToolOptions()
        if found[2] is None and (options.name or options.description):
            raise ValueError(f"name and description are those of one tool: use {use}:TOOL")
        return cls(found[1], found[2], options)


@dataclass(frozen=True, slots=True)
class FoundTools:
    """The tools of some entries by name, and why others are not there."""

    tools: dict[str, Tool]
    failures: list[McpFailure]


class McpServers:
    """Connects in the background; a server that fails is told of where its tools are wanted, and holds up no other.

    `pins` is the file that remembers what tools said of themselves, and `report` is told of one that says
    something else now.
    """

    def __init__(
        self,
        servers: Sequence[McpServer],
        *,
        pins: Path | None = None,
        report: Callable[[str], None] = log.warning,
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._connections: dict[
            asyncio.AbstractEventLoop, dict[str, Connection]
        ] = {}  # a loop's serve no other
        self._inherited: Any = (
            None  # those of the process that this one was forked from: its programs are not ours to end
        )
        self._lock = ProcessLock()
        self._pins = Pins(pins)
        self._report = report

    @property
    def names(self) -> tuple[str, ...]:
        """What the servers are called."""
        return tuple(self._servers)

    def open(self) -> None:
        """Begin to connect to all servers. Needs a running event loop; nothing is waited for."""
        for name in self._servers:
            self._connection(name)

    async def close(self) -> None:
        """End the running loop's connections, and the programs started for them. They may be opened again."""
        connections = list(self._of_this_loop().values())
        self._of_this_loop().clear()
        for one in connections:
            one.hang_up()
        await ended(connections)

    async def tools(
        self, entries: Sequence[McpTools], *, taken: Container[str] = (), remember: bool = True
    ) -> FoundTools:
        """Return the tools of these entries; each server is waited for as long as its timeout says.

        A tool keeps its name, unless some provider would refuse it, or it is in `taken` or was listed before:
        then its server's name is put in front. Without `remember` nothing is written of what they say of
        themselves, so that who only looks does not take the warning from who uses them.
        """
        listings = await asyncio.gather(*(self._listed(entry) for entry in entries))
        found = FoundTools({}, [])
        for entry, listing in zip(entries, listings, strict=True):
            if isinstance(listing, McpFailure):
                found.failures.append(listing)
                continue
            for words in self._connection(entry.server).odd if entry.tool is None else ():
                found.failures.append(McpFailure(f"MCP server {entry.server!r}: {words}"))
            for listed in listing:
                name = entry.options.name or _name(
                    entry.server, listed.name, lambda name: name in taken or name in found.tools
                )
                try:
                    found.tools[name] = self._tool(name, entry, listed, remember)
                except ValueError as error:
                    words = f"tool {listed.name!r} of MCP server {entry.server!r} cannot be used: {error}"
                    found.failures.append(McpFailure(words))
        return found

    async def _listed(self, entry: McpTools) -> list[Listed] | McpFailure:
        try:
            listed = await self._connection(entry.server).listed()
        except McpFailure as failure:
            return failure
        if entry.tool is None:
            return listed
        known = ", ".join(one.name for one in listed) or "none"
        return [one for one in listed if one.name == entry.tool] or McpFailure(
            f"MCP server {entry.server!r} has no tool {entry.tool!r}; it has {known}"
        )

    def _tool(self, name: str, entry: McpTools, listed: Listed, remember: bool) -> Tool:
        described = [listed.description, listed.input_schema]
        if self._pins.changed(entry.server, listed.name, described, remember=remember):
            self._report(
                f"MCP server {entry.server!r} describes its tool {listed.name!r} differently than before; "
                "make sure that it still does what you want"
            )

        async def call(arguments: dict[str, Any], ctx: Any) -> Any:
            result = await self._call(entry, listed, arguments)
            parts = [_part(block) for block in result.content]
            text = "\n".join(part.text if isinstance(part, Text) else f"({part.type})" for part in parts)
            if result.is_error:
                words = self._servers[entry.server].scrubbed(text)
                raise ToolError(words or f"{name} failed", tool=name)
            if any(isinstance(part, Media) for part in parts):
                return parts
            return text if result.content or result.structured_content is None else result.structured_content

        about = listed.description or "" if entry.options.description is None else entry.options.description
        schema = tidy({"type": "object", "properties": {}, **listed.input_schema})
        return Tool(
            ToolSpec(name, about, schema),
            check_of(name, listed.input_schema),
            call,
            entry.options,
        )

    async def _call(self, entry: McpTools, listed: Listed, arguments: dict[str, Any]) -> CallToolResult:
        """Call it. Where the connection is lost, connect again, and repeat what may be repeated."""
        hints = listed.annotations
        harmless = entry.options.idempotent or bool(hints and (hints.read_only_hint or hints.idempotent_hint))
        try:
            return await self._call_once(entry, listed.name, arguments)
        except Lost as lost:
            if lost.was_sent and not harmless:
                words = "broke off during the call, so whether it was done is not known"
                raise self._broken(entry, listed, words) from lost
        try:
            return await self._call_once(entry, listed.name, arguments)
        except Lost as lost:
            raise self._broken(entry, listed, "broke off twice") from lost

    async def _call_once(self, entry: McpTools, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        connection = self._connection(entry.server)
        await connection.listed()
        seconds = entry.options.timeout or self._servers[entry.server].timeout
        return await connection.call(tool, arguments, seconds)

    def _broken(self, entry: McpTools, listed: Listed, words: str) -> ToolError:
        return ToolError(f"the connection to MCP server {entry.server!r} {words}", tool=listed.name)

    def _connection(self, name: str) -> Connection:
        """Return the connection to a server; a new one where there is none or it is gone."""
        if name not in self._servers:
            known = ", ".join(self._servers) or "none"
            raise McpFailure(f"there is no MCP server {name!r}; known are: {known}")
        connections = self._of_this_loop()
        connection = connections.get(name)
        if connection is None or connection.is_gone:
            connection = connections[name] = Connection(self._servers[name])
        return connection

    def _of_this_loop(self) -> dict[str, Connection]:
        """Return the connections by the names of their servers. Those of loops that were closed ended with them."""
        loop = asyncio.get_running_loop()
        with self._lock as is_forked:
            if is_forked:
                self._inherited, self._connections = self._connections, {}
            for over in [one for one in self._connections if one.is_closed()]:
                del self._connections[over]
            return self._connections.setdefault(loop, {})


def check_of(name: str, schema: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what checks the arguments of a tool of that schema; `ToolError` says what does not fit."""
    misfits = checker(schema)

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        if (wrong := misfits(arguments)) and misfits(meant := _meant(arguments, schema)):
            lines = [f"the arguments of {name} do not fit, so it was not run:", *wrong]
            raise ToolError("\n- ".join(lines), tool=name)
        return meant if wrong else arguments

    return check


def _name(server: str, tool: str, is_taken: Callable[[str], bool]) -> str:
    if NAME.fullmatch(tool) and not is_taken(tool):
        return tool
    base = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{server}_{tool}")
    base = base if NAME.match(base) else f"_{base}"
    name, number = base[:64], 1
    while is_taken(name):
        number += 1
        name = f"{base[: 63 - len(str(number))]}_{number}"
    return name


def _meant(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as models often mean them: null for nothing, and lists and objects written as text."""
    required = schema.get("required", ())
    meant = {name: value for name, value in arguments.items() if value is not None or name in required}
    for name, value in meant.items():
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            with suppress(ValueError):
                meant[name] = read_json(value)
    return meant


def _part(block: Any) -> Part:
    """Return a block of content as a part of the session; what is only named is told in words, and never fetched."""
    resource = getattr(block, "resource", block)
    if isinstance(text := getattr(resource, "text", None), str):
        return Text(text=text)
    kind = resource.mime_type
    data = getattr(resource, "data", None) or getattr(resource, "blob", None)
    if data:
        with suppress(ValidationError):
            media = (kind or "").partition("/")[0]
            return Media(
                type=_MEDIA.get(media, "file"),
                data=data,
                mime_type=kind,
                name=str(getattr(resource, "uri", "")).rpartition("/")[2] or None,
            )
    about = [kind, getattr(resource, "uri", None)]
    return Text(text=f"({block.type}: {', '.join(str(one) for one in about if one)})")
