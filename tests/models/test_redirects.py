"""Keys, headers and conversations go to the configured address and nowhere else; what has no end is given up."""

import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from auwgent.errors import ProviderError
from auwgent.models.base import ModelSpec, Route
from auwgent.models.direct import DirectModel
from auwgent.models.embedding import embed
from auwgent.models.litellm import LiteLLMModel
from tests.models.asking import asked, hear, user
from tests.support.raw_server import Step, raw_server, whole
from tests.support.serving import serving

pytestmark = pytest.mark.usefixtures("alone")

BEDROCK = {
    "aws_region_name": "us-east-1",
    "aws_access_key_id": "AKIACANARY",
    "aws_secret_access_key": "canary-2",
}
ASKED = (
    ("direct", "openai/m"),
    ("direct", "anthropic/claude-sonnet-4-5"),
    ("direct", "gemini/gemini-2.5-flash"),
    ("litellm", "openai/m"),
    ("litellm", "openai/responses/m"),
    ("litellm", "anthropic/claude-sonnet-4-5"),
    ("litellm", "gemini/gemini-2.5-flash"),
    ("litellm", "azure/m"),
    ("litellm", "mistral/m"),
    ("litellm", "ollama_chat/m"),
    ("litellm", "bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0"),
)


def model(via: str, name: str, url: str, timeout: float = 20) -> Route:
    params = BEDROCK if name.startswith("bedrock") else {}
    spec = ModelSpec(
        name,
        api_key="key-canary-1",
        base_url=url,
        headers={"X-Team": "canary-3"},
        params=params,
        timeout=timeout,
    )
    return DirectModel(spec) if via == "direct" else LiteLLMModel(spec)


@pytest.mark.parametrize(
    ("via", "name", "status", "streams"),
    [
        *((via, name, 307, True) for via, name in ASKED),
        *((via, name, 302, False) for via, name in ASKED),
        *((via, name, status, True) for via, name in ASKED[:6] for status in (301, 303, 308)),
    ],
)
async def test_a_redirect_is_followed_by_nobody(via: str, name: str, status: int, streams: bool) -> None:
    async with raw_server([whole("{}")]) as other:
        target = f"{other.url.replace('127.0.0.1', 'localhost')}/else?token=canary-4"
        async with raw_server([whole("", status=status, Location=target)]) as server:
            with pytest.raises(ProviderError) as caught:
                await hear(model(via, name, server.url), asked(user("private words"), stream=streams))
        assert other.requests == []
    assert (caught.value.fault, caught.value.retryable) == ("protocol", False)
    assert f"points to {target.partition('?')[0]}. Redirects are not followed" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.process
async def test_no_redirect_is_followed_for_vectors() -> None:
    async with raw_server([whole("{}")]) as other:
        async with raw_server([whole("", status=307, Location=other.url)]) as server:
            spec = ModelSpec("openai/m", api_key="key-canary-1", base_url=server.url)
            with pytest.raises(ProviderError, match="points to"):
                await embed(spec, ["private words"])
        assert other.requests == []


HEAD = "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Connection: close\r\n\r\n"
ENDLESS: dict[str, tuple[str, bytes, bytes]] = {
    "an error": (HEAD.format(status=500, kind="text/plain", more=""), b"", b"x" * 2**20),
    "a line": (HEAD.format(status=200, kind="text/event-stream", more=""), b"data: ", b"x" * 2**20),
    "comments": (HEAD.format(status=200, kind="text/event-stream", more=""), b"", b": " + b"x" * 2**16 + b"\n\n"),
    "a whole": (HEAD.format(status=200, kind="application/json", more=""), b'{"choices": [', b"1," * 2**19),
    "a packed line": (
        HEAD.format(status=200, kind="text/event-stream", more="Content-Encoding: gzip\r\n"),
        b"",
        gzip.compress(b"data: " + b"x" * 50_000_000),
    ),
    "a redirect": (HEAD.format(status=307, kind="text/plain", more="Location: /x\r\n"), b"", b"x" * 2**20),
}  # fmt: skip


@asynccontextmanager
async def endless(head: str, begin: bytes, more: bytes) -> AsyncIterator[str]:
    async def serve(reader: object, writer: object) -> None:
        await reader.readuntil(b"\r\n\r\n")  # type: ignore[attr-defined]
        try:
            writer.write(head.encode() + begin)  # type: ignore[attr-defined]
            for _ in range(2000):
                writer.write(more)  # type: ignore[attr-defined]
                await writer.drain()  # type: ignore[attr-defined]
        except ConnectionError:
            pass

    async with serving(serve) as url:
        yield url


def resident() -> float:
    """MB of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "via", "name"),
    [
        *((kind, "direct", name) for kind in ENDLESS for name in ("openai/m", "anthropic/claude-sonnet-4-5")),
        *((kind, "litellm", "openai/m") for kind in ("an error", "a line", "a packed line", "comments")),
        *((kind, "litellm", "anthropic/claude-sonnet-4-5") for kind in ("an error", "a line", "a whole")),
        *((kind, "litellm", "gemini/gemini-2.5-flash") for kind in ("a packed line", "a redirect")),
    ],
)
async def test_what_has_no_end_is_given_up_in_little_memory(kind: str, via: str, name: str) -> None:
    await hear_once(via, name)  # what is loaded once does not count
    before = resident()
    async with endless(*ENDLESS[kind]) as url:
        with pytest.raises(ProviderError) as caught:
            await hear(model(via, name, url), asked(user("Hi")))
        assert resident() - before < 200
    assert caught.value.fault == ("unavailable" if kind == "an error" else "protocol")


async def hear_once(via: str, name: str) -> None:
    nothing: list[Step] = [whole("", status=404)]
    async with raw_server(nothing) as server:
        with pytest.raises(ProviderError):
            await hear(model(via, name, server.url), asked(user("Hi")))
