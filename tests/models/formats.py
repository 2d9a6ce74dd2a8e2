"""What the formats of other providers send, in order and odd: for both routes to read alike."""

import json
from typing import Any

from tests.support.raw_server import STREAM_END, Step, piece, stream_head, whole


def line(value: Any) -> str:
    """A server-sent event; a text is one already."""
    if isinstance(value, str):
        return value
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n"


def stream(*parts: Any, end: Step = STREAM_END) -> list[Step]:
    """Texts as they are, anything else as an event."""
    return [stream_head(), *(piece(part if isinstance(part, bytes) else line(part)) for part in parts), end]


# Anthropic's

USAGE = {"input_tokens": 11, "output_tokens": 7}
CLAUDE = {"id": "m1", "type": "message", "role": "assistant", "model": "c", "stop_sequence": None}


def start(**usage: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        **CLAUDE,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 11, "output_tokens": 1} | usage,
    }
    return {"type": "message_start", "message": said}


def block(index: int, begun: Any, *deltas: Any, ends: bool = True) -> list[dict[str, Any]]:
    made = [{"type": "content_block_start", "index": index, "content_block": begun}]
    made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [*made, {"type": "content_block_stop", "index": index}] if ends else made


def text(index: int, *texts: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": one} for one in texts))


def tool(
    index: int, *pieces: str, of: str = "toolu_1", ends: bool = True, **more: Any
) -> list[dict[str, Any]]:
    begun = {"type": "tool_use", "id": of, "name": "get_weather", "input": {}, **more}
    return block(
        index, begun, *({"type": "input_json_delta", "partial_json": one} for one in pieces), ends=ends
    )


def finish(word: Any = "end_turn", usage: Any = USAGE, **more: Any) -> list[dict[str, Any]]:
    delta = {"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None, **more}}
    return [delta | ({"usage": usage} if usage is not None else {}), {"type": "message_stop"}]


def claude(content: Any, word: Any = "end_turn", usage: Any = USAGE, **more: Any) -> list[Step]:
    return [whole(json.dumps({**CLAUDE, "content": content, "stop_reason": word, "usage": usage, **more}))]


THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Six times "},
    {"type": "thinking_delta", "thinking": "seven."},
    {"type": "signature_delta", "signature": "sig=="},
)
REDACTED = block(1, {"type": "redacted_thinking", "data": "secret"})
PING = {"type": "ping"}
OSLO = '{"city": "Oslo"}'
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {"type": "web_search_result", "url": "https://x.example", "title": "X", "encrypted_content": "e"}
    ],
}
SEARCH = [
    *block(
        0,
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query": "x"}'},
    ),
    *block(1, FOUND),
]
PLAIN = [start(), *text(0, "Hel", "lo"), *finish()]
EVERY = "".join(map(line, PLAIN))
OVERLOAD = {"type": "error", "error": {"type": "overloaded_error", "message": "free-models"}}
HELLO = [{"type": "text", "text": "Hello"}]
PROSE = [{"type": "text", "text": "Let me see."}]
CALLED = [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}]

Hello: Any = ("Hello", [], (11, 7), "stop")
Counted: Any = ("Hello", [], None, "stop")
Called: Any = ("", [OSLO], (11, 7), "tool_calls")

