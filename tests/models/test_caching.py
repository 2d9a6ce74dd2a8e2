"""What a request marks for the provider's cache, and what of its use is told."""

import json
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auwgent.models.answer import reported
from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.models.litellm import LiteLLMModel
from auwgent.models.prices import listed_usd
from auwgent.models.received import Json
from auwgent.models.wire import messages, tools
from auwgent.session import ToolCall, Turn, Usage
from tests.models.asking import WEATHER, asked, hear, user
from tests.support.raw_server import raw_server, whole

CLAUDE = ModelSpec(name="anthropic/claude-sonnet-4-5")
OPENROUTER = ModelSpec(name="openrouter/anthropic/claude-sonnet-4.5")
OPENAI = ModelSpec(name="openai/gpt-4o-mini")


def step(number: int, words: str = "ok") -> list[Turn]:
    call = ToolCall(id=f"c{number}", name="get_weather", args={"city": "Rome"})
    result = Turn(role="tool", tool_call_id=call.id, name=call.name, content=words)
    return [Turn(role="assistant", tool_calls=[call]), result]


def marked(spec: ModelSpec, *turns: Turn, with_tools: bool = True) -> list[int]:
    """Which messages have a mark, the system prompt being the first."""
    request = ModelRequest(system="Be brief.", turns=turns, tools=[WEATHER] if with_tools else ())
    return [index for index, one in enumerate(messages(spec, request)) if "cache_control" in json.dumps(one)]


@pytest.mark.parametrize("spec", [CLAUDE, OPENROUTER])
def test_the_system_prompt_and_the_two_newest_turns_of_the_user_are_marked(spec: ModelSpec) -> None:
    assert marked(spec, user("Hi")) == [0, 1]
    assert marked(spec, user("Hi"), *step(1)) == [0, 1, 3]
    assert marked(spec, user("Hi"), *step(1), *step(2)) == [0, 3, 5]
    request = ModelRequest(system="", turns=[user("Hi")], tools=[WEATHER, WEATHER])
    assert ["cache_control" in tool for tool in tools(spec, request)] == [False, True]


def test_a_question_without_tools_and_history_is_not_marked_unless_it_is_wanted() -> None:
    assert marked(CLAUDE, user("Hi"), with_tools=False) == []
    talk = (user("Hi"), Turn(role="assistant", content="Hello"), user("Bye"))
    assert marked(CLAUDE, *talk, with_tools=False) == [0, 1, 3]
    always = ModelSpec(name=CLAUDE.name, cache=True)
    assert marked(always, user("Hi"), with_tools=False) == [0, 1]


def test_who_caches_by_itself_or_shall_not_gets_no_marks() -> None:
    for spec in (OPENAI, ModelSpec(name=CLAUDE.name, cache=False), ModelSpec(name="gemini/gemini-2.5-flash")):
        request = ModelRequest(system="", turns=[user("Hi")], tools=[WEATHER])
        assert marked(spec, user("Hi"), *step(1)) == []
        assert "cache_control" not in json.dumps(tools(spec, request))


def blocks(body: dict[str, Any]) -> list[str]:
    """All of a request to Anthropic in the order in which it is cached, a block a text."""
    system = body.get("system") or []
    content = [block for message in body["messages"] for block in message["content"]]
    return [json.dumps(block) for block in [*body.get("tools", []), *system, *content]]


