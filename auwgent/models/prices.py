"""What a call has cost: by the configured price, as the provider charged, or by LiteLLM's list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auwgent.models.base import ModelSpec
from auwgent.models.listed import listed
from auwgent.models.providers import OURS
from auwgent.session import Usage

CHARGING = ("openrouter",)  # they say in each answer what it has cost

_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


def known_usd(spec: ModelSpec, usage: Usage, charged: Any) -> float | None:
    """The cost by the configured price, else as `charged` by the provider, where that is a number."""
    if spec.price is not None:
        cost = usage.input_tokens * spec.price.get("input", 0.0)
        cost += usage.output_tokens * spec.price.get("output", 0.0)
        return cost / 1_000_000
    return charged if isinstance(charged, float) else None


def listed_usd(spec: ModelSpec, usage: Usage) -> float | None:
    """The cost by LiteLLM's list; None for a model without a price there."""
    rates = listed(spec)
    if rates.get("input_cost_per_token") is None:
        return None
    tier = _tier(rates, usage.input_tokens)

    def rate(name: str, otherwise: float = 0.0) -> float:
        return float(rates.get(name + tier) or rates.get(name) or otherwise)

    fresh = rate("input_cost_per_token")
    cached = rate("cache_read_input_token_cost", fresh)
    spent = (usage.input_tokens - usage.cached_tokens) * fresh + usage.cached_tokens * cached
    return spent + usage.output_tokens * rate("output_cost_per_token")


def is_priced(spec: ModelSpec) -> bool:
    """Whether what its calls cost will be known, as far as can be said before one."""
    if spec.price is not None or spec.provider in (*OURS, *CHARGING):
        return True
    return listed_usd(spec, Usage()) is not None


def _tier(rates: Mapping[str, Any], input_tokens: int) -> str:
    """What the names of the rates end with, since long prompts may cost more."""
    limits = [int(found[1]) for name in rates if (found := _TIER.fullmatch(name))]
    passed = max((limit for limit in limits if input_tokens > limit * 1000), default=0)
    return f"_above_{passed}k_tokens" if passed else ""
