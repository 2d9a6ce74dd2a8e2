"""One MCP server: how it is reached, and what went wrong with it, in words that hold no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from auwgent.errors import ToolError
from auwgent.secrecy import scrubbed


class McpFailure(ToolError):
    """A server cannot be reached, or does not have the tool. The text names the server and holds no secret."""


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server: a `command` to start, or a `url`. `timeout` is for connecting, and for each call."""

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 30.0  # seconds

    @property
    def address(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def scrubbed(self, text: str) -> str:
        """Return the text without the values of `env` and `headers`, and without what may be secret in `url`."""
        return scrubbed(text, self._secrets())

    def _secrets(self) -> Iterable[str]:
        yield from self.env.values()
        for value in self.headers.values():
            yield value
            yield value.rpartition(" ")[2]  # Bearer …
        if self.url is not None:
            parts = urlsplit(self.url)
            yield from (parts.username or "", parts.password or "", parts.query)
            yield from (value for _, value in parse_qsl(parts.query))
