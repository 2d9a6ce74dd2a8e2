"""`auwgent mcp`: the MCP servers that other tools are configured with, as tables of a config."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import tomli_w

from auwgent.cli import options
from auwgent.config import McpConfig
from auwgent.config.document import read
from auwgent.errors import ConfigError, Problem
from auwgent.imports import late
from auwgent.runtime import Runtime

EXAMPLES = """\b
Examples:
  auwgent mcp
  auwgent mcp import mcp.json
  auwgent mcp import mcp.json --stdout > tables.toml
"""
ADDRESSES = ("url", "serverUrl", "httpUrl")
IGNORED = ("type", "transport", "disabled", "description", "alwaysAllow", "autoApprove", "name")
SECRET = re.compile(r"key|token|secret|passw|auth|credential|cookie", re.IGNORECASE)
# VS Code and Cursor write `${env:NAME}`; what else stands in braces there has no meaning here.
VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(:-[^}]*)?\}")


@click.group("mcp", epilog=EXAMPLES, invoke_without_command=True)
@options.config
@options.profile
@click.pass_context
def command(ctx: click.Context, config: Path, profile: str | None) -> None:
    """Serve the agent as a tool of MCP hosts, on standard input and output; or bring in servers from other tools.

    Each agent of `serve.agents` is a tool that takes `input` and `session_id`. A host starts the command itself.
    """
    if ctx.invoked_subcommand is None:
        asyncio.run(late("auwgent.serve.mcp_tools:on_stdio")(Runtime(config, profile=profile)))


@command.command("import", epilog=EXAMPLES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@options.config
@click.option("--stdout", is_flag=True, help="Print the tables instead of adding them to the config.")
def import_(file: Path, config: Path, stdout: bool) -> None:
    """Add the servers of FILE to the config, as [mcp.*] tables behind what is there.

    FILE is the JSON that other tools read: `mcpServers`, or `servers`, with a table for each server. Keys, tokens and
    passwords are not copied: a variable stands in their place, to be set in the environment or in a `.env`.
    """
    known = {} if stdout else read(config).tree.get("mcp", {})
    tables, notes = servers(_json(file), file)
    for name in [name for name in tables if name in known]:
        notes.append(f"{name}: the config has a server of that name already; it is left as it is")
        del tables[name]
    text = tomli_w.dumps({"mcp": tables}).replace("[mcp]\n\n", "", 1) if tables else ""
    if stdout:
        click.echo(text, nl=False)
    elif text:
        _append(config, text)
        listed = ", ".join(json.dumps(f"mcp:{name}") for name in tables)
        click.echo(f"{config} has {len(tables)} more. Give them to an agent: tools = [{listed}]", err=True)
    for note in notes:
        click.echo(f"  {note}", err=True)


def servers(found: Any, file: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the [mcp.*] tables of a file's servers, and what is to be told of them."""
    listed = next((found[key] for key in ("mcpServers", "servers") if key in found), None)
    if not isinstance(listed, dict):
        raise ConfigError([Problem("there is no table `mcpServers`", source=str(file))])
    tables: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for title, entry in listed.items():
        name = re.sub(r"[^\w-]+", "-", title).strip("-") or "server"
        if not isinstance(entry, dict):
            raise ConfigError([Problem(f"the server {title!r} should be a table", source=str(file))])
        if entry.get("disabled") is True:
            notes.append(f"{title}: left out, since it is disabled there")
            continue
        table = _table(name, entry, notes)
        try:
            McpConfig.model_validate(table)
        except ValueError as error:
            wrong = error.errors()[0] if hasattr(error, "errors") else {"msg": str(error), "loc": ()}
            where = ".".join(map(str, wrong["loc"]))
            message = f"the server {title!r} cannot be taken over: {where}{': ' * bool(where)}{wrong['msg']}"
            raise ConfigError([Problem(message, source=str(file))]) from None
        tables[name] = table
    return tables, notes


def _table(name: str, entry: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ADDRESSES:
            table["url"] = _variables(value)
        elif key in ("env", "headers") and isinstance(value, dict):
            table[key] = {one: _hidden(name, key, one, text, notes) for one, text in value.items()}
        elif key in ("command", "args", "cwd"):
            table[key] = _variables(value)
        elif key not in IGNORED:
            notes.append(f"{name}: `{key}` is not known here and is left out")
    if entry.get("type") == "sse" or entry.get("transport") == "sse":
        notes.append(f"{name}: it is spoken to by streamable HTTP, not by the older SSE transport")
    return {key: value for key, value in table.items() if value not in ([], {}, None)}


def _hidden(server: str, kind: str, name: str, text: Any, notes: list[str]) -> Any:
    """Return a value of `env` or `headers`, or the variable that stands for a secret."""
    if not isinstance(text, str) or VARIABLE.search(text) or not SECRET.search(name):
        return _variables(text)
    variable = name if kind == "env" else re.sub(r"\W", "_", f"{server}_{name}").upper()
    notes.append(f"{server}: `{kind}.{name}` is not copied; put {variable}=… into the environment or a .env")
    return f"${{{variable}}}"


def _variables(value: Any) -> Any:
    """Return the value with variables as they are written here, and other dollar signs as themselves."""
    if isinstance(value, list):
        return [_variables(each) for each in value]
    if not isinstance(value, str):
        return value
    parts, end = [], 0
    for match in VARIABLE.finditer(value):
        parts += [value[end : match.start()].replace("$", "$$"), f"${{{match[1]}{match[2] or ''}}}"]
        end = match.end()
    return "".join([*parts, value[end:].replace("$", "$$")])


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([Problem(f"this is not JSON: {error}", source=str(file))]) from None
    found = found.get("mcp", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise ConfigError([Problem("there is no table `mcpServers`", source=str(file))])
    return found


def _append(config: Path, text: str) -> None:
    try:
        before = config.read_text(encoding="utf-8")
        added = ("" if before.endswith("\n") else "\n") + "\n" + text
        tomllib.loads(before + added)
        with config.open("a", encoding="utf-8") as stream:
            stream.write(added)
    except tomllib.TOMLDecodeError:
        hint = "`--stdout` prints the tables, to be put there by hand"
        raise ConfigError(
            [Problem("[mcp.*] tables cannot stand behind what is in it", source=str(config), hint=hint)]
        ) from None
    except OSError as error:
        raise ConfigError([Problem(f"cannot be written: {error.strerror}", source=str(config))]) from None
