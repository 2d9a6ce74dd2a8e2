"""Thoughts that only their model can read, and tools that a provider runs itself: they go back to it alone."""

import json
from typing import Any

import pytest

from auwgent.models.base import ModelSpec, Reply
from auwgent.models.wire import params
from auwgent.session import ToolCall, Turn
from tests.models.asking import WEATHER, answered, asked, hear, model_of, user
from tests.models.test_ends import claude, gemini
from tests.models.test_ends_table import BEDROCK, bedrock, cohere
from tests.support.raw_server import STREAM_END, Step, event, raw_server, stream_head, whole

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

BOTH = pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
RESPONSES = "openai/responses/gpt-5-mini"
GEMINI = "gemini/gemini-3-pro-preview"
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
FIRST, SECOND = {**THOUGHT, "encrypted_content": "E1"}, {**THOUGHT, "id": "rs_2", "encrypted_content": "E2"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_a1",
    "name": "get_weather",
    "status": "completed",
}
CALL["arguments"] = '{"city": "Oslo"}'


def said(text: str) -> dict[str, Any]:
    words = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [words]}


def response(streams: bool, *items: Any, keeps: bool = True) -> list[Step]:
    """An answer of the Responses API; without `keeps` its last event repeats nothing of it."""
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    whole_one = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    whole_one |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage}
    if not streams:
        return [whole(json.dumps({**whole_one, "output": items}))]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole_one, "status": "in_progress", "output": []}}
    ]
    for index, item in enumerate(items):
        place = {"item_id": item["id"], "output_index": index}
        begun = {**item, "content": [], "arguments": ""}
        begun = {key: value for key, value in begun.items() if key in item}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        for words in item.get("content", ()):
            delta = {"content_index": 0, "delta": words["text"]}
            events.append({"type": "response.output_text.delta", **place, **delta})
        if "arguments" in item:
            delta = {"delta": item["arguments"]}
            events.append({"type": "response.function_call_arguments.delta", **place, **delta})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    last = {**whole_one, "output": items if keeps else []}
    events.append({"type": "response.completed", "response": last})
    numbered = ({**one, "sequence_number": number} for number, one in enumerate(events))
    return [stream_head(), *map(event, numbered), STREAM_END]


async def reply_of(name: str, answer: list[Step], *turns: Turn, **more: Any) -> tuple[Reply, Any]:
    """What a model says, and the body of the request."""
    is_aws = name.startswith("bedrock")
    async with raw_server(answer) as server:
        spec = ModelSpec(
            name,
            base_url=server.url,
            timeout=30,
            api_key=None if is_aws else "k-test-123456",
            params=BEDROCK if is_aws else {},
        )
        heard = await hear(model_of(spec), asked(*(turns or (user("Hi"),)), **more))
        return heard.reply, server.requests[-1].body


@BOTH
@pytest.mark.parametrize("keeps", [True, False], ids=["", "nothing repeated"])
async def test_encrypted_thoughts_go_back_to_the_model_they_came_from(streams: bool, keeps: bool) -> None:
    if not (streams or keeps):
        return
    answer = response(streams, FIRST, SECOND, CALL, keeps=keeps)
    reply, body = await reply_of(RESPONSES, answer, tools=[WEATHER], stream=streams)
    assert body["include"] == ["reasoning.encrypted_content"]
    turns = [user("Hi"), *answered(reply, "sunny")]
    _, body = await reply_of(
        RESPONSES, response(streams, said("ok")), *turns, tools=[WEATHER], stream=streams
    )
    # Older LiteLLM sends the system prompt as `instructions`, newer LiteLLM as the first message.
    sent = [item for item in body["input"] if item.get("role") != "system"]
    [prompt] = [body["instructions"]] if "instructions" in body else body["input"][: -len(sent)]
    assert "Be brief." in json.dumps(prompt)
    kinds = [item["type"] for item in sent]
    assert kinds == ["message", "reasoning", "reasoning", "function_call", "function_call_output"]
    assert [item.get("encrypted_content") for item in sent[1:3]] == ["E1", "E2"]
    assert [item["call_id"] for item in sent[3:]] == ["call_a1", "call_a1"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("openai/responses/gpt-5", response(False, said("ok"))),
        (
            "openai/gpt-5-mini",
            [whole('{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}')],
        ),
        ("anthropic/claude-sonnet-4-5", claude("end_turn", False, "ok")),
        (GEMINI, gemini("STOP", False, "ok")),
        ("cohere_chat/command-r-plus", cohere("COMPLETE", False, "ok")),
    ],
)
async def test_encrypted_thoughts_go_to_no_other_model(name: str, answer: list[Step]) -> None:
    reply, _ = await reply_of(RESPONSES, response(False, FIRST, CALL), tools=[WEATHER], stream=False)
    turns = [user("Hi"), *answered(reply, "sunny"), user("And?")]
    reply, body = await reply_of(name, answer, *turns, tools=[WEATHER], stream=False)
    assert reply.text == "ok"
    assert "E1" not in json.dumps(body)


async def test_thoughts_that_are_not_encrypted_do_not_go_back() -> None:
    reply, _ = await reply_of(RESPONSES, response(False, THOUGHT, said("Hello")), stream=False)
    assert reply.provider_data is None


