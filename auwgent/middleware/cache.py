"""Caches answers: the same request gets the same answer, and the model is not asked again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from auwgent.hooks.context import Context
from auwgent.intents import CALLS
from auwgent.middleware.kept import Bytes, Kept, Time, option
from auwgent.session import Media, Turn
from auwgent.store.side import answers

FORM = 1  # of what is hashed; another one makes all that was kept before another request's


class Cache(Kept):
    """Gives the answer of an earlier call whose request was the same in all the model could see.

    That is: model, endpoint and params, system prompt, messages, tools and output schema. Answers are kept in
    a database (`url`; `.auwgent/cache.db` beside the config file unless it is given) for as long as `keep`
    ("30m", "7d"). They are kept for each user apart, unless `shared`. Replies that call tools and answers to
    tools' results are left alone, unless `tools` is on: what a tool finds may be another thing today.

    An answer that was cut short or filtered, that did not fit its schema, that came from a fallback, or that other
    middleware has changed is not kept. When answers fill more than `max_size`, the oldest go.
    """

    name = "cache"
    watches = True
    tables = answers.TABLES
    DEFAULT_FILE = ".auwgent/cache.db"

    keep: Time = option(default="7d")
    tools: bool = False
    shared: bool = False
    url: str | None = None
    max_size: Bytes = option(default="100MB")

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("`keep` must be longer than nothing")
        super().__post_init__()

    async def open(self) -> None:
        """Open the database, and delete what is too old."""
        await self.carry_out(answers.forget, self.clock() - self.keep)

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """Give the answer, if it is there. `ctx["cache"]` says whether it was."""
        if ctx.modelReply is not None or (_after_tools(ctx.messages) and not self.tools):
            return
        question, since = self._question(ctx), self.clock() - self.keep
        found = await self.carry_out(answers.find, question, since)
        ctx["cache"] = "miss" if found is None else "hit"
        if found is not None:
            ctx.modelReply = found

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        """Keep a reply that calls tools, as soon as its first call is known to be one that may be made."""
        if self.tools and name in CALLS:
            await self._keep_reply(ctx)

    async def onLLMEnd(self, response: dict[str, Any], ctx: Context) -> None:
        """Keep an answer that has ended the agent's turn, so that it is one that fits."""
        reply = ctx.modelReply
        is_answer = reply is not None and (not reply["calls"] or "response" in response)
        if self.tools or (is_answer and not _after_tools(ctx.messages)):
            await self._keep_reply(ctx)

    async def _keep_reply(self, ctx: Context) -> None:
        reply = ctx.modelReply
        # One that was redacted, blocked or replaced is of this moment, and what it was may be kept nowhere.
        if reply is None or ctx.replyChanged or not ctx.keep or not _is_worth_keeping(reply, str(ctx.model)):
            return
        at = self.clock()
        await self.carry_out(answers.keep, self._question(ctx), reply, at, at - self.keep, self.max_size)

    def _question(self, ctx: Context) -> str:
        """Return the hash of all that the model is told, and of whom it is for."""
        request = [
            FORM,
            None if self.shared else str(ctx.userId or ""),
            [ctx.model, ctx.url, ctx.config],
            ctx.systemPrompt,
            [*_said(ctx.messages)],
            [*ctx.toolSpecs],
            ctx.outputSchema,
        ]
        return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()


def _said(messages: Sequence[Turn]) -> Iterator[list[Any]]:
    """Yield what of each message the model can see. Call ids are random: calls are known by their numbers."""
    numbers: dict[str, int] = {}
    for turn in messages:
        calls = []
        for call in turn.tool_calls or ():
            numbers[call.id] = len(numbers)
            calls.append([numbers[call.id], call.name, call.args])
        parts = turn.content if isinstance(turn.content, list) else ()
        media = [part.model_dump(mode="json") for part in parts if isinstance(part, Media)]
        yield [turn.role, turn.text, media, calls, numbers.get(turn.tool_call_id or "")]


def _after_tools(messages: Sequence[Turn]) -> bool:
    """Return whether results of tools stand behind the user's last words."""
    for turn in reversed(messages):
        if turn.role != "assistant":
            return turn.role == "tool"
    return False


def _is_worth_keeping(reply: dict[str, Any], model: str) -> bool:
    """Return whether it is a whole answer, and of the model that was asked: a fallback's is for now only."""
    by_itself = reply["model"] == model or "/" not in model  # a name of [models.*] stands for another one
    whole = reply["finish_reason"] in ("stop", "tool_calls")
    return by_itself and whole and bool(reply["text"] or reply["calls"])
