"""A provider on the loopback that costs next to nothing: OpenAI's chat wire format, in a process of its own.

The model's name says what comes: `text`; `tools-N`, which calls the tool `add` N times, once in each turn; and
`pieces-N`, a text of N pieces. The port is the first line on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
COMMON = {"id": "chatcmpl-1", "created": 1, "model": "bench"}


class Provider(asyncio.Protocol):
    """One connection. Requests come one after the other, their bodies with a length."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self.transport.write(answer(json.loads(body)))


def answer(request: dict[str, Any]) -> bytes:
    """The whole response to a request."""
    kind, _, number = request["model"].partition("-")
    done = sum(message["role"] == "tool" for message in request["messages"])
    call = kind == "tools" and done < int(number)
    texts = [f"piece {n} " for n in range(int(number))] if kind == "pieces" else ["Hello!"]
    if request.get("stream"):
        return _streamed(_call(done) if call else None, texts)
    message: dict[str, Any] = {"role": "assistant", "content": None if call else "".join(texts)}
    if call:
        message["tool_calls"] = [_call(done)]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    body = json.dumps({**COMMON, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _call(number: int) -> dict[str, Any]:
    function = {"name": "add", "arguments": json.dumps({"a": number, "b": 1})}
    return {"index": 0, "id": f"call_{number}", "type": "function", "function": function}


def _streamed(call: dict[str, Any] | None, texts: list[str]) -> bytes:
    deltas = [{"tool_calls": [call]}] if call else [{"content": text} for text in texts]
    events = [_event([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(_event([{"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}]))
    events += [_event([], usage=USAGE), b"data: [DONE]\n\n"]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {**COMMON, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        sys.exit(130)
