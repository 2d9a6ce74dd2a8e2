"""Retrieval: passages of your documents that are near to what the user says, for the prompt to show."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any

from pydantic import Field

from auwgent.errors import ProviderError
from auwgent.hooks.context import Context
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware.chunks import chunks
from auwgent.middleware.kept import Count, Kept
from auwgent.session import Session, Text
from auwgent.store.side import passages
from auwgent.store.side.passages import NearPassage, Passage, Source

log = logging.getLogger("auwgent.middleware")

SHORTER = (24_000, 6000, 1500)  # characters of a question that are tried; models read 256 to 32,000 tokens
TOO_LONG = ("context", "bad_request")  # faults of a model that may be given less
BATCH = 64  # passages that are embedded with one request

EmbedTexts = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


class Retrieve(Kept):
    """Finds the passages nearest to the input, before prompts are rendered, and puts them in `ctx`.

    `{{ ctx.knowledge }}` in a prompt (or the name that `into` gives) shows the `top` passages with their sources,
    without those below `min_score` (the cosine, from -1 to 1). `ctx["passages"]` has them as data. Documents are put
    into the index with `auwgent index FILES…`, in passages of at most `size` characters that overlap by `overlap`.
    Both use the model under `[embedding]`. The index is kept in a database (`url`; `.auwgent/index.db` beside the
    config file unless it is given; PostgreSQL uses pgvector if the database has it), under the name `collection`.
    """

    gives_key = False
    looksUp = True

    name = "retrieve"
    tables = passages.TABLES
    DEFAULT_FILE = ".auwgent/index.db"

    url: str | None = None
    collection: Annotated[str, Field(min_length=1)] = "documents"
    top: Count = 5
    min_score: Annotated[float, Field(ge=-1, le=1, strict=False)] = 0.0
    into: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] = "knowledge"
    size: Annotated[int, Field(ge=50)] = 1200
    overlap: Annotated[int, Field(ge=0)] = 200

    def __post_init__(self) -> None:
        if self.overlap * 2 > self.size:
            raise ValueError("`overlap` must be at most half of `size`")
        super().__post_init__()

    @leaves_input
    async def onRunStart(self, session: Session, ctx: Context) -> None:
        await self._fill(ctx)

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """Search for helpers that alone are the target: `onRunStart` was not called for them."""
        if ctx.get(self.run_key) is None:
            await self._fill(ctx)

    async def search(self, words: str, embed: EmbedTexts, *, model: str = "") -> list[NearPassage]:
        """Return the passages nearest to some words, the nearest first; `model` is the one that embeds."""
        if not words.strip():
            return []
        vector = await _embedded(words, embed)
        found = await self.carry_out(passages.search, self.collection, vector, self.top, model)
        return [one for one in found if one.score >= self.min_score]

    async def sources(self) -> list[Source]:
        """Return what is in the index."""
        return await self.carry_out(passages.listed, self.collection)

    async def add(self, name: str, text: str, embed: EmbedTexts, *, model: str = "") -> int | None:
        """Put a text into the index, in place of what it was before; how many passages it has.

        None where it is there already as it is, embedded by that model.
        """
        form = f"{self.size}\n{self.overlap}\n{text}"
        digest = hashlib.sha256(form.encode("utf-8", "replace")).hexdigest()
        known = {(one.name, one.digest, one.model) for one in await self.sources()}
        if (name, digest, model) in known:
            return None
        return await self._put(name, digest, chunks(text, self.size, self.overlap), embed, model)

    async def renew(self, source: Source, embed: EmbedTexts, *, model: str) -> int | None:
        """Have the vectors of a source made by another model; how many passages it has, None: they are of that one."""
        if source.model == model:
            return None
        texts = await self.carry_out(passages.content, self.collection, source.name)
        return await self._put(source.name, source.digest, texts, embed, model)

    async def remove(self, names: Collection[str]) -> int:
        """Take texts out of the index; how many there were."""
        return await self.carry_out(passages.remove, self.collection, names)

    async def _put(self, name: str, digest: str, texts: Sequence[str], embed: EmbedTexts, model: str) -> int:
        content: list[Passage] = []
        for begin in range(0, len(texts), BATCH):
            batch = texts[begin : begin + BATCH]
            content += map(Passage, batch, await embed(batch))
        source = Source(name, digest, len(content), model)
        await self.carry_out(passages.put, self.collection, source, content)
        return len(content)

    async def _fill(self, ctx: Context) -> None:
        """Put what is found on ctx; without an answer of the embedding model, nothing."""
        try:
            found = await self.search(_question(ctx), ctx.embedBatch, model=ctx.get("embedModel") or "")
        except ProviderError as error:
            log.warning("the run goes on without passages: %s", error)
            found = []
        ctx[self.run_key] = True
        ctx["passages"] = [
            {"source": one.source, "text": one.text, "score": round(one.score, 4)} for one in found
        ]
        ctx.setContext({**ctx.contextValues, self.into: shown(found)})


async def _embedded(words: str, embed: EmbedTexts) -> list[float]:
    """Return the vector of a question; of one that is too long for the model, that of its beginning and end."""
    for longest in SHORTER:
        text = words
        if len(words) > longest:
            log.warning("a question is too long to be embedded: only its beginning and end are looked up")
            text = f"{words[: longest // 2]}\n…\n{words[-longest // 2 :]}"
        try:
            return (await embed([text]))[0]
        except ProviderError as error:
            if error.fault not in TOO_LONG or len(text) < SHORTER[-1]:
                raise
            failure = error
    raise failure


def shown(found: Sequence[NearPassage]) -> str:
    """Return the passages as a prompt shows them."""
    return "\n\n".join(f"[{number}] {one.source}\n{one.text}" for number, one in enumerate(found, 1))


def _question(ctx: Context) -> str:
    """Return what the user says; where a run goes on without new input, what he said last."""
    content: Any = ctx.input
    if content is None:
        said = [turn.text for turn in ctx.session.turns if turn.role == "user"]
        return said[-1] if said else ""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))
