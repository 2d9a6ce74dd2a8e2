"""Retrieval: passages of your documents that are near to what the user says, for the prompt to show."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from auwgent.hooks.context import Context
from auwgent.middleware.chunks import chunks
from auwgent.middleware.options import Count, Options, checked
from auwgent.session import Session, Text, new_id
from auwgent.store.side import SideDatabase, passages
from auwgent.store.side.passages import Found, Passage, Source

DEFAULT_FILE = ".auwgent/index.db"
BATCH = 64  # passages that are embedded with one request

EmbedTexts = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


class RetrieveOptions(Options):
    collection: Annotated[str, Field(min_length=1)]
    top: Count
    min_score: Annotated[float, Field(ge=-1, le=1, strict=False)]
    into: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    size: Annotated[int, Field(ge=50)]
    overlap: Annotated[int, Field(ge=0)]


class Retrieve:
    """Finds the passages nearest to the input, before prompts are rendered, and puts them in `ctx`.

    `{{ ctx.knowledge }}` in a prompt (or the name that `into` gives) shows the `top` passages with their sources,
    without those below `min_score` (the cosine, from -1 to 1). `ctx["passages"]` has them as data. Documents are put
    into the index with `auwgent index FILES…`, in passages of at most `size` characters that overlap by `overlap`.
    Both use the model under `[embedding]`. The index is kept in a database (`url`; `.auwgent/index.db` beside the
    config file unless it is given; PostgreSQL uses pgvector if the database has it), under the name `collection`.
    """

    name = "retrieve"
    folder: Path | None = None  # the config file's; the runtime sets it before `open`

    def __init__(
        self,
        url: str | None = None,
        collection: str = "documents",
        top: int = 5,
        min_score: float = 0.0,
        into: str = "knowledge",
        size: int = 1200,
        overlap: int = 200,
    ) -> None:
        self._options = checked(
            RetrieveOptions,
            collection=collection,
            top=top,
            min_score=min_score,
            into=into,
            size=size,
            overlap=overlap,
        )
        if overlap * 2 > size:
            raise ValueError("`overlap` must be at most half of `size`")
        self._database = SideDatabase(url, passages.tables, default=DEFAULT_FILE)
        self._note = f"retrieve {new_id()}"  # of a run on its ctx; each instance has its own

    @property
    def collection(self) -> str:
        """The name in the index."""
        return self._options.collection

    async def open(self) -> None:
        """Open the index."""
        await self._database.open(self.folder)

    async def close(self) -> None:
        """Let what is under way end, then close the index."""
        await self._database.close()

    async def onRunStart(self, session: Session, ctx: Context) -> None:
        await self._fill(ctx)

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """For helpers that alone are the target: their run has begun without us."""
        if ctx.get(self._note) is None:
            await self._fill(ctx)

    async def search(self, words: str, embed: EmbedTexts) -> list[Found]:
        """The passages nearest to some words, the nearest first."""
        options = self._options
        if not words.strip():
            return []
        (vector,) = await embed([words])
        found = await self._database.run(
            self.folder, passages.search, options.collection, vector, options.top
        )
        return [one for one in found if one.score >= options.min_score]

    async def sources(self) -> list[Source]:
        """What is in the index."""
        return await self._database.run(self.folder, passages.listed, self.collection)

    async def add(self, name: str, text: str, embed: EmbedTexts, *, model: str = "") -> int | None:
        """Put a text into the index, in place of what it was before; how many passages it has.

        None where it is there already as it is, embedded by that model.
        """
        options = self._options
        form = f"{model}\n{options.size}\n{options.overlap}\n{text}"
        digest = hashlib.sha256(form.encode("utf-8", "replace")).hexdigest()
        if any((one.name, one.digest) == (name, digest) for one in await self.sources()):
            return None
        texts = chunks(text, options.size, options.overlap)
        content: list[Passage] = []
        for begin in range(0, len(texts), BATCH):
            batch = texts[begin : begin + BATCH]
            content += map(Passage, batch, await embed(batch))
        source = Source(name, digest, len(content))
        await self._database.run(self.folder, passages.put, self.collection, source, content)
        return len(content)

    async def remove(self, names: Collection[str]) -> int:
        """Take texts out of the index; how many there were."""
        return await self._database.run(self.folder, passages.remove, self.collection, names)

    async def _fill(self, ctx: Context) -> None:
        found = await self.search(_question(ctx), ctx.embedBatch)
        ctx[self._note] = True
        ctx["passages"] = [
            {"source": one.source, "text": one.text, "score": round(one.score, 4)} for one in found
        ]
        ctx.setContext({**ctx.contextValues, self._options.into: shown(found)})


def shown(found: Sequence[Found]) -> str:
    """The passages as a prompt shows them."""
    return "\n\n".join(f"[{number}] {one.source}\n{one.text}" for number, one in enumerate(found, 1))


def _question(ctx: Context) -> str:
    """What the user says; where a run goes on without new input, what he said last."""
    content: Any = ctx.input
    if content is None:
        said = [turn.text for turn in ctx.session.turns if turn.role == "user"]
        return said[-1] if said else ""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))