ANTHROPIC: dict[str, tuple[list[Step], Any]] = {
    "nothing odd": (stream(*PLAIN), Hello),
    "pings and comments": (stream(": ping\n\n", PING, *PLAIN[:2], PING, ": x\n\n", *PLAIN[2:]), Hello),
    "events of other kinds": (stream(*PLAIN[:2], {"type": "news", "delta": 3}, *PLAIN[2:]), Hello),
    "blocks of other kinds": (
        stream(
            start(),
            *block(0, {"type": "news", "x": 1}, {"type": "news_delta", "y": 2}),
            *text(1, "Hello"),
            *finish(),
        ),
        Hello,
    ),
    "a byte order mark": (stream(b"\xef\xbb\xbf" + EVERY.encode()), Hello),
    "CR LF": (stream(EVERY.replace("\n", "\r\n").encode()), Hello),
    "no names of events": (stream(*(f"data: {json.dumps(one)}\n\n" for one in PLAIN)), Hello),
    "a byte at a time": (stream(*(bytes([byte]) for byte in EVERY.encode())), Hello),
    "no blank line at the end": (stream(EVERY.rstrip().encode()), Hello),
    "no message_stop": (stream(*PLAIN[:-1]), Hello),
    "[DONE] behind it": (stream(*PLAIN, "data: [DONE]\n\n"), Hello),
    "the wrong type of content": (
        [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + EVERY.encode()],
        Hello,
    ),
    "text in the start of its block": (
        stream(start(), *block(0, {"type": "text", "text": "Hello"}), *finish()),
        Hello,
    ),
    "two texts": (stream(start(), *text(0, "Hel"), *text(1, "lo"), *finish()), Hello),
    "a whole": (claude(HELLO), Hello),
    "a whole, called a stream": (
        [
            whole(
                json.dumps({**CLAUDE, "content": HELLO, "stop_reason": "end_turn", "usage": USAGE}),
                content_type="text/event-stream",
            )
        ],
        Hello,
    ),
    "usage with caches": (
        stream(
            start(cache_read_input_tokens=100, cache_creation_input_tokens=20),
            *text(0, "Hello"),
            *finish(usage={"output_tokens": 7}),
        ),
        ("Hello", [], (131, 7), "stop"),
    ),
    "a whole with caches": (
        claude(HELLO, usage={**USAGE, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}),
        ("Hello", [], (131, 7), "stop"),
    ),
    "usage with thoughts": (
        stream(
            start(),
            *text(0, "Hello"),
            *finish(usage={**USAGE, "output_tokens_details": {"thinking_tokens": 3}}),
        ),
        Hello,
    ),
    "usage null": (
        stream(
            start(cache_read_input_tokens=None),
            *text(0, "Hello"),
            *finish(usage={"input_tokens": None, "output_tokens": 7}),
        ),
        Hello,
    ),
    "a call": (stream(start(), *tool(0, '{"city"', ': "Oslo"}'), *finish("tool_use")), Called),
    "a call that ends the turn": (stream(start(), *tool(0, OSLO), *finish("end_turn")), Called),
    "a call of nothing": (
        stream(start(), *tool(0), *finish("tool_use")),
        ("", ["{}"], (11, 7), "tool_calls"),
    ),
    "a call of an empty piece": (
        stream(start(), *tool(0, ""), *finish("tool_use")),
        ("", ["{}"], (11, 7), "tool_calls"),
    ),
    "a call without an end": (stream(start(), *tool(0, OSLO, ends=False), *finish("tool_use")), Called),
    "text and calls": (
        stream(start(), *text(0, "Hello"), *tool(1, OSLO), *tool(2, "{}", of="toolu_2"), *finish("tool_use")),
        ("Hello", [OSLO, "{}"], (11, 7), "tool_calls"),
    ),
    "a whole with calls": (
        claude([*HELLO, *CALLED], "tool_use"),
        ("Hello", [OSLO], (11, 7), "tool_calls"),
    ),
    "thoughts": (
        stream(start(), *THINKING, *REDACTED, *text(2, "Hello"), *finish()),
        Hello,
    ),
    "thoughts before a call": (
        stream(start(), *THINKING, *tool(1, OSLO), *finish("tool_use")),
        Called,
    ),
    "a whole with thoughts": (
        claude(
            [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                *HELLO,
            ]
        ),
        Hello,
    ),
    "thoughts left out": (
        stream(
            start(),
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "signature_delta", "signature": "s"},
            ),
            *text(1, "Hello"),
            *finish(),
        ),
        Hello,
    ),
    "a search": (stream(start(), *SEARCH, *text(2, "Hello"), *finish()), Hello),
    "citations": (
        stream(
            start(),
            *block(
                0,
                {"type": "text", "text": "", "citations": []},
                {"type": "text_delta", "text": "Hello"},
                {"type": "citations_delta", "citation": {"url": "u"}},
            ),
            *finish(),
        ),
        Hello,
    ),
    "cut at the limit": (
        stream(start(), *text(0, "Hello"), *finish("max_tokens")),
        ("Hello", [], (11, 7), "length"),
    ),
    "a call cut at the limit": (
        stream(start(), *tool(0, '{"city": "Os', ends=False), *finish("max_tokens")),
        ("", ['{"city": "Os'], (11, 7), "length"),
    ),
    "the window is full": (
        stream(start(), *text(0, "Hello"), *finish("model_context_window_exceeded")),
        ("Hello", [], (11, 7), "length"),
    ),
    "refused": (
        stream(start(), *text(0, "Hello"), *finish("refusal", stop_details={"explanation": "No."})),
        ("Hello", [], (11, 7), "refused"),
    ),
    "an end of another kind": (stream(start(), *text(0, "Hello"), *finish("news")), Hello),
    "no word for the end": (stream(start(), *text(0, "Hello"), *finish(None)), Hello),
    "broken behind the end": (stream(*PLAIN[:-1], end="reset"), Hello),
    # failures
    "an error in a 200": ([whole(json.dumps(OVERLOAD))], "unavailable"),
    "an error as the first event": (stream(OVERLOAD), "unavailable"),
    "an error without its name": (stream(f"data: {json.dumps(OVERLOAD)}\n\n"), "unavailable"),
    "an error in the middle": (stream(*PLAIN[:3], OVERLOAD), "broken_stream"),
    "too long": (
        [
            whole(
                json.dumps(
                    {
                        "type": "error",
                        "error": {
                            "type": "invalid_request_error",
                            "message": "prompt is too long: free-models",
                        },
                    }
                ),
                status=400,
            )
        ],
        "context",
    ),
    "broken off": (stream(*PLAIN[:3]), "broken_stream"),
    "broken off in a call": (stream(start(), *tool(0, '{"ci', ends=False)), "broken_stream"),
    "broken off in a thought": (stream(start(), *THINKING[:2]), "protocol"),
    "cut in an event": (stream(*PLAIN[:3], 'data: {"type": "content_bl'), "broken_stream"),
    "a connection that breaks": (stream(*PLAIN[:3], end="reset"), "broken_stream"),
    "nothing": (stream(), "protocol"),
    "an empty body": ([whole("")], "protocol"),
    "a page": ([whole("<html><body>Log in</body></html>", content_type="text/html")], "protocol"),
    "JSON of another kind": ([whole("[1]")], "protocol"),
    "another format": ([whole(json.dumps({"choices": []}))], "protocol"),
    "nested beyond all": (stream('data: {"type": ' + "[" * 50_000 + "]" * 50_000 + "}\n\n"), "protocol"),
    "a redirect": ([whole("", status=307, Location="http://127.0.0.1:9/else")], "protocol"),
}


