"""How long a request is and may be: from our estimates to what the provider counts."""

from __future__ import annotations

from dataclasses import dataclass

from auwgent.hooks.context import Context
from auwgent.middleware.compaction.shortening import Conversation, Shortened, Size, estimate

# The provider's tokens to ours, in text: none has more tokens than bytes, nor one for more than 32 bytes on average.
DENSEST, THINNEST = 4.0, 0.125


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a request may be; None: no limit."""

    tokens: int | None
    turns: int | None

    def __str__(self) -> str:
        known = {"tokens": self.tokens, "turns": self.turns}
        return " or ".join(f"{value} {unit}" for unit, value in known.items() if value is not None)

    def allows(self, size: Size) -> bool:
        return (self.tokens is None or size.tokens <= self.tokens) and (
            self.turns is None or size.turns <= self.turns
        )

    def part(self, share: float) -> Limit:
        tokens = None if self.tokens is None else int(self.tokens * share)
        return Limit(tokens, None if self.turns is None else max(1, int(self.turns * share)))


@dataclass(frozen=True, slots=True)
class Measure:
    """From our rough estimate of messages to what the whole request has, with system prompt and tools.

    What a provider has counted is believed. Where it is more than text can be, the rest is of the media, or of what
    the provider adds to each request; where it is less, it has counted a part of the request only.
    """

    beside: int  # tokens of all that is not messages, estimated
    ratio: float = 1.0  # of the provider's tokens to ours, in text
    media: float = 1.0  # the same, in files and images
    more: int = 0  # tokens that the provider adds

    @classmethod
    def of(cls, ctx: Context, conversation: Conversation, mark: Shortened) -> Measure:
        """With the last request whose size was reported as the measure, where there is one."""
        beside = estimate(ctx.systemPrompt, ctx.toolSpecs, ctx.outputSchema)
        messages = conversation.messages
        for index in range(len(messages) - 1, 0, -1):
            usage = messages[index].usage
            if usage is None or usage.estimated or not usage.input_tokens:
                continue
            earlier = conversation.sent_before(index)
            return (
                cls._by(usage.input_tokens, beside, earlier.size(mark))
                if earlier.knows(mark)
                else cls(beside)
            )
        return cls(beside)

    @classmethod
    def _by(cls, counted: int, beside: int, sent: Size) -> Measure:
        text = max(1, beside + sent.text)
        if sent.media and counted >= text:
            return cls(beside, media=(counted - text) / sent.media)
        ratio = counted / (text + sent.media)
        if ratio > DENSEST:
            return cls(beside, more=counted - text)
        if ratio < THINNEST:
            return cls(beside)
        return cls(beside, ratio, ratio)

    def real(self, size: Size) -> Size:
        """Return the size as the provider counts it."""
        text = (size.text + self.beside) * self.ratio
        return Size(int(text + size.media * self.media + self.more), size.turns)
