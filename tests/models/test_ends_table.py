"""The table of ends: a provider's word, what the user then sees, what is stored, and how the command exits.

Each row is a run of an agent against a server that speaks the provider's format, streamed and whole, on both routes
where there are two. docs/providers.md has the same table.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auwgent import ProviderError, Runtime
from auwgent.models.ends import End
from auwgent.session import Session
from tests.models.test_ends import claude, event, gemini, openai
from tests.support.raw_server import STREAM_END, Step, piece, raw_server, stream_head, whole

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

PAGE = Path(__file__).parent.parent.parent / "docs" / "providers.md"
BEDROCK = {
    "aws_region_name": "us-east-1",
    "aws_access_key_id": "AKIATEST",
    "aws_secret_access_key": "s3cr3t-test",
}

Speak = Callable[[str, bool, str], list[Step]]  # the word for the end, whether it streams, the text


def responses(word: str, streams: bool, text: str) -> list[Step]:
    status = word if word in ("completed", "failed") else "incomplete"
    said = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [said],
    }
    response: dict[str, Any] = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status,
        "output": [message] if text else [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "incomplete_details": {"reason": word} if status == "incomplete" else None,
        "error": {"code": "server_error", "message": "It broke."} if status == "failed" else None,
        "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
    }  # fmt: skip
    if not streams:
        return [whole(json.dumps(response))]
    begun = {**response, "status": "in_progress", "output": [], "incomplete_details": None, "error": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    if text:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        empty = {**said, "text": ""}
        events += [
            {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
            {"type": "response.content_part.added", **place, "part": empty},
            {"type": "response.output_text.delta", **place, "delta": text},
            {"type": "response.output_text.done", **place, "text": text},
            {"type": "response.content_part.done", **place, "part": said},
            {"type": "response.output_item.done", "output_index": 0, "item": message},
        ]
    events.append({"type": f"response.{status}", "response": response})
    numbered = [{**one, "sequence_number": number} for number, one in enumerate(events)]
    return [stream_head(), *(event(one, one["type"]) for one in numbered), STREAM_END]


def cohere(word: str, streams: bool, text: str) -> list[Step]:
    usage = {"tokens": {"input_tokens": 11, "output_tokens": 7}}
    content = [{"type": "text", "text": text}] if text else []
    if not streams:
        said = {"role": "assistant", "content": content}
        return [whole(json.dumps({"id": "c", "finish_reason": word, "message": said, "usage": usage}))]
    begun = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}
    events: list[dict[str, Any]] = [{"type": "message-start", "id": "c", "delta": begun}]
    for index, block in enumerate(content):
        start, delta = (
            {"message": {"content": {**block, "text": ""}}},
            {"message": {"content": {"text": text}}},
        )
        events += [
            {"type": "content-start", "index": index, "delta": start},
            {"type": "content-delta", "index": index, "delta": delta},
            {"type": "content-end", "index": index},
        ]
    events.append({"type": "message-end", "id": "c", "delta": {"finish_reason": word, "usage": usage}})
    return [stream_head(), *(event(one, one["type"]) for one in events), STREAM_END]


def ollama(word: str, streams: bool, text: str) -> list[Step]:
    head = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
    last = {"done": True, "done_reason": word, "prompt_eval_count": 11, "eval_count": 7}
    if not streams:
        return [whole(json.dumps({**head, "message": {"role": "assistant", "content": text}, **last}))]
    lines: list[dict[str, Any]] = []
    if text:
        lines.append({**head, "message": {"role": "assistant", "content": text}, "done": False})
    lines.append({**head, "message": {"role": "assistant", "content": ""}, **last})
    kind = stream_head().replace(b"text/event-stream", b"application/x-ndjson")
    return [kind, *(piece(json.dumps(line) + "\n") for line in lines), STREAM_END]


def bedrock(word: str, streams: bool, text: str) -> list[Step]:
    usage = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
    content = [{"text": text}] if text else []
    if not streams:
        output = {"message": {"role": "assistant", "content": content}}
        body = {"output": output, "stopReason": word, "usage": usage, "metrics": {"latencyMs": 1}}
        return [whole(json.dumps(body))]
    events: list[tuple[str, Any]] = [("messageStart", {"role": "assistant"})]
    for block in content:
        events.append(("contentBlockDelta", {"contentBlockIndex": 0, "delta": block}))
        events.append(("contentBlockStop", {"contentBlockIndex": 0}))
    events += [
        ("messageStop", {"stopReason": word}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]
    head = stream_head().replace(b"text/event-stream", b"application/vnd.amazon.eventstream")
    return [head, *(piece(frame(name, value)) for name, value in events), STREAM_END]


def frame(name: str, value: Any) -> bytes:
    """An event in the binary framing of AWS."""
    headers = b""
    for key, text in (
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    return prelude + headers + payload + struct.pack(">I", zlib.crc32(prelude + headers + payload))


@dataclass(frozen=True)
class Wire:
    """A provider's format, with its words for each end."""

    title: str
    model: str
    speak: Speak
    words: dict[End, str]
    routes: tuple[str, ...] = ("litellm",)
    streams: tuple[bool, ...] = (True, False)
    settings: dict[str, Any] = field(default_factory=dict)


