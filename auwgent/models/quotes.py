"""What a request may use at most, and who pays for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from auwgent.session import Usage


@dataclass(frozen=True, slots=True)
class Quote:
    """What one request may use at most. Rates are US dollars for a token; None: nobody knows them.

    A model in this process costs nothing, and its tokens are counted when it has answered.
    """

    model: str  # provider/model
    input_tokens: int
    output_tokens: int
    is_limited: bool  # by its params or the model: more than `output_tokens` cannot come
    least: int = 0  # output tokens below which it is not worth its price
    rates: tuple[float, float] | None = None  # for input and output
    counted: dict[Any, Any] = field(
        default_factory=dict, compare=False
    )  # notes of those who have reserved it

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens

    @property
    def usd(self) -> float:
        """The price, as far as it is known."""
        into, out = self.rates or (0.0, 0.0)
        return self.input_tokens * into + self.output_tokens * out

    @property
    def at_least(self) -> Quote:
        """The request with the least output that is worth its price."""
        return replace(self, output_tokens=min(self.least, self.output_tokens))

    def within(self, tokens: float, usd: float) -> Quote | None:
        """The request with as much output as those tokens and dollars pay for; None where that is too little."""
        into, out = self.rates or (0.0, 0.0)
        left = min(self.output_tokens, tokens - self.input_tokens)
        if usd < self.usd:
            left = min(left, (usd - self.input_tokens * into) / out) if out else -1
        if left < min(self.least, self.output_tokens):
            return None
        return self if left == self.output_tokens else replace(self, output_tokens=int(left))


class Reserved(Protocol):
    """What was set aside for a request. What comes first of its ends counts."""

    output_tokens: int | None  # the most that may be asked for; None: nobody minds

    async def settle(self, usage: Usage) -> None:
        """The request has used this, and no more."""

    async def release(self) -> None:
        """The request was not made, or refused, and has cost nothing."""

    def keep(self) -> None:
        """It is not known what the request has used: all that was set aside counts."""


class Purse(Protocol):
    """Who pays for the requests of one call: its retries and stand-ins, too."""

    async def reserve(self, quote: Quote) -> Reserved:
        """Set aside what a request may use; `LimitExceeded` where there is not enough left."""
