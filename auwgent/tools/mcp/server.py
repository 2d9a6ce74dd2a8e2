"""One MCP server: how it is reached, and what went wrong with it, in words that hold no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from auwgent.config.tables import McpConfig
from auwgent.errors import ToolError
from auwgent.secrecy import scrubbed


class McpFailure(ToolError):
    """A server cannot be reached, or does not have the tool. The text names the server and holds no secret."""


class McpServer(McpConfig):
    """A server as its table [mcp.<name>] says; `folder` is the one its `cwd` is relative to."""

    name: str
    folder: Path = Path()

    @property
    def address(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def scrubbed(self, text: str) -> str:
        """Return the text without the values of `env` and `headers`, and without what may be secret in `url`."""
        return scrubbed(text, self._secrets())

    def _secrets(self) -> Iterable[str]:
        yield from in_clear(self.env).values()
        for value in in_clear(self.headers).values():
            yield value
            yield value.rpartition(" ")[2]  # Bearer …
        if self.url is not None:
            parts = urlsplit(self.url)
            yield from (parts.username or "", parts.password or "", parts.query)
            yield from (value for _, value in parse_qsl(parts.query))


def in_clear(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return secrets as the server itself is to get them."""
    return {name: value.get_secret_value() for name, value in secrets.items()}
