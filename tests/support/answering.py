"""A provider over HTTP that a function answers for: on two wires, streamed and whole, and with vectors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.serving import serving


@dataclass
class Answer:
    """What is answered. `status` other than 200: `text` is the error's message; `breaks`: the connection is cut."""

    text: str = ""
    input_tokens: int | None = None  # None: a token for each four characters that were sent
    output_tokens: int = 10
    end: str = "stop"
    status: int = 200
    code: str | None = None
    breaks: bool = False
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    thought: str = ""  # shown before the answer


Reply = Callable[[dict[str, Any]], "Answer | str"]
Vectors = Callable[[Sequence[str]], "Sequence[Sequence[float]] | Answer"]

ENDS = {  # OpenAI's, Anthropic's
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


@dataclass
class Provider:
    """`bodies` are the requests so far; `texts_of` gives what one of them says."""

    reply: Reply
    vectors: Vectors
    url: str = ""
    bills: list[tuple[int, int]] = field(default_factory=list)  # tokens of each answer, in and out
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: list[Sequence[str]] = field(default_factory=list)

    def model(self, name: str = "openai/test", **more: Any) -> dict[str, Any]:
        """A table under [models] that asks here, a dollar for a million tokens."""
        price = {"input": 1.0, "output": 1.0}
        return {"use": name, "base_url": self.url, "api_key": "k", "retries": 0, "price": price, **more}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        path = head[0].split()[1]
        if path.endswith("/embeddings"):
            return _whole(writer, *self._embedded(body))
        self.bodies.append(body)
        said = self.reply(body)
        answer = replace(Answer(said) if isinstance(said, str) else said)
        if answer.calls:
            answer.end = "tool_calls"
        if answer.input_tokens is None:
            answer.input_tokens = 1 + sum(map(len, texts_of(body))) // 4
        if answer.status == 200:
            self.bills.append((answer.input_tokens, answer.output_tokens))
        wire = _anthropic if path.endswith("/messages") else _openai
        if answer.status != 200:
            error = {"message": answer.text, "type": "invalid_request_error", "code": answer.code}
            return _whole(writer, answer.status, {"type": "error", "error": error})
        whole, events = wire(answer)
        if not body.get("stream"):
            return None if answer.breaks else _whole(writer, 200, whole)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for event in events[: len(events) // 2] if answer.breaks else events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            writer.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        if wire is _openai and not answer.breaks:
            writer.write(b"data: [DONE]\n\n")
        return None

    def _embedded(self, body: dict[str, Any]) -> tuple[int, Any]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        self.embedded.append(texts)
        found = self.vectors(texts)
        if isinstance(found, Answer):
            return found.status, {"error": {"message": found.text, "type": "invalid_request_error"}}
        data = [{"object": "embedding", "index": at, "embedding": list(one)} for at, one in enumerate(found)]
        usage = {"prompt_tokens": 10 * len(texts), "total_tokens": 10 * len(texts)}
        return 200, {"object": "list", "model": body.get("model"), "usage": usage, "data": data}


@asynccontextmanager
async def provider(
    reply: Reply = lambda body: "Fine.", vectors: Vectors = lambda texts: [[1.0, 0.0] for _ in texts]
) -> AsyncIterator[Provider]:
    """A running one."""
    made = Provider(reply, vectors)
    async with serving(made.serve) as url:
        made.url = url
        yield made


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """Every text of a request, in order, the system prompt too where it is a message."""
    contents = [message.get("content") or "" for message in body["messages"]]
    return [
        one if isinstance(one, str) else "".join(part.get("text", "") for part in one) for one in contents
    ]


def _whole(writer: asyncio.StreamWriter, status: int, value: Any) -> None:
    raw = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + raw)


def _openai(answer: Answer) -> tuple[Any, list[dict[str, Any]]]:
    into, out = answer.input_tokens or 0, answer.output_tokens
    usage = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    base = {"id": "c", "created": 1, "model": "m"}
    calls = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
        for at, (name, args) in enumerate(answer.calls)
    ]
    more: dict[str, Any] = {"reasoning_content": answer.thought} if answer.thought else {}
    message = {"role": "assistant", "content": answer.text, **more}
    choice = {
        "index": 0,
        "message": {**message, "tool_calls": calls} if calls else message,
        "finish_reason": answer.end,
    }
    whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**base, "object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [{"reasoning_content": one} for one in _pieces(answer.thought)]
    deltas += [{"role": "assistant", "content": one} for one in _pieces(answer.text)]
    for at, call in enumerate(calls):
        function = call["function"]
        assert isinstance(function, dict)
        deltas.append({"tool_calls": [{**call, "index": at, "function": {**function, "arguments": ""}}]})
        for one in _pieces(function["arguments"]):
            deltas.append({"tool_calls": [{"index": at, "function": {"arguments": one}}]})
    ends: list[tuple[dict[str, Any], str | None]] = [*((delta, None) for delta in deltas), ({}, answer.end)]
    events = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in ends
    ]
    return whole, [*events, {**chunk, "choices": [], "usage": usage}]


def _anthropic(answer: Answer) -> tuple[Any, list[dict[str, Any]]]:
    usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    stop = ENDS[answer.end]
    # Of each block: how it begins, how its pieces are called, and what they make together.
    blocks: list[tuple[dict[str, Any], str, str, str]] = []
    if answer.thought:
        signed = {"type": "thinking", "thinking": "", "signature": "s"}
        blocks.append((signed, "thinking_delta", "thinking", answer.thought))
    if answer.text or not answer.calls:
        blocks.append(({"type": "text", "text": ""}, "text_delta", "text", answer.text))
    for at, (name, args) in enumerate(answer.calls):
        call = {"type": "tool_use", "id": f"call_{at}", "name": name, "input": {}}
        blocks.append((call, "input_json_delta", "partial_json", json.dumps(args)))
    content = [
        {**begin, **({"input": json.loads(said)} if key == "partial_json" else {key: said})}
        for begin, _, key, said in blocks
        if said
    ]
    whole = {**message, "content": content, "stop_reason": stop, "usage": usage}
    start: dict[str, Any] = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, (begin, kind, key, said) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": begin})
        for piece in _pieces(said):
            delta = {"type": kind, key: piece}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    return whole, [
        *events,
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + 9] for at in range(0, len(text), 9))


def at_worst(body: Mapping[str, Any], *, text: str = "Fine.", breaks: bool = False) -> Answer:
    """An answer with the highest bill there may be: a token for each byte, and as much output as is allowed."""
    allowed = body.get("max_tokens") or body.get("max_completion_tokens") or 100_000
    return Answer(text, len(json.dumps(body, ensure_ascii=False).encode()), allowed, breaks=breaks)
