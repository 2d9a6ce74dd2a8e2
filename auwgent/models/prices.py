"""Prices and context windows: from the config, the provider, or LiteLLM's list."""

from __future__ import annotations

import re
from typing import Any

from auwgent.models.base import ModelSpec
from auwgent.models.listed import listed
from auwgent.models.providers import IN_PROCESS, provider
from auwgent.session import Usage

SET_BY_PARAMS = ("n_ctx", "num_ctx")  # llama.cpp's and Ollama's names for the window they set up

_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


def known_usd(spec: ModelSpec, usage: Usage, charged: Any) -> float | None:
    """Return the cost by the configured price, else as `charged` by the provider, where that is a number."""
    if spec.price is not None:
        price = spec.price
        cost = _plain(usage) * price.input + usage.output_tokens * price.output
        cost += usage.cached_tokens * (price.input if price.cached is None else price.cached)
        cost += usage.written_tokens * (price.input if price.written is None else price.written)
        return cost / 1_000_000
    return charged if isinstance(charged, float) else None


def estimated(sent: str, written: str) -> Usage:
    """Return tokens by the length of the texts, where nobody reported them."""
    return Usage(input_tokens=len(sent) // 4 + 1, output_tokens=len(written) // 4 + 1, estimated=True)


def listed_usd(spec: ModelSpec, usage: Usage) -> float | None:
    """Return the cost by LiteLLM's list; None for a model without a price there."""
    rates = listed(spec)
    if rates.get("input_cost_per_token") is None:
        return None
    # What the names of the rates end with, since long prompts may cost more.
    input_tokens = usage.input_tokens
    limits = [int(found[1]) for name in rates if (found := _TIER.fullmatch(name))]
    passed = max((limit for limit in limits if input_tokens > limit * 1000), default=0)
    tier = f"_above_{passed}k_tokens" if passed else ""

    def rate(name: str, otherwise: float = 0.0) -> float:
        return float(rates.get(name + tier) or rates.get(name) or otherwise)

    fresh = rate("input_cost_per_token")
    cached = rate("cache_read_input_token_cost", fresh)
    written = rate("cache_creation_input_token_cost", fresh)
    spent = _plain(usage) * fresh + usage.cached_tokens * cached + usage.written_tokens * written
    return spent + usage.output_tokens * rate("output_cost_per_token")


def _plain(usage: Usage) -> int:
    """Tokens of the input that no cache had to do with."""
    return max(0, usage.input_tokens - usage.cached_tokens - usage.written_tokens)


def is_priced(spec: ModelSpec) -> bool:
    """Return whether it is known before a call how much it may cost: what a provider charges is told after it."""
    return (spec.own is None and spec.provider in IN_PROCESS) or highest_rates(spec) is not None


def highest_rates(spec: ModelSpec) -> tuple[float, float] | None:
    """Return the most that a token of input and of output may cost, in US dollars; None where nobody knows."""
    if spec.price is not None:
        dearest = max(spec.price.input, spec.price.cached or 0.0, spec.price.written or 0.0)
        return dearest / 1_000_000, spec.price.output / 1_000_000
    rates = {} if spec.own is not None else listed(spec)
    if rates.get("input_cost_per_token") is None:
        return None

    def most(*beginnings: str) -> float:
        found = [
            value
            for name, value in rates.items()
            if name.startswith(beginnings) and isinstance(value, int | float) and "batch" not in name
        ]
        return float(max(found, default=0.0))

    written = ("input_cost_per_token", "cache_creation_input_token_cost", "input_cost_per_audio_token")
    return most(*written), most(
        "output_cost_per_token", "output_cost_per_reasoning_token", "output_cost_per_audio"
    )


def window(spec: ModelSpec) -> int | None:
    """Return tokens that the model and each of its fallbacks can read; None where no window is known."""
    known = [own for one in (spec, *spec.fallbacks) if (own := _own_window(one)) is not None]
    return min(known, default=None)


def _own_window(spec: ModelSpec) -> int | None:
    for name in SET_BY_PARAMS:
        if isinstance(spec.params.get(name), int):
            return int(spec.params[name])
    if spec.own is not None or spec.provider in IN_PROCESS:
        return provider(spec).window
    entry = listed(spec)
    tokens = entry.get("max_input_tokens") or entry.get("max_tokens")
    return tokens if isinstance(tokens, int) else None
