"""CPU time of a streamed request to the servers of two peers, on models of their own that answer at once.

    uv venv pai && uv pip install -p pai "pydantic-ai-slim[ag-ui]" uvicorn
    uv venv adk && uv pip install -p adk google-adk
    python benchmarks/serving_peers.py pai/bin/python adk/bin/python

Measured as in `serving.py`. PydanticAI keeps nothing; ADK keeps sessions in SQLite, as Auwgent does there, and each of
its requests begins one, as it has to.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from serving import WORD, cpu_of

REQUESTS = 60
PORT = 8761
PYDANTIC_AI = f"""
import uvicorn
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.routing import Route


async def words(messages, info):
    for _ in range(PIECES):
        yield {WORD!r}


async def run(request):
    return await AGUIAdapter.dispatch_request(request, agent=agent)


agent = Agent(FunctionModel(stream_function=words))
app = Starlette(routes=[Route("/", run, methods=["POST"])])
uvicorn.run(app, port={PORT}, log_level="critical", http="h11")
"""
ADK = f"""
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.genai.types import Content, Part


class Words(BaseLlm):
    model: str = "words"

    async def generate_content_async(self, llm_request, stream=False):
        for _ in range(PIECES):
            yield LlmResponse(content=Content(role="model", parts=[Part(text={WORD!r})]), partial=True)
        yield LlmResponse(content=Content(role="model", parts=[Part(text={WORD!r} * PIECES)]))


root_agent = LlmAgent(name="main", model=Words())
"""


async def ask(kind: str, number: int, client: aiohttp.ClientSession) -> None:
    """Send one request and read its stream."""
    url, name = f"http://127.0.0.1:{PORT}", f"s{os.getpid()}-{number}-{time.monotonic_ns()}"
    body: Mapping[str, Any]
    if kind == "pydantic-ai":
        said = [{"id": "1", "role": "user", "content": "Hello"}]
        body = {"threadId": name, "runId": name, "messages": said, "tools": [], "context": []}
        path, body = "/", {**body, "state": {}, "forwardedProps": {}}
    else:
        async with client.post(f"{url}/apps/shop/users/u/sessions/{name}", json={}) as made:
            await made.read()
        message = {"role": "user", "parts": [{"text": "Hello"}]}
        path, body = "/run_sse", {"appName": "shop", "userId": "u", "sessionId": name, "newMessage": message}
        body = {**body, "streaming": True}
    async with client.post(url + path, json=body, headers={"Accept": "text/event-stream"}) as answer:
        answer.raise_for_status()
        await answer.read()


async def asked(kind: str, requests: int) -> None:
    """Send so many requests, one after the other."""
    async with aiohttp.ClientSession() as client:
        for number in range(requests):
            await ask(kind, number, client)


def measured(kind: str, python: Path, pieces: int) -> float:
    """CPU milliseconds of a request."""
    command: list[str | Path]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = f"PIECES = {pieces}\n"
        if kind == "pydantic-ai":
            (folder / "app.py").write_text(code + PYDANTIC_AI)
            command = [python.absolute(), "app.py"]
        else:
            (folder / "shop").mkdir()
            (folder / "shop" / "__init__.py").write_text("from . import agent\n")
            (folder / "shop" / "agent.py").write_text(code + ADK)
            kept = f"--session_service_uri=sqlite:///{folder}/s.db"
            command = [python.absolute().with_name("adk"), "api_server", "--port", str(PORT), kept, "."]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(15)  # its imports
            asyncio.run(asked(kind, 3))
            began = cpu_of(process.pid)
            asyncio.run(asked(kind, REQUESTS))
            used = cpu_of(process.pid) - began
            process.kill()
    return 1000 * used / REQUESTS


def main() -> None:
    for kind, python in zip(("pydantic-ai", "google-adk"), sys.argv[1:], strict=True):
        short, long = (measured(kind, Path(python), pieces) for pieces in (1, 500))
        print(f"{kind:12} {short:8.2f} {long:8.2f} ms with 1 and with 500 pieces")


if __name__ == "__main__":
    main()