@pytest.mark.process
@pytest.mark.usefixtures("alone")
async def test_in_a_loop_of_ten_steps_little_is_left_unmarked() -> None:
    """What stands before a mark of the request before is read from the cache; the rest is new."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    body: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "c", "usage": usage}
    body |= {"content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn"}
    described = ToolSpec(WEATHER.name, WEATHER.description * 30, WEATHER.parameters)
    turns = [user("What is the weather? " * 100)]  # with the tools some 3,000 characters
    async with raw_server(*[[whole(json.dumps(body))]] * 10) as server:
        model = LiteLLMModel(ModelSpec(name=CLAUDE.name, base_url=server.url, api_key="k-test-123456"))
        for number in range(10):
            await hear(model, asked(*turns, tools=[described], stream=False))
            turns += step(number, f"result {number}: " + "21 degrees, no wind. " * 15)
        sent = [blocks(one.body) for one in server.requests]
    shares = []
    for before, now in pairwise(sent):
        marks = [index for index, block in enumerate(before) if "cache_control" in block]
        assert 0 < len([block for block in now if "cache_control" in block]) <= 4
        plain = [block.replace(', "cache_control": {"type": "ephemeral"}', "") for block in now]
        known = [block.replace(', "cache_control": {"type": "ephemeral"}', "") for block in before]
        end = marks[-1] + 1
        assert plain[:end] == known[:end]
        shares.append(sum(map(len, plain[end:])) / sum(map(len, plain)))
    assert max(shares) < 0.2, shares


@pytest.mark.process
@pytest.mark.usefixtures("alone")
async def test_bedrock_gets_the_marks_as_its_cache_points() -> None:
    said = {"message": {"role": "assistant", "content": [{"text": "ok"}]}}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    body = {"output": said, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
    login = {"aws_region_name": "us-east-1", "aws_access_key_id": "AKIATEST", "aws_secret_access_key": "s"}
    claude = "bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0"
    async with raw_server([whole(json.dumps(body))]) as server:
        model = LiteLLMModel(ModelSpec(name=claude, base_url=server.url, params=login))
        await hear(model, asked(user("Hi"), *step(1), tools=[WEATHER], stream=False))
    sent = server.requests[0].body
    point = {"cachePoint": {"type": "default"}}
    asking, _, result = sent["messages"]
    for marked_part in (sent["toolConfig"]["tools"], sent["system"], asking["content"], result["content"]):
        assert [one == point for one in marked_part] == [False, True]


@pytest.mark.process
@pytest.mark.usefixtures("alone")
async def test_vertex_gets_the_four_marks_of_anthropic() -> None:
    """With a service account of its own, whose tokens come from the server, too."""
    token = {"access_token": "ya29.test", "expires_in": 3600, "token_type": "Bearer"}
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 700}
    body: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "c", "usage": usage}
    body |= {"content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn"}
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "a@p.example", "private_key": pem}
    async with raw_server([whole(json.dumps(token))], [whole(json.dumps(body))]) as server:
        account |= {"project_id": "p", "token_uri": f"{server.url}/token"}
        params = {"vertex_credentials": json.dumps(account), "vertex_location": "us-east5"}
        claude = "vertex_ai/claude-sonnet-4-5@20250929"
        model = LiteLLMModel(ModelSpec(name=claude, base_url=f"{server.url}/claude", params=params))
        turns = [user("Hi"), *step(1)]
        reply = (await hear(model, asked(*turns, tools=[WEATHER, WEATHER], stream=False))).reply
    assert reply.usage.written_tokens == 700
    sent = server.requests[1]
    assert sent.path == "/claude:rawPredict"
    assert sent.headers["authorization"] == "Bearer ya29.test"
    assert ["cache_control" in tool for tool in sent.body["tools"]] == [False, True]
    assert ["cache_control" in json.dumps(one) for one in sent.body["system"]] == [True]
    assert ["cache_control" in json.dumps(one) for one in sent.body["messages"]] == [True, False, True]


def test_tokens_written_to_a_cache_are_told_and_paid_for() -> None:
    details = Json(cached_tokens=400, cache_creation_tokens=500)
    usage = reported(Json(prompt_tokens=1000, completion_tokens=0, prompt_tokens_details=details))
    assert (usage.cached_tokens, usage.written_tokens) == (400, 500)
    usage = reported(
        Json(prompt_tokens=9, completion_tokens=0, prompt_cache_hit_tokens=4, cache_write_tokens=2)
    )
    assert (usage.cached_tokens, usage.written_tokens) == (4, 2)
    read = listed_usd(CLAUDE, Usage(input_tokens=1_000_000, cached_tokens=1_000_000))
    written = listed_usd(CLAUDE, Usage(input_tokens=1_000_000, written_tokens=1_000_000))
    plain = listed_usd(CLAUDE, Usage(input_tokens=1_000_000))
    assert read is not None
    assert written is not None
    assert plain is not None
    assert read < plain < written
