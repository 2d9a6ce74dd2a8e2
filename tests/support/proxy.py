"""A proxy that writes down what passes, and mends what LiteLLM and aimock do not agree on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.support.raw_server import Received, read_request
from tests.support.serving import closed, serving


class Proxy:
    """Passes each request on to `target`, one per connection. `requests` are as they came, oldest first."""

    def __init__(self, target: str, adapt: Callable[[Any], Any]) -> None:
        parts = urlsplit(target)
        self.host, self.port = parts.hostname, parts.port
        self.adapt = adapt
        self.requests: list[Received] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        self.requests.append(request)
        there, back = await asyncio.open_connection(self.host, self.port)
        try:
            back.write(_request(request, json.dumps(self.adapt(request.body)).encode()))
            while data := await there.read(65536):
                # aimock says that it keeps a connection which it was asked to close, and closes it.
                writer.write(data.replace(b"Connection: keep-alive", b"Connection: close", 1))
                await writer.drain()
        finally:
            await closed(back)


@asynccontextmanager
async def proxy_to(target: str, adapt: Callable[[Any], Any] = lambda body: body) -> AsyncIterator[Proxy]:
    """A running proxy; `adapt` makes the body that is passed on."""
    proxy = Proxy(target, adapt)
    async with serving(proxy.serve) as proxy.url:
        yield proxy


def camel_case(body: Any) -> Any:
    """Gemini takes field names in both forms, LiteLLM sends the one and aimock reads the other."""
    if isinstance(body, list):
        return [camel_case(one) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        _camel(key): value if key in ("args", "response", "properties") else camel_case(value)
        for key, value in body.items()
    }


def without_cache_points(body: Any) -> Any:
    """Bedrock takes a cache point among the tools, and aimock takes it for a tool without a name."""
    if not isinstance(body, dict) or "toolConfig" not in body:
        return body
    tools = [tool for tool in body["toolConfig"]["tools"] if "cachePoint" not in tool]
    return body | {"toolConfig": body["toolConfig"] | {"tools": tools}}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _request(request: Received, body: bytes) -> bytes:
    kept = {k: v for k, v in request.headers.items() if k not in ("content-length", "connection")}
    headers = kept | {"content-length": str(len(body)), "connection": "close"}
    lines = [f"POST {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
