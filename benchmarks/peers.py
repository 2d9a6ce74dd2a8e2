"""Other frameworks, each in an environment of its own: the same agent, model and tool in their words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Operation = Callable[[], Awaitable[Any]]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def langchain(model: str, url: str) -> Operation:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

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
    from agents import (
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
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel

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
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

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


async def google_adk(model: str, url: str) -> Operation:
    from google.adk.agents import Agent
    from google.adk.agents.run_config import RunConfig, StreamingMode
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai.types import UserContent

    chat = LiteLlm(f"openai/{model}", api_base=f"{url}/v1", num_retries=0)
    tools = [add] if model.startswith("tools") else []
    runner = InMemoryRunner(Agent(name="Main", instruction="You help.", model=chat, tools=tools))
    mode = StreamingMode.SSE if model.startswith("pieces") else StreamingMode.NONE

    async def operation() -> None:
        session = await runner.session_service.create_session(app_name=runner.app_name, user_id="user")
        async for _ in runner.run_async(
            user_id="user",
            session_id=session.id,
            new_message=UserContent("Hello"),
            run_config=RunConfig(streaming_mode=mode),
        ):
            pass

    return operation


async def strands(model: str, url: str) -> Operation:
    from openai import AsyncOpenAI
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    chat = OpenAIModel(client=AsyncOpenAI(max_retries=0), model_id=model)
    tools = [tool(add)] if model.startswith("tools") else []
    agent = Agent(model=chat, system_prompt="You help.", tools=tools, callback_handler=None)

    async def operation() -> None:
        agent.messages.clear()  # it would go on with the conversation
        if model.startswith("pieces"):
            async for _ in agent.stream_async("Hello"):
                pass
        else:
            await agent.invoke_async("Hello")

    return operation


CONTESTANTS = {
    "agno": agno,
    "google-adk": google_adk,
    "langchain": langchain,
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "strands": strands,
}
