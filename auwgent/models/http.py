"""The HTTP client of the direct route, one for each event loop, and what its answers are read with."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from auwgent.models.events import ERROR_BYTES

if TYPE_CHECKING:
    import aiohttp

LATE_END = 0.2  # seconds that a connection may take to end after the answer has, to be used again

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession, None]] = (
    WeakKeyDictionary()
)


class HTTPStatusError(Exception):
    """The provider answered with an error; of the name and the form of httpx's, by which faults are told."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        super().__init__(body[:ERROR_BYTES].decode(errors="replace"))
        self.response = SimpleNamespace(status_code=response.status, headers=response.headers)


async def head_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of a body, which may have no end."""
    body = b""
    async for data in response.content.iter_any():
        body += data
        if len(body) >= ERROR_BYTES:
            break
    return body[:ERROR_BYTES]


def preload() -> None:
    """Begin to import the client in a thread. Half of it is reading certificates, which keeps no other thread back."""
    if "aiohttp" not in sys.modules:
        Thread(target=_load, name="auwgent-http", daemon=True).start()


def _load() -> None:
    with suppress(ImportError):  # told by whoever asks a model
        import aiohttp  # noqa: F401


async def session() -> aiohttp.ClientSession:
    """Return the HTTP client of the running loop; closed with it."""
    loop = asyncio.get_running_loop()
    kept = _sessions.get(loop)
    if kept is None:
        kept = _sessions[loop] = _until_the_loop_ends()
    return await anext(kept)


async def _until_the_loop_ends() -> AsyncGenerator[aiohttp.ClientSession, None]:
    """Wait, suspended, until the loop is shut down: `asyncio.run` finalises generators when all else is over."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # how many at once is for the caller to say
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "auwgent"},
    ) as session:
        while True:
            yield session


def patience(seconds: float, *, whole: bool) -> aiohttp.ClientTimeout:
    """Until the first byte and between two; until the end for an answer that comes as a whole."""
    import aiohttp

    return aiohttp.ClientTimeout(total=seconds if whole else None, connect=seconds, sock_read=seconds)


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for this address. (aiohttp's own way would read ~/.netrc, too.)"""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


async def read_to_the_end(response: aiohttp.ClientResponse) -> None:
    """Let the connection be used again, where it ends soon."""
    with suppress(Exception):  # the answer is there; a connection that does not end is simply not used again
        async with asyncio.timeout(LATE_END):
            async for _ in response.content.iter_any():
                pass