CHAT: dict[End, str] = {
    "stop": "stop",
    "length": "length",
    "filtered": "content_filter",
    "refused": "refusal",
    "broken": "error",
}
BOTH = ("direct", "litellm")
WIRES = (
    Wire("OpenAI's chat format", "openai/gpt-4o-mini", openai, CHAT, BOTH),
    Wire(
        "OpenAI's Responses",
        "openai/responses/gpt-5-mini",
        responses,
        {
            "stop": "completed",
            "length": "max_output_tokens",
            "filtered": "content_filter",
            "broken": "failed",
        },
    ),
    Wire(
        "Anthropic",
        "anthropic/claude-sonnet-4-5",
        claude,
        {"stop": "end_turn", "length": "max_tokens", "refused": "refusal"},
        BOTH,
    ),
    Wire(
        "Gemini",
        "gemini/gemini-2.5-flash",
        gemini,
        {
            "stop": "STOP",
            "length": "MAX_TOKENS",
            "filtered": "SAFETY",
            "malformed": "MALFORMED_FUNCTION_CALL",
        },
    ),
    Wire(
        "Mistral",
        "mistral/mistral-small-latest",
        openai,
        {"stop": "stop", "length": "model_length", "broken": "error"},
        BOTH,
    ),
    Wire(
        "Cohere",
        "cohere_chat/command-r-plus",
        cohere,
        {"stop": "COMPLETE", "length": "MAX_TOKENS", "filtered": "ERROR_TOXIC", "broken": "ERROR"},
    ),
    Wire("Ollama", "ollama_chat/llama3.1", ollama, {"stop": "stop", "length": "length"}),
    Wire(
        "Bedrock",
        "bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0",
        bedrock,
        {
            "stop": "end_turn",
            "length": "max_tokens",
            "filtered": "guardrail_intervened",
            "refused": "refusal",
            "malformed": "malformed_model_output",
        },
        settings={"params": BEDROCK},
    ),
)

# What the session keeps as its end, and the fault of a run that failed. Exit codes are 0 and 1.
WITH_TEXT = {"stop": "stop", "length": "length", "filtered": "filtered", "refused": "filtered"}
FAULTS = {
    "length": ("protocol",),
    "filtered": ("filtered",),
    "refused": ("filtered",),
    "malformed": ("broken_stream",),
    "broken": ("broken_stream", "unavailable"),
}
ROWS = [
    pytest.param(
        wire, end, word, via, streams, id=f"{wire.title}-{word}-{via}-{'streamed' if streams else 'whole'}"
    )
    for wire in WIRES
    for end, word in wire.words.items()
    for via in wire.routes
    for streams in wire.streams
]


def config(wire: Wire, via: str, url: str) -> dict[str, Any]:
    named = {"use": wire.model, "via": via, "base_url": url, "retries": 0, "api_key": "k-test-123456"}
    if wire.settings:
        del named["api_key"]
    return {"agent": {"name": "Main", "model": "m"}, "middleware": [], "models": {"m": named | wire.settings}}


async def ran(wire: Wire, via: str, streams: bool, steps: list[Step]) -> Session | ProviderError:
    """The session of a run, or why it failed. The intent of the model's call has the same end as its turn."""
    async with raw_server(steps) as server, Runtime(config(wire, via, server.url)) as agent:
        stream = agent.stream("Hi", whole=not streams)
        try:
            ends = [one.value["finish_reason"] async for one in stream if one.name == "model_call"]
        except ProviderError as error:
            return error
    assert stream.session is not None
    assert ends == [stream.session.turns[-1].finish_reason]
    return stream.session


@pytest.mark.parametrize(("wire", "end", "word", "via", "streams"), ROWS)
async def test_what_was_said_is_shown_with_its_end_and_what_was_not_is_an_error(
    wire: Wire, end: End, word: str, via: str, streams: bool
) -> None:
    said = await ran(wire, via, streams, wire.speak(word, streams, "Hello"))
    if end in WITH_TEXT:
        assert isinstance(said, Session), said
        assert (said.text, said.turns[-1].finish_reason) == ("Hello", WITH_TEXT[end])
    else:
        assert isinstance(said, ProviderError)
    if end != "stop":
        failed = await ran(wire, via, streams, wire.speak(word, streams, ""))
        assert isinstance(failed, ProviderError)
        assert failed.fault in FAULTS[end], failed
        assert word.lower() in str(failed).lower() or "It broke." in str(failed), failed
        assert end != "length" or "max_tokens" in str(failed)


@pytest.mark.parametrize(
    ("wire", "end", "word", "via", "streams"), [row for row in ROWS if row.values[1] != "stop"]
)
async def test_after_an_answer_that_failed_the_next_run_of_the_session_works(
    tmp_path: Path, wire: Wire, end: End, word: str, via: str, streams: bool
) -> None:
    answers = wire.speak(word, streams, ""), wire.speak(wire.words["stop"], streams, "Well again.")
    async with raw_server(*answers) as server:
        kept = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path}/s.db"}
        async with Runtime({**config(wire, via, server.url), "middleware": [kept]}) as agent:
            with pytest.raises(ProviderError):
                async for _ in agent.stream("Who are you?", session_id="s", whole=not streams):
                    pass
            stream = agent.stream("And now?", session_id="s", whole=not streams)
            async for _ in stream:
                pass
    assert stream.session is not None
    assert stream.session.text == "Well again."
    said = json.dumps(server.requests[-1].body)
    assert "Who are you?" in said
    assert "And now?" in said


def test_the_page_has_these_words() -> None:
    ends: list[End] = ["stop", "length", "filtered", "refused", "malformed", "broken"]
    rows = [
        [wire.title, *(f"`{wire.words[end]}`" if end in wire.words else "" for end in ends)] for wire in WIRES
    ]
    page = PAGE.read_text(encoding="utf-8")
    for row in rows:
        assert f"| {' | '.join(row)} |\n" in page
