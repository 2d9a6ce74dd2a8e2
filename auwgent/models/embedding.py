"""Makes vectors of texts with the model under `[embedding]`."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from auwgent.errors import ProviderError
from auwgent.models import spending
from auwgent.models.base import ModelSpec
from auwgent.models.faults import explained
from auwgent.models.litellm import library
from auwgent.models.prices import estimated, known_usd, listed_usd
from auwgent.models.providers import IN_PROCESS, base_url_for, missing_key
from auwgent.models.quotes import Purse
from auwgent.session import Usage

SCRIPTED_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class Embedder:
    """Makes vectors by one model, whose key may change: `spec` gives it as it is now."""

    spec: Callable[[], ModelSpec]

    @property
    def model(self) -> str:
        """The `provider/model`."""
        return self.spec().name

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        return await embed(self.spec(), texts)

    async def paid(self, texts: Sequence[str], purse: Purse | None) -> tuple[list[list[float]], Usage]:
        """Return the vectors, once the most that they may cost is set aside, and what they have used."""
        spec = self.spec()
        if purse is None:
            return await _embedded(spec, texts)
        reserved = await purse.reserve(spending.embedding(spec, texts))
        try:
            vectors, usage = await _embedded(spec, texts)
        except ProviderError as error:
            if error.status is not None:
                await reserved.release()  # refused: nothing was made of it
            raise
        else:
            if not usage.estimated or spec.provider in IN_PROCESS:
                await reserved.settle(usage)
            return vectors, usage
        finally:
            reserved.keep()  # what was neither settled nor released


async def embed(spec: ModelSpec, texts: Sequence[str]) -> list[list[float]]:
    """One vector for each text, in their order, in one request. Failures are `ProviderError`.

    `scripted/…` gives unit vectors that follow from the words alone: texts that share words are near.
    """
    return (await _embedded(spec, texts))[0]


async def _embedded(spec: ModelSpec, texts: Sequence[str]) -> tuple[list[list[float]], Usage]:
    if not texts:
        return [], Usage(usd=0.0)
    if spec.provider == "scripted":
        return [_from_words(text) for text in texts], Usage(usd=0.0)
    if spec.provider == "local":
        raise ProviderError(
            f"{spec.name} writes texts and makes no vectors; name an embedding model under [embedding]",
            provider=spec.provider,
            model=spec.name,
            fault="bad_request",
        )
    if problem := missing_key(spec):
        raise ProviderError(problem, provider=spec.provider, model=spec.name, fault="auth")
    litellm = await library()
    failure: ProviderError | None = None
    try:
        async with asyncio.timeout(spec.timeout):
            response = await litellm.aembedding(
                **spec.params,
                model=spec.name,
                input=list(texts),
                api_key=spec.api_key,
                api_base=base_url_for(spec.provider, spec.base_url, vectors=True),
                extra_headers=dict(spec.headers) or None,
                timeout=2 * spec.timeout,  # ours is the one that counts
                max_retries=0,
            )
        rows = sorted(response.data, key=lambda row: row["index"])
        vectors = [list(map(float, row["embedding"])) for row in rows]
        used = _used(spec, response, texts)
    except Exception as error:
        failure = explained(error, spec, begun=False)
    if failure is not None:
        raise failure  # not from its cause: that holds the request, and with it the key
    if len(vectors) != len(texts) or not all(vectors):
        raise ProviderError(
            f"{spec.name} answered {len(texts)} texts with {len(list(filter(None, vectors)))} vectors",
            provider=spec.provider,
            model=spec.name,
            fault="protocol",
        )
    return vectors, used


def _used(spec: ModelSpec, response: Any, texts: Sequence[str]) -> Usage:
    """Return what the provider says that it has read; an estimate where it does not say."""
    told = getattr(getattr(response, "usage", None), "prompt_tokens", None)
    usage = Usage(input_tokens=told) if told else estimated("".join(texts), "")
    cost = known_usd(spec, usage, None)
    return usage.model_copy(update={"usd": listed_usd(spec, usage) if cost is None else cost})


def _from_words(text: str) -> list[float]:
    vector = [0.0] * SCRIPTED_DIMENSIONS
    for word in text.casefold().split():
        vector[zlib.crc32(word.strip(".,;:!?\"'()").encode()) % SCRIPTED_DIMENSIONS] += 1.0
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]
