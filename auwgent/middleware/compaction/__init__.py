"""Compaction: conversations beyond any window. What a model is sent gets shorter; what is stored stays whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from auwgent.errors import LimitExceeded, ProviderError
from auwgent.hooks.context import Context
from auwgent.middleware.compaction.shortening import (
    KEY,
    Conversation,
    Fits,
    Shortened,
    Size,
    estimate,
    transcript,
)
from auwgent.middleware.compaction.sizes import Limit, Measure
from auwgent.middleware.compaction.summaries import CHUNK, TOKENS_A_WORD, WORDS, summed_up
from auwgent.middleware.kept import Configured, Count, Given, option
from auwgent.session import Session, Turn

log = logging.getLogger("auwgent.middleware")

Strategy = Literal["truncate", "summarise", "drop"]

FUTILE = 2  # attempts in a row that free nothing, after which the run ends
LEARNED = 0.9  # of what a provider has refused as too long is taken for the window
SUMMARY_SHARE = 0.25  # of a limit in tokens is room for a summary, at most
MARGIN = 16  # tokens around a summary
SHORTEST = 50  # tokens: for less room no summary is asked for

_ORDER = (
    Field(strict=False, min_length=1),
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
)
_MARKS: TypeAdapter[dict[str, Shortened]] = TypeAdapter(dict[str, Shortened])


@dataclass(slots=True)
class CompactionState:
    """What compaction knows in one run, by agent, and whether it is new."""

    marks: dict[str, Shortened] = field(default_factory=dict)
    is_new: bool = False
    futile: dict[str, int] = field(default_factory=dict)
    learned: dict[str, int] = field(default_factory=dict)  # windows, from providers that refused
    refused: set[str] = field(default_factory=set)  # ids of the last turns of requests that were too long

    def leave_on(self, turn: Turn) -> None:
        """Store how far it got with the next recorded turn, for later runs."""
        if self.is_new:
            turn.provider_data = {**(turn.provider_data or {}), KEY: _MARKS.dump_python(self.marks)}
            self.is_new = False


class Compaction(Configured):
    """Shortens what a model is sent when it grows beyond a limit; the session keeps every turn.

    The limit is a number of `turns`, of `tokens`, or a `share` of the model's window (0.8 unless something is
    given); the smallest counts, and of a model with fallbacks the smallest window. `window` is for models whose
    own is not known. When the limit is reached, the conversation is shortened to the part `keep` of it, by one
    `strategy` or several in order:

    - "truncate": of older tool results only beginning and end are sent, `result_chars` in all;
    - "summarise": the oldest turns are replaced by a summary that `model` writes (unless it is given, the agent's
      own); the call counts as any other, and nobody is shown it;
    - "drop": the oldest turns are left out.

    Calls and their results stay together, and what the model thought since the user's last words, those words
    and the system prompt are never left out. Sizes are estimated, with what the provider last reported as the
    measure. A request that a provider refuses as too long is shortened once and sent again. Where nothing can be
    freed twice in a row, the run ends with `LimitExceeded`.

    How far it got is kept with the turn that comes next, for later runs.
    """

    gives_key = False

    name: ClassVar[str] = "compaction"

    share: Annotated[float, Field(gt=0, le=1, strict=False)] | None = None
    tokens: Count | None = None
    turns: Count | None = None
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    strategy: Annotated[Given[Strategy | Sequence[Strategy], tuple[Strategy, ...]], *_ORDER] = option(
        default=("truncate", "drop")
    )
    model: str | None = None
    window: Count | None = None
    result_chars: Annotated[int, Field(ge=40)] = 1000

    def __post_init__(self) -> None:
        if self.share is None and self.tokens is None and self.turns is None:
            self.share = 0.8
        if self.model is not None and "summarise" not in self.strategy:
            raise ValueError('`model` is for the strategy "summarise"')

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """Shorten the request if it is too long."""
        notes, agent = self._notes(ctx), ctx.activeAgent
        conversation = self._conversation(ctx, prompt)
        mark = notes.marks.get(agent, Shortened())
        size = Measure.of(ctx, conversation, mark)
        window = self.window or ctx.contextWindow
        learned = notes.learned.get(str(ctx.model))
        tokens = [self.tokens, learned]
        if self.share is not None and window is not None:
            tokens.append(int(self.share * min(window, learned or window)))
        limit = Limit(min((one for one in tokens if one is not None), default=None), self.turns)
        before = conversation.size(mark)
        if not limit.allows(size.real(before)):
            mark = await self._shorter(ctx, conversation, mark, limit, size)
            after = conversation.size(mark)
            is_futile = after.tokens >= before.tokens and after.turns >= before.turns
            notes.futile[agent] = notes.futile.get(agent, 0) + 1 if is_futile else 0
            if notes.futile[agent] >= FUTILE:
                raise LimitExceeded(
                    f"the conversation of {agent!r} is longer than {limit}, and nothing more of it can be left out: "
                    "its prompt, tools or last messages are too long",
                    key="Compaction",
                )
            notes.is_new = notes.is_new or mark != notes.marks.get(agent, Shortened())
            notes.marks[agent] = mark
            ctx["compaction"] = {"agent": agent, "before": size.real(before), "after": size.real(after)}
        if mark != Shortened():
            ctx.messages = conversation.shortened(mark)

    async def onError(self, error: Exception, session: Session, ctx: Context) -> Any:
        """Send a request that was too long once more, shorter."""
        if not isinstance(error, ProviderError) or error.fault != "context" or not ctx.messages:
            return None
        notes, last, model = self._notes(ctx), ctx.messages[-1].id, str(ctx.model)
        if last in notes.refused:
            return None
        notes.refused.add(last)
        conversation = self._conversation(ctx, "")
        sent = Measure.of(ctx, conversation, Shortened()).real(conversation.size(Shortened())).tokens
        notes.learned[model] = min(int(sent * LEARNED), notes.learned.get(model, sent))
        return {"forceStart": "llm_start"}

    def _notes(self, ctx: Context) -> CompactionState:
        notes: CompactionState | None = ctx.get(self.run_key)
        if notes is None:
            # A store that reads the newest turns alone may not read the one that the marks were left on again.
            marks = _left_by_earlier_runs(ctx.session.turns)
            is_new = bool(marks) and ctx.get("unreadUsage") is not None
            ctx[self.run_key] = notes = CompactionState(marks, is_new)
            ctx.changeTurns(notes.leave_on)
        return notes

    def _conversation(self, ctx: Context, prompt: str) -> Conversation:
        """Return the messages of this call. What is not of the session, examples for one, stays."""
        messages = ctx.messages
        stored = {turn.id for turn in ctx.session.turns}
        users = [turn for turn in reversed(messages) if turn.role == "user"]
        question = next((turn for turn in users if turn.text == prompt), users[0] if users else None)
        return Conversation(
            messages,
            pinned={turn.id for turn in messages} - stored,
            question=question.id if question is not None else "",
            chars=self.result_chars,
        )

    async def _shorter(
        self, ctx: Context, conversation: Conversation, mark: Shortened, limit: Limit, size: Measure
    ) -> Shortened:
        """A mark with which the conversation has the size to keep, or comes as near to it as can be."""
        target = limit.part(self.keep)

        def fits(rough: Size) -> bool:
            return target.allows(size.real(rough))

        for strategy in self.strategy:
            match strategy:
                case "truncate":
                    mark = conversation.truncated(mark, fits)
                case "drop":
                    mark = conversation.cut(mark, fits)
                case "summarise":
                    mark = await self._summarised(ctx, conversation, mark, fits, limit, size)
        if not limit.allows(size.real(conversation.size(mark))):
            mark = conversation.truncated(mark, lambda rough: limit.allows(size.real(rough)), everything=True)
        return mark

    async def _summarised(
        self,
        ctx: Context,
        conversation: Conversation,
        mark: Shortened,
        fits: Fits,
        limit: Limit,
        size: Measure,
    ) -> Shortened:
        """Cut, with a summary of what is left out, unless there would be no room for one."""
        words = (
            WORDS if limit.tokens is None else min(WORDS, int(limit.tokens * SUMMARY_SHARE / TOKENS_A_WORD))
        )
        more = max(0, words * TOKENS_A_WORD - estimate(mark.summary))
        cut = conversation.cut(mark, lambda rough: fits(rough._replace(tokens=rough.tokens + more)))
        if cut.cut == mark.cut:
            return mark
        room = self._room(conversation, cut, limit, size)
        if room is not None and room < SHORTEST:
            log.warning("a part of a conversation is left out without a summary: there is no room for one")
            return cut
        summary = await summed_up(
            mark.summary,
            transcript(conversation.between(mark, cut)),
            lambda prompt: ctx.ask(prompt, model=self.model),
            words=words,
            tokens=min(CHUNK, limit.tokens or CHUNK),
        )
        if room is not None and estimate(summary) > room:
            summary = summary[: len(summary) * room // estimate(summary)].rstrip() + " …"
        return cut.model_copy(update={"summary": summary})

    def _room(self, conversation: Conversation, cut: Shortened, limit: Limit, size: Measure) -> int | None:
        """Return tokens that a summary may have; None: as many as it likes."""
        if limit.tokens is None:
            return None
        used = size.real(conversation.size(cut.model_copy(update={"summary": ""}))).tokens
        return int((limit.tokens - used) / max(1.0, size.ratio)) - MARGIN


def _left_by_earlier_runs(turns: Sequence[Turn]) -> dict[str, Shortened]:
    """How far the conversation was shortened before. What is not of its form came from elsewhere, and is nothing."""
    for turn in reversed(turns):
        if turn.provider_data and KEY in turn.provider_data:
            try:
                return _MARKS.validate_python(turn.provider_data[KEY])
            except ValidationError:
                return {}
    return {}