# Gemini's

COUNTED = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}


def gemini(*parts: Any, end: Any = "STOP", usage: Any = COUNTED, **more: Any) -> dict[str, Any]:
    """One event, or a whole."""
    candidate = {"index": 0, "content": {"role": "model", "parts": list(parts)}} | (
        {"finishReason": end} if end else {}
    )
    return {"candidates": [candidate], **({"usageMetadata": usage} if usage else {}), **more}


def at_once(*parts: Any, **more: Any) -> list[Step]:
    return [whole(json.dumps(gemini(*parts, **more)))]


HEL, LO = gemini({"text": "Hel"}, end=None), gemini({"text": "lo"})
GREETING = "".join(map(line, (HEL, LO)))
WEATHER_CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}
THINKS = {"text": "Six times seven.", "thought": True}
EXHAUSTED = {"error": {"code": 429, "message": "free-models", "status": "RESOURCE_EXHAUSTED"}}

GEMINI: dict[str, tuple[list[Step], Any]] = {
    "nothing odd": (stream(HEL, LO), Hello),
    "comments": (stream(": ping\n\n", HEL, ": x\n\n", LO), Hello),
    "a byte order mark": (stream(b"\xef\xbb\xbf" + GREETING.encode()), Hello),
    "CR LF": (stream(GREETING.replace("\n", "\r\n").encode()), Hello),
    "a byte at a time": (stream(*(bytes([byte]) for byte in GREETING.encode())), Hello),
    "no blank line at the end": (stream(GREETING.rstrip().encode()), Hello),
    "two parts": (stream(gemini({"text": "Hel"}, {"text": "lo"})), Hello),
    "an end of its own": (stream(gemini({"text": "Hello"}, end=None), gemini()), Hello),
    "an end without a content": (
        stream(
            gemini({"text": "Hello"}, end=None),
            {"candidates": [{"finishReason": "STOP"}], "usageMetadata": COUNTED},
        ),
        Hello,
    ),
    "an empty text at the end": (stream(gemini({"text": "Hello"}, end=None), gemini({"text": ""})), Hello),
    "a whole": (at_once({"text": "Hello"}), Hello),
    "a whole, called a stream": (
        [whole(json.dumps(gemini({"text": "Hello"})), content_type="text/event-stream")],
        Hello,
    ),
    "a list of events": ([whole(json.dumps([HEL, LO]))], Hello),
    "usage in the last event alone": (stream(gemini({"text": "Hel"}, end=None, usage=None), LO), Hello),
    "usage with a cache": (
        stream(HEL, gemini({"text": "lo"}, usage={**COUNTED, "cachedContentTokenCount": 5})),
        Hello,
    ),
    "usage with thoughts": (
        stream(
            HEL, gemini({"text": "lo"}, usage={**COUNTED, "thoughtsTokenCount": 30, "totalTokenCount": 48})
        ),
        ("Hello", [], (11, 37), "stop"),
    ),
    "usage with thoughts counted in": (
        stream(HEL, gemini({"text": "lo"}, usage={**COUNTED, "thoughtsTokenCount": 3})),
        Hello,
    ),
    "usage of what tools read": (
        stream(
            HEL,
            gemini({"text": "lo"}, usage={**COUNTED, "toolUsePromptTokenCount": 9, "totalTokenCount": 27}),
        ),
        ("Hello", [], (20, 7), "stop"),
    ),
    "no usage": (stream(gemini({"text": "Hello"}, usage=None)), Counted),
    "a call": (stream(gemini(WEATHER_CALL)), Called),
    "a call, then the end": (stream(gemini(WEATHER_CALL, end=None), gemini({"text": ""})), Called),
    "a call of nothing": (
        stream(gemini({"functionCall": {"name": "get_weather"}})),
        ("", ["{}"], (11, 7), "tool_calls"),
    ),
    "a call with an id and a signature": (
        stream(
            gemini(
                {"functionCall": {**WEATHER_CALL["functionCall"], "id": "f1"}, "thoughtSignature": "sig=="}
            )
        ),
        Called,
    ),
    "text and calls": (
        stream(gemini({"text": "Hello"}, end=None), gemini(WEATHER_CALL, WEATHER_CALL)),
        ("Hello", [OSLO, OSLO], (11, 7), "tool_calls"),
    ),
    "calls in two events": (
        stream(gemini(WEATHER_CALL, end=None), gemini(WEATHER_CALL)),
        ("", [OSLO, OSLO], (11, 7), "tool_calls"),
    ),
    "a whole with calls": (
        at_once({"text": "Hello"}, WEATHER_CALL),
        ("Hello", [OSLO], (11, 7), "tool_calls"),
    ),
    "thoughts": (stream(gemini(THINKS, end=None), LO | gemini({"text": "Hello"})), Hello),
    "thoughts with a signature": (
        stream(gemini({**THINKS, "thoughtSignature": "s"}, end=None), gemini({"text": "Hello"})),
        Hello,
    ),
    "a signature beside the text": (stream(gemini({"text": "Hello", "thoughtSignature": "s"})), Hello),
    "a whole with thoughts": (at_once(THINKS, {"text": "Hello"}), Hello),
    "parts of other kinds": (
        stream(
            gemini(
                {"executableCode": {"code": "1"}},
                {"text": "Hello"},
                {"inlineData": {"mimeType": "image/png", "data": "aa"}},
            )
        ),
        Hello,
    ),
    "two candidates": (
        stream(
            {
                **gemini({"text": "Hello"}),
                "candidates": [
                    *gemini({"text": "Hello"})["candidates"],
                    {"index": 1, "content": {"parts": [{"text": "No"}]}},
                ],
            }
        ),
        Hello,
    ),
    "cut at the limit": (
        stream(gemini({"text": "Hello"}, end="MAX_TOKENS")),
        ("Hello", [], (11, 7), "length"),
    ),
    "filtered": (stream(HEL, gemini({"text": "lo"}, end="SAFETY")), ("Hello", [], (11, 7), "filtered")),
    "filtered at once": (at_once({"text": "Hello"}, end="RECITATION"), ("Hello", [], (11, 7), "filtered")),
    "an end of another kind": (stream(gemini({"text": "Hello"}, end="NEWS")), Hello),
    "a prompt that is blocked": (
        stream(
            {
                "promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11},
            }
        ),
        ("", [], (11, 0), "filtered"),
    ),
    "broken behind the end": (stream(HEL, LO, end="reset"), Hello),
    # failures
    "a call it could not read": (stream(gemini(end="MALFORMED_FUNCTION_CALL")), "broken_stream"),
    "an error in a 200": ([whole(json.dumps(EXHAUSTED))], "rate_limit"),
    "an error as the first event": (stream(EXHAUSTED), "rate_limit"),
    "an error in the middle": (stream(HEL, EXHAUSTED), "broken_stream"),
    "an error in a list": ([whole(json.dumps([EXHAUSTED]), status=429)], "rate_limit"),
    "a refused key": (
        [
            whole(
                json.dumps(
                    {
                        "error": {
                            "code": 400,
                            "message": "API key not valid. free-models",
                            "status": "INVALID_ARGUMENT",
                        }
                    }
                ),
                status=400,
            )
        ],
        "auth",
    ),
    "broken off": (stream(HEL), "broken_stream"),
    "cut in an event": (stream(HEL, 'data: {"candid'), "broken_stream"),
    "a connection that breaks": (stream(HEL, end="reset"), "broken_stream"),
    "nothing": (stream(), "protocol"),
    "an empty body": ([whole("")], "protocol"),
    "a page": ([whole("<html><body>Log in</body></html>", content_type="text/html")], "protocol"),
    "JSON of another kind": ([whole("7")], "protocol"),
    "another format": ([whole(json.dumps({"choices": []}))], "protocol"),
    "nested beyond all": (
        stream('data: {"candidates": ' + "[" * 50_000 + "]" * 50_000 + "}\n\n"),
        "protocol",
    ),
    "a redirect": ([whole("", status=307, Location="http://127.0.0.1:9/else")], "protocol"),
}
