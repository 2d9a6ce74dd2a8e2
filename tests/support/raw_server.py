"""An HTTP server that answers with the very bytes it was told: for what no well-behaved one does."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from tests.support.serving import serving

Step = bytes | float | Literal["reset"]  # bytes to send, seconds to wait, or an abrupt end of the connection


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: Any  # parsed JSON, or the fields of a form; None where there was none


class RawServer:
    """Each connection gets the next answer; the last one is for all that follow."""

    def __init__(self, answers: Sequence[Sequence[Step]]) -> None:
        self.answers = list(answers)
        self.requests: list[Received] = []
        self.asked = asyncio.Event()  # a request came in
        self.disconnected = asyncio.Event()  # a client left before its answer was over
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await read_request(reader))
            self.asked.set()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await self._play(answer, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.disconnected.set()

    async def _play(
        self, answer: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        gone = asyncio.ensure_future(reader.read())
        try:
            for step in answer:
                if step == "reset":
                    _reset_on_close(writer)
                    return
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, (int, float)):
                    await asyncio.wait([gone], timeout=step)
                if gone.done():
                    raise ConnectionResetError
        finally:
            gone.cancel()


@asynccontextmanager
async def raw_server(*answers: Sequence[Step]) -> AsyncIterator[RawServer]:
    """A running server on a free port of the loopback."""
    server = RawServer(answers)
    async with serving(server.serve) as server.url:
        yield server


def whole(
    body: str | bytes, *, status: int = 200, content_type: str = "application/json", **headers: str
) -> bytes:
    """A complete response with a length."""
    data = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        "Connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def stream_head() -> bytes:
    """The head of an event stream that lasts as long as its connection, in chunks."""
    head = ("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked")
    return "\r\n".join((*head, "Connection: close", "", "")).encode()


def piece(data: str | bytes) -> bytes:
    """A chunk of a chunked response."""
    raw = data.encode() if isinstance(data, str) else data
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


STREAM_END = b"0\r\n\r\n"


def event(value: Any) -> bytes:
    """A server-sent event, as a chunk."""
    return piece(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n")


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def read_request(reader: asyncio.StreamReader) -> Received:
    """The next request of a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":")[::2] for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(
        path=head[0].split(" ")[1], headers=headers, body=_parsed(body, headers) if body else None
    )


def _parsed(body: bytes, headers: Mapping[str, str]) -> Any:
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return dict(parse_qsl(body.decode())) if is_form else json.loads(body)


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    """Closing then sends RST instead of an orderly end."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
