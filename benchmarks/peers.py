"""Other frameworks, each in an environment of its own: the same agent, model and tool in their words."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Operation = Callable[[], Awaitable[Any]]

PACKAGES = {
    "langchain": ["langchain>=1", "langchain-openai>=1"],
    "openai-agents": ["openai-agents"],
    "pydantic-ai": ["pydantic-ai-slim[openai]"],
    "agno": ["agno", "openai"],
}


def install() -> Iterator[tuple[str, str]]:
    """Each framework's name and its Python. What is installed already is used again."""
    home = Path(tempfile.gettempdir()) / "auwgent-benchmarks"
    for name, packages in PACKAGES.items():
        python = home / name / "bin" / "python"
        if not python.exists():
            print(f"installing {name} into {python.parent.parent}", file=sys.stderr)
            venv.create(python.parent.parent, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *packages]
        if subprocess.run(command, check=False).returncode == 0:
            yield name, str(python)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def langchain(model: str, url: str) -> Operation:
    from langchain.agents import create_agent  # type: ignore[import-not-found, unused-ignore]
    from langchain_openai import ChatOpenAI  # type: ignore[import-not-found, unused-ignore]

    chat = ChatOpenAI(model=model, max_retries=0, stream_usage=True)
    tools = [add] if model.startswith("tools") else []
    agent = create_agent(chat, tools=tools, system_prompt="You help.")
    asked = {"messages": [{"role": "user", "content": "Hello"}]}

    async def operation() -> None:
        if model.startswith("pieces"):
            async for _ in agent.astream(asked, stream_mode="messages"):
                pass
        else:
            await agent.ainvoke(asked, {"recursion_limit": 100})

    return operation


async def openai_agents(model: str, url: str) -> Operation:
    from agents import (  # type: ignore[import-not-found, unused-ignore]
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    chat = OpenAIChatCompletionsModel(model=model, openai_client=AsyncOpenAI(max_retries=0))
    tools = [function_tool(add)] if model.startswith("tools") else []
    agent = Agent(name="Main", instructions="You help.", model=chat, tools=tools)

    async def operation() -> None:
        if model.startswith("pieces"):
            async for _ in Runner.run_streamed(agent, "Hello").stream_events():
                pass
        else:
            await Runner.run(agent, "Hello", max_turns=20)

    return operation


async def pydantic_ai(model: str, url: str) -> Operation:
    from pydantic_ai import Agent  # type: ignore[import-not-found, unused-ignore]
    from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found, unused-ignore]

    tools = [add] if model.startswith("tools") else []
    agent = Agent(OpenAIChatModel(model), system_prompt="You help.", tools=tools)

    async def operation() -> None:
        if model.startswith("pieces"):
            async with agent.run_stream("Hello") as streamed:
                async for _ in streamed.stream_text(delta=True, debounce_by=None):
                    pass
        else:
            await agent.run("Hello")

    return operation


async def agno(model: str, url: str) -> Operation:
    from agno.agent import Agent  # type: ignore[import-not-found, unused-ignore]
    from agno.models.openai import OpenAIChat  # type: ignore[import-not-found, unused-ignore]

    tools = [add] if model.startswith("tools") else []
    agent = Agent(
        model=OpenAIChat(id=model, base_url=f"{url}/v1"),
        instructions="You help.",
        tools=tools,
        telemetry=False,
    )

    async def operation() -> None:
        if model.startswith("pieces"):
            async for _ in agent.arun("Hello", stream=True):
                pass
        else:
            await agent.arun("Hello")

    return operation


CONTESTANTS = {
    "langchain": langchain,
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "agno": agno,
}