def test_encrypted_thoughts_are_asked_for_where_the_model_thinks() -> None:
    thinks = {"supports_reasoning": True}
    assert "include" in params(ModelSpec("azure/responses/gpt-5"), thinks)
    assert "include" not in params(ModelSpec("openai/responses/gpt-4o-mini"), {})
    assert "include" not in params(ModelSpec("openai/gpt-5"), thinks)
    assert params(ModelSpec(RESPONSES, params={"include": []}), thinks)["include"] == []


@BOTH
async def test_a_response_without_a_word_is_an_empty_answer(streams: bool) -> None:
    for items in ((), (THOUGHT,), (SEARCH,)):
        reply, _ = await reply_of(RESPONSES, response(streams, *items), stream=streams)
        assert (reply.text, reply.calls, reply.finish_reason) == ("", (), "stop")


async def test_a_whole_response_in_place_of_a_stream_is_read() -> None:
    answer = response(False, FIRST, said("Hello"), CALL)
    reply, _ = await reply_of(RESPONSES, answer, tools=[WEATHER], stream=True)
    assert (reply.text, [call.arguments for call in reply.calls]) == ("Hello", [CALL["arguments"]])
    assert reply.provider_data == {"reasoning_items": [FIRST]}


# Tools that the provider runs itself


@BOTH
async def test_a_search_of_openai_is_no_call(streams: bool) -> None:
    answer = response(streams, FIRST, SEARCH, said("Sunny."))
    reply, _ = await reply_of(RESPONSES, answer, tools=[WEATHER], stream=streams)
    assert (reply.text, reply.calls, reply.finish_reason) == ("Sunny.", (), "stop")
    answer = response(streams, SEARCH, said("Sunny."), CALL)
    reply, _ = await reply_of(RESPONSES, answer, tools=[WEATHER], stream=streams)
    assert (reply.text, [call.name for call in reply.calls]) == ("Sunny.", ["get_weather"])


def of_gemini(streams: bool, *parts: Any, **more: Any) -> list[Step]:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP", **more}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    body = {"candidates": [candidate], "usageMetadata": usage}
    return [stream_head(), event(body), STREAM_END] if streams else [whole(json.dumps(body))]


@BOTH
async def test_a_search_of_gemini_is_no_call(streams: bool) -> None:
    found = {"webSearchQueries": ["oslo"], "groundingChunks": [{"web": {"uri": "https://x.example"}}]}
    answer = of_gemini(streams, {"text": "Sunny."}, groundingMetadata=found)
    reply, _ = await reply_of(GEMINI, answer, tools=[WEATHER], stream=streams)
    assert (reply.text, reply.calls) == ("Sunny.", ())
    ran = {"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"output": "1"}}
    reply, _ = await reply_of(GEMINI, of_gemini(streams, *ran, {"text": "One."}), stream=streams)
    assert (reply.text, reply.calls) == ("One.", ())


@BOTH
async def test_what_gemini_searched_for_goes_back_to_it_and_to_no_other(streams: bool) -> None:
    search = {"toolType": "GOOGLE_SEARCH_WEB", "id": "a1"}
    parts = (
        {"toolCall": {**search, "args": {"queries": ["oslo"]}}, "thoughtSignature": "U0lH"},
        {"toolResponse": {**search, "response": {"x": 1}}, "thoughtSignature": "U0lI"},
        {"text": "Sunny."},
        {"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}, "thoughtSignature": "U0lK"},
    )
    reply, _ = await reply_of(GEMINI, of_gemini(streams, *parts), tools=[WEATHER], stream=streams)
    assert [call.name for call in reply.calls] == ["get_weather"]
    turns = [user("Hi"), *answered(reply, "sunny")]
    _, body = await reply_of(
        GEMINI, of_gemini(streams, {"text": "ok"}), *turns, tools=[WEATHER], stream=streams
    )
    sent = json.dumps(body["contents"])
    assert all(one in sent for one in ("GOOGLE_SEARCH_WEB", "U0lH", "U0lI", "U0lK"))
    _, body = await reply_of(
        "anthropic/claude-sonnet-4-5", claude("end_turn", False), *turns, tools=[WEATHER]
    )
    sent = json.dumps(body)
    assert not any(one in sent for one in ("GOOGLE_SEARCH_WEB", "U0lH", "U0lI", "U0lK"))


# Calls in a history, and no tools


@pytest.mark.parametrize("made_up", ["get_weather", "mcp:time now!"])
async def test_a_history_of_calls_is_accepted_without_tools(made_up: str) -> None:
    call = ToolCall(id="c1", name=made_up, args={"city": "Oslo"})
    turns = [user("Hi"), Turn(role="assistant", tool_calls=[call])]
    turns += [Turn(role="tool", tool_call_id="c1", name=made_up, content="sunny"), user("And?")]
    claude_answer = claude("end_turn", False)
    _, body = await reply_of("anthropic/claude-sonnet-4-5", claude_answer, *turns, stream=False)
    [used] = [
        block for message in body["messages"] for block in message["content"] if block["type"] == "tool_use"
    ]
    assert [tool["name"] for tool in body["tools"]] == [used["name"]]
    assert body["tool_choice"] == {"type": "none"}
    for model in ("anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"):
        answer = bedrock("end_turn", False, "ok")
        _, body = await reply_of(f"bedrock/converse/{model}", answer, *turns, stream=False)
        sent = json.dumps(body)
        assert ("toolUse" in sent) == ("toolConfig" in sent), "Bedrock refuses one without the other"
        assert "sunny" in sent
    _, body = await reply_of(GEMINI, gemini("STOP", False), *turns, stream=False)
    assert "tools" not in body
