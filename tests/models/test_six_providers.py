"""One session over seven providers and back: pictures, thoughts and a tool that does not exist, in each request."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.session import Media, Text
from tests.models.test_ends_table import BEDROCK
from tests.models.test_portability import BLIND, PIXEL, every
from tests.models.test_thoughts import response, said
from tests.support.raw_server import Step, raw_server, whole
from tests.support.wires import Anthropic, Gemini, OpenAI, Responses

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

MADE_UP = "mcp:time/now!"
ARGUMENTS = {"zone": "Oslo"}
QUESTION, ANSWER = "What time is it, {}?", "It is late, says {}."
LEGAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def chat(text: str, thought: str) -> list[Step]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if not text:
        function = {"name": MADE_UP, "arguments": json.dumps(ARGUMENTS)}
        message["tool_calls"] = [{"id": "call_a", "type": "function", "function": function}]
        message |= {"reasoning_content": thought} if thought else {}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if text else "tool_calls"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return [whole(json.dumps({**head, "choices": [choice], "usage": usage}))]


def claude(text: str, thought: str) -> list[Step]:
    content: list[Any] = [{"type": "text", "text": text}]
    if not text:
        content = [{"type": "thinking", "thinking": "Hm.", "signature": thought}]
        content.append({"type": "tool_use", "id": "toolu_1", "name": MADE_UP, "input": ARGUMENTS})
    head = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_sequence": None}
    end = {
        "stop_reason": "end_turn" if text else "tool_use",
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }
    return [whole(json.dumps({**head, "content": content, **end}))]


def gemini(text: str, thought: str) -> list[Step]:
    parts: list[Any] = [{"text": text}]
    if not text:
        called = {"name": MADE_UP, "args": ARGUMENTS}
        parts = [{"text": "Hm.", "thought": True}, {"functionCall": called, "thoughtSignature": thought}]
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    return [whole(json.dumps({"candidates": [candidate], "usageMetadata": usage}))]


def responses(text: str, thought: str) -> list[Step]:
    if text:
        return response(False, said(text))
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": thought}
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_a",
        "name": MADE_UP,
        "status": "completed",
    }
    return response(False, item, {**call, "arguments": json.dumps(ARGUMENTS)})


def bedrock(text: str, thought: str) -> list[Step]:
    content: list[Any] = [{"text": text}]
    if not text:
        content = [{"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": thought}}}]
        content.append({"toolUse": {"toolUseId": "tooluse_1", "name": MADE_UP, "input": ARGUMENTS}})
    usage = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
    output = {"message": {"role": "assistant", "content": content}}
    end = {"stopReason": "end_turn" if text else "tool_use", "usage": usage, "metrics": {"latencyMs": 1}}
    return [whole(json.dumps({"output": output, **end}))]


def check_bedrock(body: Any) -> None:
    calls = [one["toolUseId"] for one in every(body["messages"], "toolUse")]
    assert calls == [one["toolUseId"] for one in every(body["messages"], "toolResult")]
    assert "toolConfig" in body
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def check_mistral(body: Any) -> None:
    OpenAI().check(body)
    ids = [call["id"] for message in body["messages"] for call in message.get("tool_calls") or ()]
    assert all(len(one) == 9 and one.isalnum() for one in ids)


@dataclass(frozen=True)
class Peer:
    """A provider: how it answers, what its thoughts hold that nobody else may see, and what it accepts."""

    name: str
    model: str
    speak: Callable[[str, str], list[Step]]
    check: Callable[[Any], None]
    thought: str = ""
    settings: dict[str, Any] = field(default_factory=lambda: {"api_key": "k-test-123456"})


PEERS = (
    Peer("openai", "openai/gpt-4o-mini", chat, OpenAI().check),
    Peer("anthropic", "anthropic/claude-sonnet-4-5", claude, Anthropic().check, "U0lHLUE="),
    Peer("gemini", "gemini/gemini-3-pro-preview", gemini, Gemini().check, "U0lHLUc="),
    Peer("responses", "openai/responses/gpt-5-mini", responses, Responses().check, "ENC-R"),
    Peer("deepseek", "deepseek/deepseek-reasoner", chat, OpenAI().check, "THOUGHT-D"),
    Peer(
        "bedrock",
        "bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0",
        bedrock,
        check_bedrock,
        "U0lHLUI=",
        {"params": BEDROCK},
    ),
    Peer("mistral", "mistral/mistral-small-latest", chat, check_mistral),
)


def names_in(body: Any) -> list[str]:
    """The names of all calls in a request, wherever its format has them."""
    chats = [function["name"] for function in every(body, "function") if "arguments" in function]
    blocks = [one["name"] for key in ("function_call", "toolUse") for one in every(body, key)]
    typed = [one["name"] for one in objects(body) if one.get("type") in ("tool_use", "function_call")]
    return [*chats, *blocks, *typed]


def objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(one for inner in value.values() for one in objects(inner))]
    return [one for inner in value for one in objects(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("via", ["auto", "litellm"])
async def test_a_session_goes_over_seven_providers_and_back(tmp_path: Path, via: str) -> None:
    picture = Media(type="image", data=PIXEL, mime_type="image/png")
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path}/s.db"}

    async def run(peer: Peer, question: str, *answers: list[Step]) -> list[Any]:
        """The bodies of the requests of one run, of an agent made for it."""
        async with raw_server(*answers) as server:
            model = {"use": peer.model, "base_url": server.url, "via": via, "retries": 0, **peer.settings}
            config = {"agent": {"name": "Main", "model": "m", "tools": [now]}, "models": {"m": model}}
            async with Runtime({**config, "middleware": [store]}) as agent:
                stream = agent.stream([Text(text=question), picture], session_id="s", whole=True)
                async for _ in stream:
                    pass
            assert stream.session is not None
            assert stream.session.text == ANSWER.format(peer.name)
            return [one.body for one in server.requests]

    asked: list[str] = []
    for lap in (1, 2):
        for peer in PEERS:
            question, answer = QUESTION.format(f"{peer.name} {lap}"), peer.speak(ANSWER.format(peer.name), "")
            answers = (peer.speak("", peer.thought), answer) if lap == 1 else (answer,)
            bodies = await run(peer, question, *answers)
            asked.append(question)
            for body in bodies:
                peer.check(body)
            sent = json.dumps(bodies[-1])
            assert all(one in sent for one in asked)
            assert (PIXEL in sent) == (peer.name not in BLIND)
            assert all(set(name) <= set(LEGAL) for name in names_in(bodies[-1]))
            assert len(names_in(bodies[-1])) == (PEERS.index(peer) + 1 if lap == 1 else len(PEERS))
            for other in PEERS:
                if other.thought:
                    assert (other.thought in sent) == (other is peer), (peer.name, other.name)


def now(zone: str) -> str:
    """The time in a zone."""
    return f"noon in {zone}"
