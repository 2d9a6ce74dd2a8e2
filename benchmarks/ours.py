"""Auwgent by both routes, plain and with two middlewares that have every hook and a SQLite store."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from auwgent import Runtime

Operation = Callable[[], Awaitable[Any]]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Idle:
    """A middleware that does nothing, in every hook."""

    async def onRunStart(self, session: Any, ctx: Any) -> None: ...
    async def onCheckpoint(self, session: Any, ctx: Any) -> None: ...
    async def onLLMStart(self, prompt: str, ctx: Any) -> None: ...
    async def onIntentPartial(self, name: str, value: Any, ctx: Any) -> None: ...
    async def onIntent(self, name: str, value: Any, ctx: Any) -> None: ...
    async def onLLMEnd(self, response: Any, ctx: Any) -> None: ...
    async def onRunComplete(self, session: Any, ctx: Any) -> None: ...
    async def onError(self, error: Exception, session: Any, ctx: Any) -> None: ...


def agent(model: str, url: str, via: str, middleware: list[Any]) -> Any:
    """An agent on the benchmark's provider."""
    named = {"use": f"openai/{model}", "via": via, "api_key": "sk-x", "base_url": url, "retries": 0}
    root = {"model": "main", "prompt": "You help.", "tools": [add] if model.startswith("tools") else []}
    return Runtime({"middleware": middleware, "agent": root, "models": {"main": named}})


def route(via: str, *, full: bool, whole: bool = False) -> Callable[[str, str], Awaitable[Operation]]:
    """A contestant by this route."""

    async def made(model: str, url: str) -> Operation:
        middleware: list[Any] = []
        if full:
            file = Path(tempfile.mkdtemp(prefix="auwgent-bench-")) / "sessions.db"
            store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{file}"}
            middleware = [store, Idle(), Idle()]
        asked = agent(model, url, via, middleware)
        await asked.open()

        async def operation() -> None:
            if model.startswith("pieces"):
                async for _ in asked.stream("Hello"):
                    pass
            else:
                await asked.run("Hello", whole=whole)

        return operation

    return made


CONTESTANTS = {
    "auwgent direct": route("direct", full=False),
    "auwgent direct, full": route("direct", full=True),
    "auwgent litellm": route("litellm", full=False),
    "auwgent litellm, whole": route("litellm", full=False, whole=True),
    "auwgent litellm, full": route("litellm", full=True),
}
