"""A small MCP server made with the official SDK, that can fail in the ways real ones do.

Over stdio, or over HTTP on the port in its first argument.
"""

import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ImageContent, TextContent, ToolAnnotations

server = MCPServer("demo")
ABOUT_ADD = os.environ.get("ABOUT_ADD", "Add two numbers.")


@server.tool(description=ABOUT_ADD)
def add(a: int, b: int = 2) -> int:
    return a + b


@server.tool(name="files.read")
def read() -> str:
    return "read"


@server.tool()
def process() -> int:
    """The number of this process."""
    return os.getpid()


@server.tool()
def fail(words: str) -> str:
    raise ToolError(words)


@server.tool()
def picture() -> list[TextContent | ImageContent]:
    return [
        TextContent(type="text", text="A dot:"),
        ImageContent(type="image", data="AAAA", mime_type="image/png"),
    ]


@server.tool()
async def grow(ctx: Context, words: int = 0) -> str:
    """Offer one tool more, and say so, with so many words."""
    server.add_tool(process, name="grown")
    await ctx.notify_tools_changed()
    return "grown" + " word" * words


@server.tool()
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@server.tool()
def die(once: str = "") -> str:
    """End the process; with a path, only if there is no such file yet."""
    return _die(once)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def die_reading(once: str = "") -> str:
    return _die(once)


def _die(once: str) -> str:
    if once and Path(once).exists():
        return "survived"
    if once:
        Path(once).touch()
    os._exit(3)


if __name__ == "__main__":
    print("a greeting on standard error", file=sys.stderr, flush=True)
    if file := os.environ.get("PROCESS_FILE"):
        Path(file).write_text(str(os.getpid()))
    if problem := os.environ.get("FAIL_WITH"):
        sys.exit(f"cannot start: {problem}")
    time.sleep(float(os.environ.get("START_AFTER", "0")))
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
