"""Texts as vectors."""

from __future__ import annotations

import math

import pytest

from auwgent import ConfigError, ProviderError, auwgent
from auwgent.models.base import ModelSpec
from auwgent.models.embedding import embed
from tests.support.aimock import Aimock
from tests.support.raw_server import raw_server, whole


async def test_scripted_vectors_follow_from_the_words() -> None:
    spec = ModelSpec("scripted/vectors")
    cat, also_cat, dog = await embed(spec, ["The cat sleeps.", "the cat sleeps", "A dog barks loudly"])
    assert cat == also_cat != dog
    assert math.isclose(sum(number * number for number in cat), 1.0)


async def test_no_texts_are_no_request() -> None:
    assert await embed(ModelSpec("openai/none", base_url="http://127.0.0.1:9"), []) == []


async def test_the_embedded_model_says_that_it_makes_none() -> None:
    with pytest.raises(ProviderError, match="no vectors"):
        await embed(ModelSpec("local/smollm2"), ["x"])


async def test_ctx_and_the_agent_embed_with_the_configured_model() -> None:
    found: list[list[float]] = []

    class Embeds:
        async def onRunStart(self, session: object, ctx: object) -> None:
            found.append(await ctx.embed("a cat"))  # type: ignore[attr-defined]
            found.extend(await ctx.embedBatch(["a cat", "a dog"]))  # type: ignore[attr-defined]

    agent = auwgent(
        {
            "middleware": [Embeds],
            "agent": {"model": "scripted/echo"},
            "embedding": {"model": "scripted/vectors"},
        }
    )
    await agent.run("Hi")
    assert found[0] == found[1] != found[2]
    assert await agent.embed(["a cat"]) == [found[0]]


async def test_without_a_configured_model_it_is_said_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"\[embedding\]"):
        await auwgent({"middleware": [], "agent": {"model": "scripted/echo"}}).embed(["x"])


async def test_a_provider_gives_vectors_over_http(aimock: Aimock) -> None:
    spec = ModelSpec("openai/text-embedding-3-small", api_key="a-key", base_url=aimock.url)
    assert await embed(spec, ["a cat"]) == [[0.25, 0.5, -0.5]]


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai/m", "/v1/embeddings"),
        ("mistral/m", "/v1/embeddings"),
        ("together_ai/m", "/v1/embeddings"),
        ("gemini/m", "/v1beta/models/m:batchEmbedContents"),
        ("cohere/m", "/v2/embed"),
    ],
)
async def test_what_failed_was_asked_once_at_the_address_of_embeddings(name: str, path: str) -> None:
    async with raw_server([whole('{"error": {"message": "overloaded"}}', status=503)]) as server:
        with pytest.raises(ProviderError, match="503"):
            await embed(ModelSpec(name, api_key="a-key", base_url=server.url), ["x"])
    assert [request.path for request in server.requests] == [path]


async def test_a_missing_key_is_said_before_anything_is_sent() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as failure:
        await embed(ModelSpec("openai/text-embedding-3-small", base_url=None), ["x"])
    assert failure.value.fault == "auth"
