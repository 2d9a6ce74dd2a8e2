"""What servers really send, on both routes, streamed and whole: the same text, calls, usage, end and error."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from auwgent.errors import ProviderError
from auwgent.models import gathered
from auwgent.models.base import ModelRequest, ModelSpec, Route
from auwgent.models.direct import DirectModel
from auwgent.models.litellm import LiteLLMModel
from tests.models.asking import WEATHER, asked, hear, user
from tests.support.raw_server import STREAM_END, Step, piece, raw_server, stream_head, whole

pytestmark = pytest.mark.usefixtures("alone")

ROUTES: dict[str, Callable[[ModelSpec], Route]] = {"direct": DirectModel, "litellm": LiteLLMModel}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}


def chunk(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    around = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**around, "choices": [choice], **more}


def message(said: Any, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def line(value: Any) -> str:
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n"


def stream(*parts: Any, end: Step = STREAM_END) -> list[Step]:
    """Texts as they are, anything else as an event."""
    return [
        stream_head(),
        *(piece(part if isinstance(part, str | bytes) else line(part)) for part in parts),
        end,
    ]


HI, LO = chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})
STOP, COUNT, DONE = chunk({}, "stop"), {"choices": [], "usage": USAGE}, line("[DONE]")
PLAIN = (HI, LO, STOP, COUNT, DONE)
RATE = {"message": "Rate limit exceeded: free-models-per-day", "code": 429}
EVERY = "".join(part if isinstance(part, str) else line(part) for part in PLAIN)

Hello: Any = ("Hello", [], (11, 7), "stop")
Counted: Any = ("Hello", [], None, "stop")  # by ourselves
Called: Any = ("", [("get_weather", '{"city": "Oslo"}')], (11, 7), "tool_calls")

ANSWERS: dict[str, tuple[list[Step], Any]] = {
    "nothing odd": (stream(*PLAIN), Hello),
    "comments and keep-alives": (
        stream(": OPENROUTER PROCESSING\n\n", HI, ": ping\n\n", ":\n\n", LO, STOP, COUNT, DONE),
        Hello,
    ),
    "events without JSON": (
        stream(line("ping"), HI, line("keep-alive"), "data:\n\n", LO, STOP, COUNT, DONE),
        Hello,
    ),
    "named events, ids and retry": (
        stream("retry: 3000\n\n", "event: ping\nid: 7\ndata: {}\n\n", *PLAIN),
        Hello,
    ),
    "a byte order mark": (stream(b"\xef\xbb\xbf" + EVERY.encode()), Hello),
    "blank lines first": (stream("\n\n\r\n", *PLAIN), Hello),
    "CR LF": (stream(EVERY.replace("\n", "\r\n")), Hello),
    "CR alone": (stream(EVERY.replace("\n", "\r")), Hello),
    "no space behind data:": (stream(EVERY.replace("data: ", "data:")), Hello),
    "an event over several lines": (
        stream("data: " + json.dumps(HI, indent=1).replace("\n", "\ndata: ") + "\n\n", LO, STOP, COUNT, DONE),
        Hello,
    ),
    "a byte at a time": (stream(*(bytes([byte]) for byte in EVERY.encode())), Hello),
    "no [DONE]": (stream(HI, LO, STOP, COUNT), Hello),
    "no blank line at the end": (stream(HI, LO, STOP, "data: " + json.dumps(COUNT)), Hello),
    "no type of content": ([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + EVERY.encode()], Hello),
    "the wrong type of content": (
        [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + EVERY.encode()],
        Hello,
    ),
    "null deltas": (
        stream(
            chunk(None), HI, chunk({"content": None, "tool_calls": None, "role": None}), LO, STOP, COUNT, DONE
        ),
        Hello,
    ),
    "choices empty, null and missing": (stream({"choices": []}, {"choices": None}, {}, *PLAIN), Hello),
    "nothing but choices": (
        stream(
            {"choices": [{"delta": {"content": "Hello"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            COUNT,
        ),
        Hello,
    ),
    "the finish beside the text": (stream(HI, chunk({"content": "lo"}, "stop"), COUNT, DONE), Hello),
    "the finish twice": (stream(HI, LO, STOP, STOP, COUNT, DONE), Hello),
    "usage in the last piece": (stream(HI, LO, chunk({}, "stop", usage=USAGE), DONE), Hello),
    "usage in every piece": (
        stream(
            {**HI, "usage": {"prompt_tokens": 11, "completion_tokens": 1}},
            LO,
            chunk({}, "stop", usage=USAGE),
            DONE,
        ),
        Hello,
    ),
    "usage within the choice": (
        stream(
            HI, LO, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}, DONE
        ),
        Hello,
    ),
    "usage of Groq's": (stream(HI, LO, chunk({}, "stop", x_groq={"id": "r", "usage": USAGE}), DONE), Hello),
    "usage by other names": (
        stream(HI, LO, STOP, {"choices": [], "usage": {"input_tokens": 11, "output_tokens": 7}}, DONE),
        Hello,
    ),
    "usage before the end": (stream(HI, {"choices": [], "usage": USAGE}, LO, STOP, DONE), Hello),
    "no usage": (stream(HI, LO, STOP, DONE), Counted),
    "usage null": (stream(HI, LO, chunk({}, "stop", usage=None), DONE), Counted),
    "usage as texts": (
        stream(
            HI, LO, STOP, {"choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": "7"}}, DONE
        ),
        Counted,
    ),
    "usage below zero": (
        stream(HI, LO, STOP, {"choices": [], "usage": {"prompt_tokens": -5, "completion_tokens": 7}}, DONE),
        Counted,
    ),
    "usage beyond all": (
        stream(
            HI, LO, STOP, {"choices": [], "usage": {"prompt_tokens": 10**30, "completion_tokens": 7}}, DONE
        ),
        Counted,
    ),
    "usage not a number": (
        stream(
            HI,
            LO,
            STOP,
            'data: {"choices": [], "usage": {"prompt_tokens": NaN, "completion_tokens": 1e999}}\n\n',
            DONE,
        ),
        Counted,
    ),
    "usage as a list": (stream(HI, LO, STOP, {"choices": [], "usage": [1]}, DONE), Counted),
    "content as parts": (
        stream(chunk({"content": [{"type": "text", "text": "Hel"}]}), LO, STOP, COUNT, DONE),
        Hello,
    ),
    "the whole message again at the end": (
        stream(
            HI,
            LO,
            {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]},
            COUNT,
            DONE,
        ),
        Hello,
    ),
    "the whole in place of a stream": (
        [whole(json.dumps(message({"role": "assistant", "content": "Hello"}, usage=USAGE)))],
        Hello,
    ),
    "the whole, after white space": (
        [whole("\n\n  " + json.dumps(message({"content": "Hello"}, usage=USAGE)), content_type="text/plain")],
        Hello,
    ),
    "the whole, called a stream": (
        [whole(json.dumps(message({"content": "Hello"}, usage=USAGE)), content_type="text/event-stream")],
        Hello,
    ),
    "a call": (stream(chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"), COUNT, DONE), Called),
    "a call that ends with stop": (
        stream(chunk({"tool_calls": [CALL]}), chunk({}, "stop"), COUNT, DONE),
        Called,
    ),
    "arguments as an object": (
        stream(
            chunk(
                {"tool_calls": [{**CALL, "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]}
            ),
            chunk({}, "tool_calls"),
            COUNT,
            DONE,
        ),
        Called,
    ),
    "a call in the old form": (
        stream(
            chunk({"function_call": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}),
            chunk({}, "function_call"),
            COUNT,
            DONE,
        ),
        Called,
    ),
    "a call without an index": (
        stream(
            chunk({"tool_calls": [{k: v for k, v in CALL.items() if k != "index"}]}),
            chunk({}, "tool_calls"),
            COUNT,
            DONE,
        ),
        Called,
    ),
    "a whole call in place of a stream": (
        [whole(json.dumps(message({"content": None, "tool_calls": [CALL]}, "tool_calls", usage=USAGE)))],
        Called,
    ),
    "cut at the limit": (stream(HI, LO, chunk({}, "length"), COUNT, DONE), ("Hello", [], (11, 7), "length")),
    "broken behind the end": (stream(HI, LO, chunk({}, "stop", usage=USAGE), end="reset"), Hello),
    "cut behind the end": (stream(HI, LO, STOP, COUNT, 'data: {"choi', end="reset"), Hello),
    # failures
    "an error in a 200": ([whole(json.dumps({"error": RATE}))], "rate_limit"),
    "an error in a 200, its code as a text": (
        [whole(json.dumps({"error": {**RATE, "code": "429"}}))],
        "rate_limit",
    ),
    "an error in a 200, by its type": (
        [whole(json.dumps({"error": {"type": "rate_limit_error", "message": "free-models"}}))],
        "rate_limit",
    ),
    "an error in a 200, its code beside it": (
        [whole(json.dumps({"code": 429, "error": "free-models"}))],
        "rate_limit",
    ),
    "an error in a 200, as vLLM has it": (
        [whole(json.dumps({"object": "error", "message": "free-models", "code": 429}))],
        "rate_limit",
    ),
    "an overload in a 200": (
        [whole(json.dumps({"error": {"code": 503, "message": "free-models"}}))],
        "unavailable",
    ),
    "a refused key in a 200": (
        [whole(json.dumps({"error": {"code": 401, "message": "free-models"}}))],
        "auth",
    ),
    "a wrong request in a 200": (
        [whole(json.dumps({"error": {"code": 400, "message": "free-models"}}))],
        "bad_request",
    ),
    "too long in a 200": (
        [whole(json.dumps({"error": {"code": 400, "message": "maximum context length, free-models"}}))],
        "context",
    ),
    "an error without a code": ([whole(json.dumps({"error": {"message": "free-models"}}))], "unavailable"),
    "an error as the first event": (stream({"error": RATE}), "rate_limit"),
    "an error by its event's name": (
        stream('event: error\ndata: {"message": "free-models", "code": 429}\n\n'),
        "rate_limit",
    ),
    "an error after a comment": (stream(": ping\n\n", {"error": RATE}, DONE), "rate_limit"),
    "an error in the middle": (stream(HI, {"error": RATE}, DONE), "broken_stream"),
    "an error beside choices": (
        stream(HI, {**chunk({"content": ""}, "error"), "error": RATE}, DONE),
        "broken_stream",
    ),
    "an error as the finish": (stream(HI, chunk({}, "error"), DONE), "broken_stream"),
    "broken off": (stream(HI, LO), "broken_stream"),
    "broken off with [DONE]": (stream(HI, LO, DONE), "broken_stream"),
    "cut in an event": (stream(HI, 'data: {"choi'), "broken_stream"),
    "a connection that breaks": (stream(HI, end="reset"), "broken_stream"),
    "nothing": (stream(), "protocol"),
    "nothing but [DONE]": (stream(DONE), "protocol"),
    "an empty body": ([whole("")], "protocol"),
    "a page": ([whole("<html><body>Log in</body></html>", content_type="text/html")], "protocol"),
    "JSON of another kind": ([whole("[1]")], "protocol"),
    "choices that are none": ([whole('{"choices": 5}')], "protocol"),
    "nested beyond all": (stream('data: {"choices": ' + "[" * 50_000 + "]" * 50_000 + "}\n\n"), "protocol"),
    "a redirect": ([whole("", status=307, Location="http://127.0.0.1:9/else")], "protocol"),
    "a redirect with an answer": (
        [whole(EVERY, status=302, Location="/else", content_type="text/event-stream")],
        "protocol",
    ),
}


@pytest.mark.parametrize(
    "how",
    [{"stream": True}, {"stream": False}, {"stream": True, "shown": False}],
    ids=["streamed", "whole", "unseen"],
)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ANSWERS)
async def test_an_odd_answer_is_the_same_on_both_routes(name: str, route: str, how: dict[str, bool]) -> None:
    answer, expected = ANSWERS[name]
    async with raw_server(answer) as server:
        model = ROUTES[route](
            ModelSpec("openai/m", api_key="sk-test-canary-key", base_url=server.url, timeout=10)
        )
        request: ModelRequest = asked(user("Hi"), tools=[WEATHER], **how)
        if isinstance(expected, str):
            with pytest.raises(ProviderError) as caught:
                await hear(model, request)
            error = caught.value
            assert (error.fault, len(server.requests)) == (expected, 1), str(error)
            assert error.retryable == (error.fault in ("rate_limit", "unavailable", "broken_stream"))
            assert "free-models" in str(error) or "free-models" not in repr(answer)
            assert "redirect" not in name or "/else" in str(error)
            assert "canary" not in str(error)
        else:
            heard = await hear(model, request)
            reply, (text, calls, usage, end) = heard.reply, expected
            assert (reply.text, [(one.name, one.arguments) for one in reply.calls]) == (text, calls)
            assert reply.finish_reason == end
            if usage is None:
                assert reply.usage.estimated
                assert 0 < reply.usage.input_tokens < 1000
                assert 0 < reply.usage.output_tokens < 20
            else:
                assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.estimated) == (
                    *usage,
                    False,
                )


CLAUDE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 7},
}
COUNTED = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}


def gemini(*parts: Any, **more: Any) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": COUNTED, **more}


def begun(index: int, call: str, **given: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": call, "name": "get_weather", "input": given}
    return {"type": "content_block_start", "index": index, "content_block": block}


def part(index: int, text: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def claudes(*blocks: dict[str, Any]) -> list[Step]:
    return stream(
        {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
        *blocks,
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    )


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
}
ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city": "Oslo"}',
    "status": "completed",
}
NOW = {"functionCall": {"name": "now"}}
BOTH_CITIES = ("", [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})])
ABSURD = (
    ("anthropic/claude-sonnet-4-5", {"input_tokens": 10**30, "output_tokens": -5}),
    ("gemini/gemini-2.5-flash", {"promptTokenCount": 10**30, "candidatesTokenCount": -5}),
    ("gemini/gemini-2.5-flash", {"promptTokenCount": "7", "candidatesTokenCount": None}),
    ("openai/responses/gpt-5-mini", {"input_tokens": 10**30, "output_tokens": -5, "total_tokens": 1}),
    ("openai/responses/gpt-5-mini", {"input_tokens": "7", "output_tokens": 1.5}),
)
OTHERS: dict[str, tuple[str, list[Step], Any]] = {
    "Anthropic's whole in place of a stream": (
        "anthropic/claude-sonnet-4-5",
        [whole(json.dumps(CLAUDE))],
        ("Let me see.", [("get_weather", {"city": "Oslo"})]),
    ),
    "Anthropic's blocks among each other": (
        "anthropic/claude-sonnet-4-5",
        claudes(
            *(begun(0, "a"), begun(1, "b")),
            *(part(0, '{"city": '), part(1, '{"city": '), part(0, '"Oslo"}'), part(1, '"Rome"}')),
            *(closed(1), closed(0)),
        ),
        BOTH_CITIES,
    ),
    "Anthropic's blocks without an end": (
        "anthropic/claude-sonnet-4-5",
        claudes(
            *(begun(0, "a"), part(0, '{"city": "Oslo"}')),
            *(begun(1, "b"), part(1, '{"city": "Rome"}')),
        ),
        BOTH_CITIES,
    ),
    "Anthropic's arguments whole": (
        "anthropic/claude-sonnet-4-5",
        claudes(begun(0, "a", city="Oslo"), closed(0), begun(1, "b", city="Rome"), closed(1)),
        BOTH_CITIES,
    ),
    "a response whose pieces are left out": (
        "openai/responses/gpt-5-mini",
        stream(
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "arguments": ""}},
            {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
            {"type": "response.completed", "response": {**RESPONSE, "output": [ITEM]}},
        ),
        ("", [("get_weather", {"city": "Oslo"})]),
    ),
    "nothing but the end of a response": (
        "openai/responses/gpt-5-mini",
        stream({"type": "response.completed", "response": {**RESPONSE, "output": [ITEM]}}),
        ("", [("get_weather", {"city": "Oslo"})]),
    ),
    "Gemini's whole in place of a stream": (
        "gemini/gemini-2.5-flash",
        [whole(json.dumps(gemini({"text": "Hello"})))],
        ("Hello", []),
    ),
    "Gemini's list in place of a stream": (
        "gemini/gemini-2.5-flash",
        [whole(json.dumps([gemini({"text": "Hello"})]))],
        ("Hello", []),
    ),
    "Gemini's call without arguments": ("gemini/gemini-2.5-flash", stream(gemini(NOW)), ("", [("now", {})])),
    "a byte order mark and comments": (
        "gemini/gemini-2.5-flash",
        stream(b"\xef\xbb\xbf: ping\r\n\r\n", gemini({"text": "Hello"})),
        ("Hello", []),
    ),
    "Anthropic's error in a 200": (
        "anthropic/claude-sonnet-4-5",
        [
            whole(
                json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "free-models"}})
            )
        ],
        "unavailable",
    ),
    "Anthropic's error as an event": (
        "anthropic/claude-sonnet-4-5",
        stream(
            'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error", "message": "free"}}\n\n'
        ),
        "rate_limit",
    ),
    "Gemini's error in a 200": (
        "gemini/gemini-2.5-flash",
        stream({"error": {"code": 429, "message": "free-models", "status": "RESOURCE_EXHAUSTED"}}),
        "rate_limit",
    ),
}


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "route"),
    # LiteLLM alone speaks Responses
    [
        (name, way)
        for name in OTHERS
        for way in ROUTES
        if way == "litellm" or "/responses/" not in OTHERS[name][0]
    ],
)
async def test_odd_answers_of_other_formats(name: str, route: str) -> None:
    use, answer, expected = OTHERS[name]
    async with raw_server(answer) as server:
        model = ROUTES[route](ModelSpec(use, api_key="sk-test-canary-key", base_url=server.url, timeout=20))
        if isinstance(expected, str):
            with pytest.raises(ProviderError, match="free") as caught:
                await hear(model, asked(user("Hi"), tools=[WEATHER]))
            assert caught.value.fault == expected
        else:
            reply = (await hear(model, asked(user("Hi"), tools=[WEATHER]))).reply
            assert (reply.text, [(one.name, json.loads(one.arguments)) for one in reply.calls]) == expected
            assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 7)


@pytest.mark.process
@pytest.mark.parametrize(
    ("use", "usage", "route"),
    [(*one, way) for one in ABSURD for way in ROUTES if way == "litellm" or "/responses/" not in one[0]],
)
async def test_counts_that_cannot_be_are_not_believed(use: str, usage: Any, route: str) -> None:
    said = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [said]}
    answer = {
        "anthropic": {**CLAUDE, "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"},
        "gemini": gemini({"text": "Hello"}),
        "openai": {**RESPONSE, "output": [item]},
    }[use.partition("/")[0]]
    answer |= {"usageMetadata" if "gemini" in use else "usage": usage}
    for streams in (True, False):
        async with raw_server([whole(json.dumps(answer))]) as server:
            model = ROUTES[route](ModelSpec(use, api_key="sk-test", base_url=server.url, timeout=20))
            reply = (await hear(model, asked(user("Hi"), stream=streams))).reply
        assert reply.text == "Hello"
        assert reply.usage.estimated
        assert 0 < reply.usage.input_tokens < 1000


MODELS = (
    *("openai/m", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"),
    "openai/responses/gpt-5-mini",  # which LiteLLM alone speaks
)
NOTHING = ("42", "[null]", "null", "text", "", "{}", '{"output": 42, "choices": 42, "candidates": 42}')


@pytest.mark.process
@pytest.mark.parametrize("how", ["streamed", "whole", "in an event"])
@pytest.mark.parametrize("body", NOTHING)
@pytest.mark.parametrize(
    ("use", "route"),
    [(use, way) for use in MODELS for way in ROUTES if way == "litellm" or "/responses/" not in use],
)
async def test_what_is_no_answer_at_all_is_a_wrong_answer_and_no_outage(
    use: str, route: str, body: str, how: str
) -> None:
    answer = stream(line(body)) if how == "in an event" else [whole(body)]
    async with raw_server(answer) as server:
        model = ROUTES[route](ModelSpec(use, api_key="sk-test-canary-key", base_url=server.url, timeout=20))
        with pytest.raises(ProviderError) as caught:
            await hear(model, asked(user("Hi"), stream=how != "whole"))
    assert (caught.value.fault, caught.value.retryable) == ("protocol", False), str(caught.value)
    assert "server" in str(caught.value)


@pytest.mark.process
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("sent", [{**CLAUDE, "content": []}, {**RESPONSE, "output": []}])
async def test_the_end_of_an_answer_in_another_format_is_none(sent: dict[str, Any], route: str) -> None:
    async with raw_server(stream(sent)) as server:
        model = ROUTES[route](ModelSpec("openai/m", api_key="sk-test", base_url=server.url, timeout=20))
        with pytest.raises(ProviderError, match="another wire format"):
            await hear(model, asked(user("Hi")))


@pytest.mark.process
@pytest.mark.parametrize("streams", [True, False])
async def test_a_response_with_no_more_than_its_items_is_read(streams: bool) -> None:
    sent = {"object": "response", "status": "completed", "output": [42, ITEM]}
    async with raw_server([whole(json.dumps(sent))]) as server:
        model = LiteLLMModel(ModelSpec(MODELS[-1], api_key="sk-test", base_url=server.url, timeout=20))
        reply = (await hear(model, asked(user("Hi"), tools=[WEATHER], stream=streams))).reply
    assert [(one.name, json.loads(one.arguments)) for one in reply.calls] == [
        ("get_weather", {"city": "Oslo"})
    ]


@pytest.mark.process
@pytest.mark.parametrize("shown", [True, False])
async def test_litellm_keeps_few_of_the_pieces_of_a_long_answer(
    monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    kept: list[int] = []

    def forget(response: Any) -> None:
        gathered.forget(response)
        kept.append(len(response.chunks))

    monkeypatch.setattr("auwgent.models.litellm.forget", forget)
    monkeypatch.setattr(gathered, "KEPT", 50)
    words = [chunk({"content": f"{number} "}) for number in range(300)]
    async with raw_server(stream(*words, STOP, COUNT, DONE)) as server:
        model = LiteLLMModel(ModelSpec("openai/m", api_key="sk-test", base_url=server.url, timeout=20))
        reply = (await hear(model, asked(user("Hi"), shown=shown))).reply
    assert reply.text == "".join(f"{number} " for number in range(300))
    assert (reply.usage.input_tokens, reply.usage.estimated) == (11, False)
    assert (max(kept) <= 50) if shown else not kept


@pytest.mark.process
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("use", "route"),
    [(use, way) for use in MODELS for way in ROUTES if way == "litellm" or "/responses/" not in use],
)
async def test_a_detail_in_place_of_an_answer_is_what_the_provider_says(
    use: str, route: str, streams: bool
) -> None:
    async with raw_server([whole('{"detail": "The engine is asleep."}')]) as server:
        model = ROUTES[route](ModelSpec(use, api_key="sk-test", base_url=server.url, timeout=20))
        with pytest.raises(ProviderError, match="The engine is asleep") as caught:
            await hear(model, asked(user("Hi"), stream=streams))
    assert caught.value.fault == "unavailable"
