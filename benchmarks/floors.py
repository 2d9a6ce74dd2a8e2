"""What others can at best be: the same exchanges by hand, over aiohttp, the openai package and LiteLLM."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Operation = Callable[[], Awaitable[Any]]
Message = dict[str, Any]
Ask = Callable[[list[Message]], Awaitable[Message]]

QUESTION: Message = {"role": "user", "content": "Hello"}
SYSTEM: Message = {"role": "system", "content": "You help."}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


def loop_of(ask: Ask) -> Operation:
    """Ask, do what the model calls, and ask again, until it calls nothing more."""

    async def operation() -> None:
        messages = [SYSTEM, QUESTION]
        while True:
            message = await ask(messages)
            if not message.get("tool_calls"):
                return
            messages.append(message)
            for call in message["tool_calls"]:
                given = json.loads(call["function"]["arguments"])
                content = str(given["a"] + given["b"])
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    return operation


def options(model: str) -> dict[str, Any]:
    """What a request says besides its messages."""
    if model.startswith("pieces"):
        return {"stream": True, "stream_options": {"include_usage": True}}
    return {"tools": [ADD]} if model.startswith("tools") else {}


async def aiohttp(model: str, url: str) -> Operation:
    import aiohttp as http

    session = http.ClientSession()

    async def ask(messages: list[Message]) -> Message:
        body = {"model": model, "messages": messages, **options(model)}
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            if "stream" not in body:
                message: Message = (await response.json())["choices"][0]["message"]
                return message
            async for line in response.content:
                if line.startswith(b"data: {"):
                    json.loads(line[6:])
            return {}

    return loop_of(ask)


async def openai(model: str, url: str) -> Operation:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="sk-x", base_url=f"{url}/v1", max_retries=0)

    async def create(messages: list[Message]) -> Any:
        made: Any = client.chat.completions.create
        return await made(model=model, messages=messages, **options(model))

    return loop_of(_read_by(create, model))


async def litellm(model: str, url: str) -> Operation:
    import litellm as library

    async def create(messages: list[Message]) -> Any:
        return await library.acompletion(
            model=f"openai/{model}",
            messages=messages,
            api_key="sk-x",
            api_base=f"{url}/v1",
            max_retries=0,
            **options(model),
        )

    return loop_of(_read_by(create, model))


def _read_by(create: Callable[[list[Message]], Awaitable[Any]], model: str) -> Ask:
    async def ask(messages: list[Message]) -> Message:
        response = await create(messages)
        if model.startswith("pieces"):
            async for _ in response:
                pass
            return {}
        message: Message = response.choices[0].message.model_dump(exclude_none=True)
        return message

    return ask


CONTESTANTS = {"aiohttp": aiohttp, "openai": openai, "litellm": litellm}
