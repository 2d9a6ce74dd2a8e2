"""A provider over HTTP whose models follow scripts: replies as in process, on OpenAI's and Anthropic's wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from auwgent.errors import ProviderError
from auwgent.models.base import CallPiece, ModelRequest, Reply, TextPiece
from auwgent.models.scripted import ScriptedModel, scripted
from auwgent.session import ToolCall, Turn
from tests.support.serving import serving

WIRES = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}


class ScriptServer:
    """Answers on both wires. `url` is its root; models are asked for by the names of their scripts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []  # wire, headers, body
        self._models: dict[str, ScriptedModel] = {}

    def follow(self, name: str, replies: Sequence[Any]) -> None:
        """Take this script for the model of that name, in place of the one it has."""
        self._models[name] = scripted(*replies, name=f"scripted/{name}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        wire = WIRES[head[0].split()[1]]
        self.requests.append((wire, headers, body))
        model = self._models[body["model"]]
        asked = _openai_turns(body) if wire == "openai" else _anthropic_turns(body)
        request = ModelRequest(
            system=_system(body),
            turns=[turn.model_copy(update={"model": model.spec.name}) for turn in asked],
            stream=bool(body.get("stream")),
        )
        await _answer(writer, wire, model, request)


@asynccontextmanager
async def script_server() -> AsyncIterator[ScriptServer]:
    """A running server."""
    server: list[ScriptServer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # a client that stops a stream is no failure
            await server[0].serve(reader, writer)

    async with serving(serve) as url:
        server.append(ScriptServer(url))
        yield server[0]


async def _answer(
    writer: asyncio.StreamWriter, wire: str, model: ScriptedModel, request: ModelRequest
) -> None:
    """A failure before the first piece is a status; behind it, the connection ends."""
    begun = False
    events = _OpenAI(model.spec.model) if wire == "openai" else _Anthropic(model.spec.model)
    try:
        async for piece in model.ask(request):
            if isinstance(piece, Reply) and not request.stream:
                _send(writer, 200, "application/json", json.dumps(events.whole(piece)).encode())
                return
            if not begun:
                _send(writer, 200, "text/event-stream", b"")
                begun = True
            for name, data in events.last(piece) if isinstance(piece, Reply) else events.piece(piece):
                event = f"event: {name}\n" if name else ""
                writer.write(
                    f"{event}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
                )
            await writer.drain()
    except ProviderError as error:
        if not begun:
            message = {"error": {"message": str(error), "type": error.fault}}
            _send(writer, error.status or 500, "application/json", json.dumps(message).encode())


def _send(writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
    length = f"content-length: {len(body)}\r\n" if body else ""
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\nconnection: close\r\n{length}\r\n"
    writer.write(head.encode() + body)


def _system(body: Mapping[str, Any]) -> str:
    said = [message["content"] for message in body["messages"] if message["role"] == "system"] or [
        body.get("system", "")
    ]
    return said[0] if isinstance(said[0], str) else "\n".join(part["text"] for part in said[0])


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _openai_turns(body: Mapping[str, Any]) -> Iterator[Turn]:
    for message in body["messages"]:
        calls = [
            ToolCall(
                id=call["id"], name=call["function"]["name"], args=json.loads(call["function"]["arguments"])
            )
            for call in message.get("tool_calls") or ()
        ]
        if message["role"] != "system":
            yield Turn(
                role=message["role"],
                content=_text(message.get("content")),
                tool_calls=calls or None,
                tool_call_id=message.get("tool_call_id"),
            )


def _anthropic_turns(body: Mapping[str, Any]) -> Iterator[Turn]:
    for message in body["messages"]:
        content = message["content"]
        blocks: list[dict[str, Any]] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
        for block in blocks:
            if block["type"] == "tool_result":
                yield Turn(role="tool", content=_text(block["content"]), tool_call_id=block["tool_use_id"])
        calls = [
            ToolCall(id=block["id"], name=block["name"], args=block["input"])
            for block in blocks
            if block["type"] == "tool_use"
        ]
        if text := _text(blocks):
            yield Turn(role=message["role"], content=text, tool_calls=calls or None)
        elif calls:
            yield Turn(role=message["role"], tool_calls=calls)


Event = tuple[str, Any]


class _OpenAI:
    """Chat completions, as https://platform.openai.com/docs/api-reference/chat describes them."""

    def __init__(self, model: str) -> None:
        self._same = {"id": "chatcmpl-1", "created": 1, "model": model}

    def piece(self, piece: Any) -> Iterator[Event]:
        if isinstance(piece, TextPiece):
            yield self._chunk({"content": piece.text})
        elif isinstance(piece, CallPiece):
            function = {"arguments": piece.arguments} | ({"name": piece.name} if piece.name else {})
            call = {"index": piece.index, "type": "function", "function": function}
            yield self._chunk({"tool_calls": [call | ({"id": piece.id} if piece.id else {})]})

    def last(self, reply: Reply) -> Iterator[Event]:
        yield self._chunk({}, reply.finish_reason)
        yield (
            "",
            {**self._same, "object": "chat.completion.chunk", "choices": [], "usage": self._usage(reply)},
        )
        yield "", "[DONE]"

    def whole(self, reply: Reply) -> dict[str, Any]:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
        message = {"role": "assistant", "content": reply.text or None} | (
            {"tool_calls": calls} if calls else {}
        )
        choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
        return {**self._same, "object": "chat.completion", "choices": [choice], "usage": self._usage(reply)}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return "", {**self._same, "object": "chat.completion.chunk", "choices": [choice]}

    def _usage(self, reply: Reply) -> dict[str, int]:
        sent, received = reply.usage.input_tokens, reply.usage.output_tokens
        return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}


class _Anthropic:
    """Messages, as https://docs.anthropic.com/en/api/messages-streaming describes them."""

    def __init__(self, model: str) -> None:
        self._same = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "stop_sequence": None,
        }
        self._open = -1
        self._begun = False
        self._places: dict[int, int] = {}  # index of a call -> of its block

    def piece(self, piece: Any) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield self._start()
        if isinstance(piece, TextPiece):
            if self._open < 0:
                yield from self._block({"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": piece.text})
        elif isinstance(piece, CallPiece):
            if piece.index not in self._places:
                block: dict[str, Any] = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
                yield from self._block(block)
                self._places[piece.index] = self._open
            yield self._delta({"type": "input_json_delta", "partial_json": piece.arguments})

    def last(self, reply: Reply) -> Iterator[Event]:
        if not self._begun:
            yield self._start()
        if self._open >= 0:
            yield "content_block_stop", {"type": "content_block_stop", "index": self._open}
        usage = {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens}
        delta = {"stop_reason": self._reason(reply), "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": delta, "usage": usage}
        yield "message_stop", {"type": "message_stop"}

    def whole(self, reply: Reply) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
            for call in reply.calls
        ]
        usage = {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens}
        return {**self._same, "content": content, "stop_reason": self._reason(reply), "usage": usage}

    def _start(self) -> Event:
        usage = {"input_tokens": 1, "output_tokens": 0}
        message: dict[str, Any] = {**self._same, "content": [], "stop_reason": None, "usage": usage}
        return "message_start", {"type": "message_start", "message": message}

    def _block(self, block: dict[str, Any]) -> Iterator[Event]:
        if self._open >= 0:
            yield "content_block_stop", {"type": "content_block_stop", "index": self._open}
        self._open += 1
        yield (
            "content_block_start",
            {"type": "content_block_start", "index": self._open, "content_block": block},
        )

    def _delta(self, delta: dict[str, Any]) -> Event:
        return "content_block_delta", {"type": "content_block_delta", "index": self._open, "delta": delta}

    def _reason(self, reply: Reply) -> str:
        return {"tool_calls": "tool_use", "length": "max_tokens"}.get(reply.finish_reason, "end_turn")
