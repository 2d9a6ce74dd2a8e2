"""A body taken apart into events, with a bound for all that a server may send without end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from urllib.parse import urlsplit

from auwgent.errors import Fault

ANSWER_BYTES = 32 * 2**20  # of a whole answer, or of all events of one
EVENT_BYTES = 16 * 2**20  # of one event
ERROR_BYTES = 65536  # of an error, at most

DONE = b"[DONE]"
BOM = b"\xef\xbb\xbf"


class Unusable(Exception):
    """What came cannot be an answer; `told` is for the user, behind the name of the model."""

    def __init__(self, told: str, fault: Fault = "protocol") -> None:
        super().__init__(told)
        self.told = told
        self.fault: Fault = fault


def redirected(location: str) -> Unusable:
    """Return a redirect, which is not followed: the key and the conversation are for the configured address."""
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
    where = place[:200] or "nowhere that can be told"
    return Unusable(f"points to {where}. Redirects are not followed: give the address itself as base_url")


class Event(bytes):
    """The data of an event, or a whole body."""

    name = ""
    is_whole = False


class EventReader:
    """Takes a stream of server-sent events apart. Only their data and names count here."""

    def __init__(self) -> None:
        self._line = bytearray()  # one that has begun
        self._data: list[bytes] = []  # of the event that has begun
        self._size = 0
        self._name = ""
        self._follows_cr = False

    def feed(self, received: bytes) -> Iterator[Event]:
        """Yield the data of each event that is whole now."""
        if b"\r" in received or self._follows_cr:
            received = self._with_plain_ends(received)
        self._line += received
        self._size += len(received)
        if self._size > EVENT_BYTES:
            raise Unusable(f"sent an event of more than {EVENT_BYTES >> 20} MB")
        if b"\n" not in received:
            return
        *lines, self._line = self._line.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(bytes(line[5:].strip()))
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode(errors="replace")
            elif not line:
                if self._data:
                    event = Event(b"\n".join(self._data))
                    event.name = self._name
                    yield event
                    self._data.clear()
                self._name = ""
        self._size = len(self._line) + sum(map(len, self._data))

    def _with_plain_ends(self, received: bytes) -> bytes:
        """Turn CR LF and CR line ends into LF."""
        if self._follows_cr and received.startswith(b"\n"):
            received = received[1:]
        self._follows_cr = received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def close(self) -> Iterator[Event]:
        """Yield the last event, which some servers do not end."""
        return self.feed(b"\n\n")


class _Whole:
    """A body that is not a stream of events."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, received: bytes) -> Iterator[Event]:
        self._body += received
        return iter(())

    def close(self) -> Iterator[Event]:
        event = Event(self._body)
        event.is_whole = True
        self._body.clear()
        yield event


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
    """Yield the events of a body, or the body as one where it is none of events, whatever its content type says."""
    total, head = 0, b""
    parser: EventReader | _Whole | None = None
    async for data in chunks:
        total += len(data)
        if total > ANSWER_BYTES:
            raise Unusable(f"sent an answer of more than {ANSWER_BYTES >> 20} MB")
        if parser is None:
            head += data
            data = head.removeprefix(BOM).lstrip()
            if not data or BOM.startswith(head):
                continue
            parser = _Whole() if data[:1] in b"{[<" else EventReader()
        for event in parser.feed(data):
            yield event
    for event in parser.close() if parser is not None else ():
        yield event
