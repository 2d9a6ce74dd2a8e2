"""An agent served in this process, over a real socket; or by `auwgent serve` in a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from auwgent.runtime import Runtime
from auwgent.serve.server import Server
from tests.support.command import Command

ADDRESS = re.compile(r"http://\S+")


@dataclass(frozen=True, slots=True)
class Served:
    """A server, a client of it, and what it said of itself."""

    url: str
    client: aiohttp.ClientSession
    server: Server
    lines: list[str]

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any, Mapping[str, str]]:
        """The status, the body and the headers of the answer."""
        async with self.client.request(method, self.url + path, **how) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return answer.status, (await answer.json() if is_json and text else text), answer.headers

    def fails(self, body: Any) -> str:
        """The code of an error, whose form is checked."""
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"message", "type", "code", "param"}
        return str(body["error"]["code"])


@asynccontextmanager
async def served(config: Mapping[str, Any] | Path) -> AsyncIterator[Served]:
    """The agent of a config, or of its file, served until the block is left."""
    lines: list[str] = []
    said = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        said.set()

    server = Server(lambda **more: Runtime(config, overrides=_any_port(config), **more), say)
    running = asyncio.create_task(server.run())
    waiting = asyncio.create_task(said.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        running.result()
    found = ADDRESS.search(lines[0])
    assert found is not None
    try:
        async with aiohttp.ClientSession() as client:
            yield Served(found[0], client, server, lines)
    finally:
        server.stop()
        await running


def _any_port(config: Mapping[str, Any] | Path) -> tuple[str, ...]:
    names_port = isinstance(config, Mapping) and "port" in config.get("serve", {})
    return () if names_port else ("serve.port=0",)


@contextmanager
def process(folder: Path, *args: str, code: int | None = 0) -> Iterator[tuple[str, Any]]:
    """`auwgent serve` on any free port in a folder with a config: its address, and its process. It is ended by SIGTERM,
    and has to end with that code, unless it is None."""
    with (folder / "serve.log").open("w", encoding="utf-8") as log:
        running = Command(folder).start("serve", "--port", "0", *args, stderr=log)
        try:
            yield _address(running, folder / "serve.log"), running
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
            ended = running.wait(timeout=60)
            assert code is None or ended == code, f"{ended}: {(folder / 'serve.log').read_text()}"
        finally:
            running.kill()
            running.wait()


def _address(running: Any, log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        text = log.read_text(encoding="utf-8")
        if found := re.search(r"serves .* at (http://\S+)", text):
            return found[1]
        assert running.poll() is None, text
        time.sleep(0.05)
    raise AssertionError(f"it did not begin: {log.read_text()}")
