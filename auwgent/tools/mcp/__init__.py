"""Tools of Model Context Protocol servers: programs over stdio, or HTTP addresses, connected in the background."""

from auwgent.tools.mcp.server import McpFailure, McpServer
from auwgent.tools.mcp.servers import FoundTools, McpServers, McpTools

__all__ = ["FoundTools", "McpFailure", "McpServer", "McpServers", "McpTools"]
