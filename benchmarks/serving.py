"""CPU time that `auwgent serve` adds to a run: beside `agent.stream` in the process, and a bare starlette app.

    python benchmarks/serving.py [--requests N] [--pieces N]

Each is measured in a process of its own, by the CPU time of that process alone, so that others on the machine
change little. A piece is one word of a streamed answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

WORD = "word "
TICKS = os.sysconf("SC_CLK_TCK")


def config(pieces: int, folder: Path) -> dict[str, Any]:
    """An agent whose answer has so many pieces."""
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{folder / 's.db'}"}
    params = {"replies": [WORD * pieces], "repeat": True}
    model = {"use": "scripted/main", "params": params}
    return {"agent": {"model": "main"}, "models": {"main": model}, "middleware": [store]}


async def streamed(pieces: int, requests: int, folder: Path) -> float:
    """CPU seconds of so many runs of `agent.stream`, without HTTP."""
    from auwgent.runtime import Runtime

    agent = Runtime(config(pieces, folder))
    async with agent:
        async for _ in agent.stream("Hello", session_id="warm"):
            pass
        began = time.process_time()
        for number in range(requests):
            async for _ in agent.stream("Hello", session_id=f"s{number}"):
                pass
        return time.process_time() - began


async def bare(pieces: int, listening: socket.socket) -> None:
    """A starlette app that streams as many pieces, without an agent."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def answer(request: Request) -> StreamingResponse:
        await request.json()

        async def texts() -> AsyncIterator[str]:
            for _ in range(pieces):
                yield f"data: {json.dumps({'choices': [{'delta': {'content': WORD}}]})}\n\n"

        return StreamingResponse(texts(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, http="h11"))
    await server.serve(sockets=[listening])


async def asked(url: str, requests: int) -> None:
    """Send so many requests, one after the other."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
    async with aiohttp.ClientSession() as client:
        for number in range(requests):
            headers = {"X-Session-Id": f"s{os.getpid()}-{number}"}
            async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
                await answer.read()


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def served(process: subprocess.Popen[str], url: str, requests: int) -> float:
    """CPU seconds of a server for so many requests."""
    asyncio.run(asked(url, 3))
    began = cpu_of(process.pid)
    asyncio.run(asked(url, requests))
    return cpu_of(process.pid) - began


def measured(pieces: int, requests: int) -> dict[str, float]:
    """CPU milliseconds a request: of the stream alone, of our server, and of the bare app."""
    here = [sys.executable, __file__, "--pieces", str(pieces), "--requests", str(requests)]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = subprocess.run(
            [*here, "--only", "stream", "--folder", name], capture_output=True, text=True, check=True
        )
        found["stream"] = float(done.stdout)
        lines = [
            f"middleware = [{{ use = 'auwgent.middleware.SQLModelSessions', url = 'sqlite:///{folder}/t.db' }}]"
        ]
        lines += ["[agent]", "model = 'main'", "[models.main]", "use = 'scripted/main'"]
        lines += [f"params = {{ replies = ['{WORD * pieces}'], repeat = true }}"]
        (folder / "auwgent.toml").write_text("\n".join(lines))
        serve = [sys.executable, "-m", "auwgent", "serve", "--port", "0", "-q"]
        with subprocess.Popen(serve, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            told = re.search(r"http://\S+", next(line for line in process.stderr if "http://" in line))
            assert told is not None
            found["serve"] = served(process, told[0], requests)
            process.terminate()
        port = folder / "port"
        with subprocess.Popen([*here, "--only", "bare", "--folder", name], text=True) as process:
            while not port.exists() or not port.read_text():
                time.sleep(0.05)
            found["bare"] = served(process, f"http://127.0.0.1:{port.read_text()}", requests)
            process.kill()
    return {name: 1000 * seconds / requests for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--pieces", type=int, default=500)
    parser.add_argument("--only", choices=("stream", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only == "stream":
        print(asyncio.run(streamed(given.pieces, given.requests, given.folder)))
        return
    if given.only == "bare":
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        (given.folder / "port").write_text(str(listening.getsockname()[1]))
        asyncio.run(bare(given.pieces, listening))
        return
    short, long = measured(1, given.requests), measured(given.pieces, given.requests)
    print(f"CPU of one request, in ms, with 1 and with {given.pieces} pieces:")
    for name in ("stream", "serve", "bare"):
        print(f"  {name:7} {short[name]:8.2f} {long[name]:8.2f}")
    print(f"serve adds {short['serve'] - short['stream']:.2f} ms a request, and")
    more = (long["serve"] - long["stream"]) - (short["serve"] - short["stream"])
    print(f"{1000 * more / (given.pieces - 1):.1f} us a piece")


if __name__ == "__main__":
    main()
