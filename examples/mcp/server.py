"""Two small MCP servers, made with the official SDK: `python server.py clock`, `python server.py notes`."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer(sys.argv[1])

if sys.argv[1] == "clock":

    @server.tool()
    def time_in(city: str) -> str:
        """The time in a city."""
        return f"It is noon in {city}."

else:

    @server.tool()
    def add_note(text: str) -> str:
        """Keep a note."""
        return f"kept: {text}"


server.run()
