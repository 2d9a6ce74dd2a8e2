"""What a call has cost, by LiteLLM's list but without LiteLLM: the same as LiteLLM makes of it."""

import subprocess
import sys
from typing import Any

import pytest

from auwgent.models.base import ModelSpec
from auwgent.models.listed import listed
from auwgent.models.litellm import preload
from auwgent.models.prices import highest_rates, is_priced, known_usd, listed_usd
from auwgent.session import Usage

SIZES = [
    Usage(input_tokens=1000, output_tokens=100),
    Usage(input_tokens=1000, output_tokens=100, cached_tokens=400),
    Usage(input_tokens=300_000, output_tokens=100, cached_tokens=400),
]
PROVIDERS = ("openai", "openrouter", "groq", "deepseek", "xai", "mistral", "together_ai", "cerebras")


@pytest.fixture(scope="module")
def chat_models() -> list[str]:
    """Every model for chat that LiteLLM lists of these providers, as `provider/model`."""
    cost: dict[str, dict[str, Any]] = preload().result().model_cost
    return sorted(
        name if name.startswith(f"{entry['litellm_provider']}/") else f"{entry['litellm_provider']}/{name}"
        for name, entry in cost.items()
        if entry.get("litellm_provider") in PROVIDERS and entry.get("mode") == "chat"
    )


@pytest.mark.process
@pytest.mark.parametrize("usage", SIZES, ids=["short", "cached", "long"])
def test_the_list_gives_the_prices_that_litellm_reckons(chat_models: list[str], usage: Usage) -> None:
    litellm = preload().result()
    assert len(chat_models) > 200
    differing = {}
    for name in chat_models:
        spec = ModelSpec(name)
        if "off_peak_pricing" in listed(spec):  # LiteLLM looks at the clock, too
            continue
        theirs = sum(
            litellm.cost_per_token(
                model=name,
                prompt_tokens=usage.input_tokens,
                completion_tokens=usage.output_tokens,
                cache_read_input_tokens=usage.cached_tokens,
            )
        )
        ours = listed_usd(spec, usage) or 0.0  # LiteLLM makes up a zero where no price is listed
        if ours != pytest.approx(theirs):
            differing[name] = (ours, theirs)
    assert differing == {}


def test_a_configured_price_counts_tokens_of_a_cache_as_it_says_else_like_all_others() -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=500_000, written_tokens=300_000)
    spec = ModelSpec("a/b", price={"input": 3.0, "output": 15.0})
    assert known_usd(spec, usage, None) == pytest.approx(3.0)
    spec = ModelSpec("a/b", price={"input": 3.0, "output": 15.0, "cached": 0.3, "written": 3.75})
    assert known_usd(spec, usage, None) == pytest.approx(0.2 * 3 + 0.5 * 0.3 + 0.3 * 3.75)
    rates = highest_rates(spec)
    assert rates == (3.75 / 1_000_000, 15.0 / 1_000_000)


def test_the_configured_price_goes_before_what_the_provider_charged() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    spec = ModelSpec("openai/gpt-4o-mini", price={"input": 3.0, "output": 15.0})
    assert known_usd(spec, usage, 0.5) == 18.0
    assert known_usd(ModelSpec("openai/gpt-4o-mini"), usage, 0.5) == 0.5
    assert known_usd(ModelSpec("openai/gpt-4o-mini"), usage, None) is None


def test_a_model_that_is_not_listed_has_no_price() -> None:
    assert listed_usd(ModelSpec("openai/unheard-of"), SIZES[0]) is None


@pytest.mark.process
def test_the_list_is_read_without_litellm() -> None:
    code = (
        "import sys; from auwgent.models.listed import listed; from auwgent.models.base import ModelSpec; "
        "assert listed(ModelSpec('openai/gpt-4o-mini')); print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("spec", "priced"),
    [
        (ModelSpec("openai/gpt-5-mini"), True),
        (ModelSpec("openai/responses/gpt-5-mini"), True),
        (ModelSpec("bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0"), True),
        (ModelSpec("openai/nobody-knows-it"), False),
        (ModelSpec("openai/nobody-knows-it", price={"input": 0, "output": 0}), True),
        (ModelSpec("openrouter/some/model"), False),  # what it charges is told too late
        (ModelSpec("local/smollm2"), True),
        (ModelSpec("scripted/echo"), True),
        (ModelSpec("ollama_chat/llama3.2"), False),
    ],
)
def test_whether_a_call_will_have_a_price_is_known_before_it(spec: ModelSpec, priced: bool) -> None:
    assert is_priced(spec) is priced
