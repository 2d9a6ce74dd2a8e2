"""Broken inputs in great numbers: what a config, `--set`, a session file, arguments or a stream may hold.

`./dev python benchmarks/fuzz.py [KIND …] [--count 100000] [--seconds 600] [--seed 1]` tries them in this process and
prints for each kind how many were tried, how many were refused, and how long the slowest took. It shows the first input
that ends in another error than a documented one, or takes more than two seconds of CPU; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from auwgent.cli import sessions
from auwgent.config import load
from auwgent.errors import ConfigError
from auwgent.models.answer import Answer
from auwgent.models.base import ModelSpec
from auwgent.models.faults import explained
from auwgent.models.formats import anthropic, chat, gemini
from auwgent.models.reading import answers, read_arguments
from auwgent.models.received import answered
from auwgent.session import Session, ToolCall, Turn, Usage

ROOT = Path(__file__).parent.parent
SLOW = 2.0  # seconds
ODD = (
    *(
        b"\0",
        b"\xff",
        b"\xe2\x80\xae",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n\n",
        b"${X}",
        b"$$",
        b"\\u0000",
        b"\\ud800",
    ),
    *(
        b"[" * 300,
        b'{"a":' * 300,
        b"9" * 400,
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b'"',
    ),
    *(b"'''", b'"""', b"[[x]]", b"a.b.c = 1\n", b"=", b",", b":", b"data: ", b"event: error\n", b"[DONE]"),
)


def broken(chance: random.Random, data: bytes) -> bytes:
    """Return it with a few parts taken away, doubled, moved or made odd."""
    text = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 1, 1, 4, 20, 200)))
        what = chance.randrange(5)
        if what == 0:
            del text[start:end]
        elif what == 1:
            text[start:start] = text[start:end]
        elif what == 2:
            text[start:end] = chance.choice(ODD)
        elif what == 3 and start < len(text):
            text[start] = chance.randrange(256)
        else:
            other = chance.randrange(len(text) + 1)
            text[start:start] = text[other : other + chance.choice((1, 10, 60))]
    return bytes(text)


def configs() -> Callable[[random.Random], tuple[bytes, Callable[[], Any]]]:
    """Config files."""
    known = [file.read_bytes() for file in sorted(ROOT.glob("examples/**/*.toml"))]
    place = Path(tempfile.mkdtemp(prefix="auwgent-fuzz-")) / "auwgent.toml"

    def one(chance: random.Random) -> tuple[bytes, Callable[[], Any]]:
        data = broken(chance, chance.choice(known))
        place.write_bytes(data)
        return data, lambda: load(place, environ={})

    return one


def options() -> Callable[[random.Random], tuple[bytes, Callable[[], Any]]]:
    """`--set`."""
    known = [
        b"limits.llm_calls=3",
        b'models.main.params={a=1,b="x"}',
        b"agent.tools=['a.b']",
        b"models.main.use=a/b",
    ]
    source = {"agent": {"model": "a/b", "tools": ["x"]}, "models": {"main": {"use": "a/b"}}}

    def one(chance: random.Random) -> tuple[bytes, Callable[[], Any]]:
        data = [broken(chance, chance.choice(known)) for _ in range(chance.choice((1, 2)))]
        texts = [each.decode(errors="surrogateescape") for each in data]
        return b" ".join(data), lambda: load(source, environ={}, overrides=texts)

    return one


def files() -> Callable[[random.Random], tuple[bytes, Callable[[], Any]]]:
    """Session files, and messages of other programs."""
    call = ToolCall(id="c1", name="add", args={"a": 1, "b": [2, {"c": None}]})
    usage = Usage(input_tokens=3, output_tokens=2, usd=0.1)
    turns = [
        Turn(role="user", content="Hi é 日本"),
        Turn(role="assistant", content="", tool_calls=[call], usage=usage, finish_reason="tool_calls"),
        Turn(role="tool", content="3", tool_call_id="c1", name="add", outcome="ok"),
        Turn(role="assistant", content="Three.", usage=usage, finish_reason="stop"),
    ]
    session = Session(id="s", user_id="u", stack=["Main"], system_prompt="Be brief.", turns=turns)
    chats = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    blocks = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    known = [session.model_dump_json().encode(), json.dumps(chats).encode(), json.dumps(blocks).encode()]

    def one(chance: random.Random) -> tuple[bytes, Callable[[], Any]]:
        data = broken(chance, chance.choice(known))
        text = io.StringIO(data.decode(errors="replace"))
        return data, lambda: sessions._read(text)

    return one


