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


Reply = Callable[[dict[str, Any]], "Answer | str"]
Vectors = Callable[[Sequence[str]], "Sequence[Sequence[float]] | Answer"]

ENDS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}  # OpenAI's, Anthropic's


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
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.end,
    }
    whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**base, "object": "chat.completion.chunk"}
    deltas: list[tuple[Any, str | None]] = [
        ({"role": "assistant", "content": one}, None) for one in _pieces(answer)
    ]
    events = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        for delta, end in [*deltas, ({}, answer.end)]
    ]
    return whole, [*events, {**chunk, "choices": [], "usage": usage}]


def _anthropic(answer: Answer) -> tuple[Any, list[dict[str, Any]]]:
    usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    stop = ENDS[answer.end]
    content = [{"type": "text", "text": answer.text}] if answer.text else []
    whole = {**message, "content": content, "stop_reason": stop, "usage": usage}
    start: dict[str, Any] = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for piece in _pieces(answer):
        delta = {"type": "text_delta", "text": piece}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    return whole, [
        *events,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def _pieces(answer: Answer) -> Iterator[str]:
    return (answer.text[at : at + 9] for at in range(0, len(answer.text), 9))


def at_worst(body: Mapping[str, Any], *, text: str = "Fine.", breaks: bool = False) -> Answer:
    """An answer with the highest bill there may be: a token for each byte, and as much output as is allowed."""
    allowed = body.get("max_tokens") or body.get("max_completion_tokens") or 100_000
    return Answer(text, len(json.dumps(body, ensure_ascii=False).encode()), allowed, breaks=breaks)
