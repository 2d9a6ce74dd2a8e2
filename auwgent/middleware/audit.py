"""An audit log: what happened in each run, as JSON lines that are only appended, each sealed with the one before."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from auwgent.files import appending, locked
from auwgent.hooks.context import Context
from auwgent.hooks.pipeline import leaves_input
from auwgent.intents import OURS
from auwgent.middleware.kept import Configured, Given, option
from auwgent.secrecy import without_secrets
from auwgent.session import Session, now

Content = Literal["texts", "arguments", "results"]

FIRST = "0" * 64  # what the first record of a file is sealed with
BLOCK = 64 * 1024  # bytes read at a time while looking for the last line

# Which kind of content each field of an intent is.
_KIND: Mapping[str, Content] = {
    "text": "texts",
    "response": "texts",
    "message": "texts",
    "reason": "texts",
    "args": "arguments",
    "result": "results",
}


class Audit(Configured):
    """Writes one line for each step of a run: who, when, which agent, tool and model, how it ended, what it cost.

    `path` is relative to the config file. What was said, asked for and found out is left out, unless `include`
    lists `"texts"`, `"arguments"` or `"results"`; its length stands there instead. Each record holds a hash of
    itself and of the record before, so that `verify` finds what was changed, moved or taken out. Who can
    write the file could still recompute all hashes; with a `secret` nobody can who does not know it. A
    record that cannot be written ends the run. With `fsync` each is on the disk before the run goes on.

    Wherever it is listed, it writes down what the others have made of a step.
    """

    name = "audit"
    watches = True
    asides = True
    gives_key = False
    path: Annotated[str, Field(min_length=1)] = ".auwgent/audit.jsonl"
    include: Annotated[Given[Sequence[Content], frozenset[Content]], Field(strict=False)] = option(default=())
    secret: Annotated[str | None, Field(min_length=16)] = None
    fsync: bool = False

    def __post_init__(self) -> None:
        self._seal = Seal(self.secret)

    @leaves_input
    async def onRunStart(self, session: Session, ctx: Context) -> None:
        text = ctx.input if isinstance(ctx.input, str) else None
        await self._write(ctx, "run_start", turns=len(session.turns), **self._content(ctx, "text", text))

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        if ctx.embeds is not None:
            await self._write(ctx, "embedding", model=ctx.model, texts=len(ctx.embeds), by=ctx.aside)
        else:
            await self._write(ctx, "model_call", model=ctx.model, messages=len(ctx.messages), by=ctx.aside)

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        if name == "model_call":  # it was written when it began
            return
        facts: dict[str, Any] = {}
        if name not in OURS:  # an intent of the user's own: its fields are what was said
            facts = self._content(ctx, "response", value)
        else:
            for field, content in value.items():
                facts |= self._content(ctx, field, content) if field in _KIND else {field: content}
        await self._write(ctx, name, **facts)

    async def onError(self, error: Exception, session: Session, ctx: Context) -> None:
        if ctx.aside is None:
            await self._write(ctx, "failure", error=type(error).__name__, fault=getattr(error, "fault", None))

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        usage = ctx.usage.model_dump(include={"input_tokens", "output_tokens", "usd"})
        await self._write(ctx, "run_end", status=ctx.status, turns=len(session.turns), **usage)

    def _content(self, ctx: Context, field: str, content: Any) -> dict[str, Any]:
        """Return a field of content as it may be written: itself, or how long it is."""
        if content is None:
            return {}
        if _KIND[field] in self.include and ctx.keep:
            return {field: without_secrets(content)}
        text = content if isinstance(content, str) else json.dumps(content, default=str)
        return {f"{field}_length": len(text)}

    async def _write(self, ctx: Context, event: str, **facts: Any) -> None:
        record = {
            "time": now().isoformat(),
            "event": event,
            "run": ctx.runId,
            "session": ctx.sessionId,
            "user": str(ctx.userId or ""),
            "agent": ctx.activeAgent,
            **{name: value for name, value in facts.items() if value is not None},
        }
        await asyncio.to_thread(self._append, record)

    def _append(self, record: dict[str, Any]) -> None:
        with appending(self.beside(self.path)) as file, locked(file):
            _append_sealed(file, record, self._seal)
            if self.fsync:
                os.fsync(file)


class Seal:
    """Makes and checks the hashes of records; with a secret, such as only who knows it can make."""

    def __init__(self, secret: str | None) -> None:
        self._secret = None if secret is None else secret.encode()

    def sealed(self, record: Mapping[str, Any]) -> str:
        """Return the record as its line, the hash last."""
        return to_line({**record, "hash": self._hash(record)})

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record has the hash that was made for it."""
        bare = {name: value for name, value in record.items() if name != "hash"}
        return hmac.compare_digest(str(record.get("hash")), self._hash(bare))

    def _hash(self, record: Mapping[str, Any]) -> str:
        data = to_line(record).encode()
        if self._secret is None:
            return hashlib.sha256(data).hexdigest()
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found: how many records are in order, the last one's hash, and the first thing that is wrong.

    The end of a log may be cut off without a trace in it: keep `head` elsewhere, and ask for it later.
    """

    records: int
    head: str
    problem: str = ""
    line: int | None = None

    @property
    def ok(self) -> bool:
        return not self.problem


def verify(path: str | os.PathLike[str], *, secret: str | None = None, head: str | None = None) -> Verified:
    """Read an audit log and check every record; `head` is a hash that must be in it.

    Raises `OSError` where the file cannot be read. Lines that broke off when a process was killed or a disk was
    full are in order if the next record says so.
    """
    seal, records, last, seen = Seal(secret), 0, FIRST, head in (None, FIRST)
    torn: list[bytes] = []
    with Path(path).open("rb") as file, locked(file.fileno(), shared=True):
        for number, data in enumerate(file, 1):
            record = _read(data)
            if record is None:
                torn.append(data)
                continue
            problem = _wrong(record, last, _digest(torn), records + 1, seal)
            if problem:
                return Verified(records, last, problem, number - len(torn))
            records, last, torn = records + 1, record["hash"], []
            seen = seen or last == head
    if torn:
        return Verified(records, last, "the log does not end with a record: writing it was broken off")
    if not seen:
        return Verified(records, last, f"the record with hash {head} is missing: the end was cut off")
    return Verified(records, last)


def _wrong(record: dict[str, Any], last: str, torn: str, number: int, seal: Seal) -> str:
    """Return what is wrong with a record at its place; empty where nothing is."""
    if record.get("torn", "") != torn:
        return (
            "this is not a record, and the next one does not say that it broke off"
            if torn
            else "a line is gone"
        )
    if not seal.holds(record):
        return "the record was changed, or sealed with another secret"
    if record["previous"] != last or record["number"] != number:
        return "a record before this one was taken out, put in or moved"
    return ""


def to_line(record: Mapping[str, Any]) -> str:
    """Return the one form in which a record may stand in a file."""
    return json.dumps(record, separators=(",", ":"), default=str)


def _append_sealed(file: int, record: dict[str, Any], seal: Seal) -> None:
    last, torn = _last_record(file)
    place: dict[str, Any] = {"number": 1, "previous": FIRST}
    if last is not None:
        place = {"number": last["number"] + 1, "previous": last["hash"]}
    if torn:
        place["torn"] = _digest(torn)
    ending = b"\n" if torn and not torn[-1].endswith(b"\n") else b""
    data = ending + seal.sealed(place | record).encode() + b"\n"
    while data:
        data = data[os.write(file, data) :]


def _last_record(file: int) -> tuple[dict[str, Any] | None, list[bytes]]:
    """Return the last record, and the lines behind it that broke off when they were written."""
    torn: list[bytes] = []
    for data in _lines_backwards(file):
        record = _read(data)
        if record is not None:
            return record, torn
        torn.insert(0, data)
    if len(torn) > 1:
        raise ValueError(
            "the file is not an audit log, or none of its records is whole; nothing was written to it"
        )
    return None, torn


def _digest(torn: Sequence[bytes]) -> str:
    """Return what the next record says of lines that broke off; empty where there are none."""
    return hashlib.sha256(b"".join(line.rstrip(b"\n") for line in torn)).hexdigest() if torn else ""


def _lines_backwards(file: int) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first."""
    end = os.lseek(file, 0, os.SEEK_END)
    rest = b""
    while end > 0:
        begin = max(0, end - BLOCK)
        os.lseek(file, begin, os.SEEK_SET)
        first, *lines = (_exactly(file, end - begin) + rest).splitlines(keepends=True)
        yield from reversed(lines)
        rest, end = first, begin
    if rest:
        yield rest


def _exactly(file: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def _read(data: bytes) -> dict[str, Any] | None:
    """Return the record in a line; None where there is none, or not in its one form."""
    if not data.endswith(b"\n"):
        return None
    try:
        record = json.loads(data)
    except ValueError:
        return None
    whole = isinstance(record, dict) and {"hash", "number", "previous"} <= record.keys()
    return record if whole and to_line(record).encode() + b"\n" == data else None