def arguments() -> Callable[[random.Random], tuple[bytes, Callable[[], Any]]]:
    """Arguments of a call, and structured answers."""
    known = [
        b'{"city": "Paris", "days": [1, 2.5, {"x": null}]}',
        b'```json\n{"a": 1}\n``` or {"a": 2}',
        b'"{}"',
    ]

    def one(chance: random.Random) -> tuple[bytes, Callable[[], Any]]:
        data = broken(chance, chance.choice(known))
        text = data.decode(errors="replace")
        return data, lambda: (read_arguments(text), list(answers(text)))

    return one


def streams() -> Callable[[random.Random], tuple[bytes, Callable[[], Any]]]:
    """Answers on three wires, in pieces."""
    piece = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    function = {"name": "add", "arguments": '{"a": 1}'}
    called = {"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": function}]}
    ended = {
        "choices": [{"index": 0, "delta": called, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1},
    }
    block = {"type": "tool_use", "id": "x", "name": "add", "input": {}}
    claude = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{}"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    ]
    parts = [{"text": "Hi"}, {"functionCall": {"name": "add", "args": {"a": 1}}}]
    google = [
        {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    ]
    known = [
        (reader, name, "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())
        for reader, name, events in (
            (chat.reader, "openai/m", [piece, ended]),
            (anthropic.reader, "anthropic/m", claude),
            (gemini.reader, "gemini/m", google),
        )
    ]

    def one(chance: random.Random) -> tuple[bytes, Callable[[], Any]]:
        reader, name, whole = chance.choice(known)
        data = broken(chance, whole)
        size = chance.choice((1, 7, 50, 4096))
        return data, lambda: asyncio.run(_heard(reader, ModelSpec(name=name), data, size))

    return one


async def _heard(reader: Callable[[], Any], spec: ModelSpec, data: bytes, size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    answer = Answer()
    try:
        async for chunk in answered(chunks(), reader()):
            for _ in answer.take(chunk):
                pass
        answer.reply(spec.name, Usage())
    except Exception as error:  # whatever it was, it is explained
        raise ConfigError(str(explained(error, spec))) from None


KINDS = {"config": configs, "set": options, "sessions": files, "arguments": arguments, "streams": streams}


def tried(kind: str, count: int, seconds: float, seed: int) -> bool:
    """Try inputs of a kind; whether all went as it should."""
    make, chance = KINDS[kind](), random.Random(seed)
    refused, slowest, until, number = 0, 0.0, time.monotonic() + seconds, 0
    for number in range(1, count + 1):
        data, work = make(chance)
        began, wrong = time.thread_time(), ""
        try:
            work()
        except ConfigError:
            refused += 1
        except BaseException as error:
            wrong = f"{type(error).__name__}: {error}"
        took = time.thread_time() - began
        slowest = max(slowest, took)
        if wrong or took > SLOW:
            print(f"{kind}: number {number} of seed {seed}: {wrong or f'{took:.1f} s'}\n{data[:2000]!r}")
            return False
        if time.monotonic() > until:
            break
    print(f"{kind:10} {number:>8,} tried, {refused:>8,} refused, slowest {slowest * 1000:.0f} ms", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[], choices=[*KINDS, []])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    went = [tried(kind, given.count, given.seconds, given.seed) for kind in given.kinds or KINDS]
    return 0 if all(went) else 1


if __name__ == "__main__":
    sys.exit(main())
