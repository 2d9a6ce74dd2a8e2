"""Bounds for what an MCP server may send without an end, over standard output and over HTTP."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Callable
from typing import Any

LONGEST = 32_000_000  # bytes of one message; more is not an answer
LINES = "auwgent_mcp_lines"  # the encoding of a program's messages: UTF-8, in lines that have an end
TOO_LONG = "auwgent/too-long"  # the notification that stands in place of a line without one


class TooLong(Exception):
    """A server sends something that does not end."""

    def __init__(self) -> None:
        super().__init__(f"it sends more than {LONGEST // 1_000_000} MB without an end")


class _WholeLines(codecs.IncrementalDecoder):
    """Decodes UTF-8 and gives nothing but whole lines.

    The SDK knows no bound, adds each piece to a growing text, and lets no error through that a decoder raises.
    """

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._inner = codecs.getincrementaldecoder("utf-8")(errors)
        self._held: list[str] = []  # of a line that has begun
        self._size = 0
        self._drops = False

    def decode(self, input: Any, final: bool = False) -> str:
        whole, newline, rest = self._inner.decode(input, final).rpartition("\n")
        if newline:
            if self._drops:
                whole = whole.partition("\n")[2]
            whole = "".join(self._held) + whole + newline
            self._held, self._size, self._drops = [], 0, False
        if not self._drops:
            self._held.append(rest)
            self._size += len(rest)
        if self._size <= LONGEST:
            return whole if newline else ""
        self._held, self._size, self._drops = [], 0, True
        return f'{whole if newline else ""}{{"jsonrpc": "2.0", "method": "{TOO_LONG}"}}\n'


def _search(name: str) -> codecs.CodecInfo | None:
    utf8 = codecs.lookup("utf-8")
    return (
        codecs.CodecInfo(utf8.encode, utf8.decode, incrementaldecoder=_WholeLines, name=LINES)
        if name == LINES
        else None
    )


codecs.register(_search)


def bounded(response: Any, note: Callable[[Exception], None]) -> Any:
    """The body of an HTTP response, which fails with `TooLong` where it, or an event of it, does not end.

    `note` is told, since the SDK may keep the failure to itself.
    """
    from httpx2 import AsyncByteStream

    body, streams = response.stream, "event-stream" in response.headers.get("content-type", "")

    class Bounded(AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            length, tail = 0, b""
            async for chunk in body:
                seen = tail + chunk
                end = max(seen.rfind(blank) + len(blank) if blank in seen else 0 for blank in _BLANK_LINES)
                length = len(seen) - end if streams and end else length + len(chunk)
                if length > LONGEST:
                    error = TooLong()
                    note(error)
                    raise error
                tail = seen[-3:]
                yield chunk

        async def aclose(self) -> None:
            await body.aclose()

    return Bounded()


_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")
