"""From a name in the config to a model: keys, fallbacks, and what a hook may change for one call."""

import re
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import ConfigError, ProviderError
from auwgent.models.base import ModelSpec
from auwgent.models.catalog import Catalog
from auwgent.models.direct import DirectModel
from auwgent.models.litellm import LiteLLMModel
from auwgent.models.providers import PROVIDERS
from auwgent.models.scripted import ScriptedModel
from tests.models.asking import asked, hear, user
from tests.models.peers import DIRECT, Peer

KEYS = {"openai": "openai-key", "anthropic": "anthropic-key"}
MAIN = ModelSpec(
    name="openai/gpt-5-mini",
    label="main",
    base_url="https://llm.example",
    headers={"X-Team": "blue"},
    params={"temperature": 0.2},
    price={"input": 1.0, "output": 2.0},
    timeout=7,
    fallbacks=(ModelSpec(name="anthropic/claude-sonnet-4-5"),),
)


def catalog(*, environ: dict[str, str] | None = None, **named: ModelSpec) -> Catalog:
    return Catalog({"main": MAIN, **named}, KEYS, environ or {})


def spec(**settings: Any) -> ModelSpec:
    """What `main` becomes with a hook's settings."""
    return catalog().get("main", **settings).spec


def test_a_configured_name_and_a_plain_one() -> None:
    assert catalog().spec("main").base_url == "https://llm.example"
    assert catalog().spec("openai/gpt-5").base_url is None


def test_each_model_gets_the_key_of_its_provider() -> None:
    named = catalog().spec("main")
    assert named.api_key == "openai-key"
    assert [one.api_key for one in named.fallbacks] == ["anthropic-key"]
    assert catalog(environ={"GROQ_API_KEY": "groq-key"}).spec("groq/llama").api_key == "groq-key"
    assert catalog(own=ModelSpec(name="openai/gpt-5", api_key="own")).spec("own").api_key == "own"


def test_a_missing_key_is_told_before_anything_is_sent() -> None:
    with pytest.raises(ProviderError, match="MISTRAL_API_KEY") as caught:
        catalog().get("mistral/mistral-small-latest")
    assert (caught.value.fault, caught.value.retryable) == ("auth", False)


def test_a_fallback_without_a_key_is_told_too() -> None:
    named = ModelSpec(name="openai/gpt-5", fallbacks=(ModelSpec(name="groq/llama"),))
    with pytest.raises(ProviderError, match="GROQ_API_KEY"):
        catalog(careful=named).get("careful")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mian", "Did you mean 'main'?"),
        ("gpt-5-mini", "Write provider/model"),
        ("openai", "write openai/ and the model's name"),
        ("local", "write local/ and the model's name"),
        ("openai/", "Write provider/model"),
        ("/gpt-5", "Write provider/model"),
    ],
)
def test_a_name_that_is_no_model(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        catalog().get(name)


def test_no_settings_change_nothing() -> None:
    changed = spec()
    assert changed.name == MAIN.name
    assert changed.headers == MAIN.headers
    assert changed.params == MAIN.params


def test_settings_of_one_call() -> None:
    changed = spec(url="https://other.example", headers={"X": "1"}, config={"top_p": 0.5}, apiKey="one-call")
    assert changed.base_url == "https://other.example"
    assert changed.headers == {"X": "1"}
    assert changed.params == {"top_p": 0.5}
    assert changed.api_key == "one-call"
    assert catalog().spec("main").api_key == "openai-key"


@pytest.mark.parametrize("model", ["openai/gpt-5", "gpt-5"])
def test_another_model_of_the_same_provider_stays_at_its_address(model: str) -> None:
    changed = spec(model=model)
    assert changed.name == "openai/gpt-5"
    assert (changed.base_url, changed.api_key) == ("https://llm.example", "openai-key")
    assert changed.price is None


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model": "anthropic/claude-opus-4-5"}, "anthropic/claude-opus-4-5"),
        ({"provider": "anthropic"}, "anthropic/gpt-5-mini"),
        ({"provider": "anthropic", "model": "claude-opus-4-5"}, "anthropic/claude-opus-4-5"),
        ({"provider": "anthropic", "model": "anthropic/claude-opus-4-5"}, "anthropic/claude-opus-4-5"),
    ],
)
def test_another_provider_gets_nothing_of_the_first_ones(settings: dict[str, Any], name: str) -> None:
    changed = spec(**settings)
    assert changed.name == name
    assert changed.api_key == "anthropic-key"
    assert (changed.base_url, changed.headers, changed.params, changed.price) == (None, {}, {}, None)
    assert (changed.timeout, [one.name for one in changed.fallbacks]) == (7, ["anthropic/claude-sonnet-4-5"])


def test_headers_that_a_hook_only_added_to_do_not_go_to_another_provider() -> None:
    changed = spec(provider="anthropic", headers={"X-Team": "blue", "X-New": "1"})
    assert changed.headers == {"X-New": "1"}


def test_a_hook_is_told_of_an_address_that_cannot_be_used() -> None:
    through = ModelSpec(name="openai/gpt-5", via="litellm")
    with pytest.raises(ConfigError, match="may not hold a query"):
        catalog(own=through).get("own", url="https://other.example?tenant=blue")
    direct = ModelSpec(name="openai/gpt-5", via="direct")
    assert catalog(own=direct).get("own", url="https://other.example?tenant=blue").spec.base_url


def test_a_hook_may_name_a_configured_model() -> None:
    other = ModelSpec(name="anthropic/claude-sonnet-4-5", label="other", base_url="https://a.example")
    assert catalog(other=other).get("main", model="other").spec.base_url == "https://a.example"


def test_a_slash_in_a_models_name_is_no_provider() -> None:
    assert spec(provider="anthropic", model="some/model").name == "anthropic/some/model"


async def test_models_in_process_are_made_once() -> None:
    models = catalog(echo=ModelSpec(name="scripted/echo"))
    first, second = models.get("echo"), models.get("echo")
    await hear(first, asked(user("Hi")))
    await hear(second, asked(user("Ho")))
    [(_, kept)] = models._made
    assert isinstance(kept, ScriptedModel)
    assert len(kept.requests) == 2
    await models.aclose()
    assert models._made == []


def test_everything_else_is_litellms() -> None:
    models = catalog()
    models.get("cohere_chat/command-r", apiKey="key")
    models.get("main")
    assert {type(model) for _, model in models._made} <= {DirectModel, LiteLLMModel}
    assert models.needs_litellm("cohere_chat/command-r")
    assert not models.needs_litellm("anthropic/claude-sonnet-4-5")


def test_settings_of_one_call_leave_nothing_behind() -> None:
    models = catalog()
    for number in range(10):
        models.get("main", headers={"X-Trace": str(number)})
    assert models._made == []


def test_who_keeps_a_schema_is_known_by_name() -> None:
    assert catalog().keeps_schema("openai/gpt-5-mini", True)
    assert not catalog().keeps_schema("anthropic/claude-sonnet-4-5", False)


def test_a_schema_is_kept_only_if_the_model_that_is_asked_and_all_its_fallbacks_do() -> None:
    gpt, claude = "openai/gpt-5-mini", "anthropic/claude-sonnet-4-5"
    assert not catalog().keeps_schema(gpt, True, model=claude)
    assert catalog().keeps_schema(claude, True, model=gpt)
    spare = ModelSpec(name=claude)
    assert not catalog(own=ModelSpec(name=gpt, fallbacks=(spare,))).keeps_schema("own", False)


def test_no_key_is_shown() -> None:
    models = catalog()
    assert "key" not in repr(models) + repr(models.get("main")) + repr(models.spec("main"))


CLAUDE = "anthropic/claude-sonnet-4-5"


def taken_in_auto() -> set[str]:
    """The providers that are asked directly with no more than an address."""
    models = ((name, f"{name}/gemini-2.5-flash") for name in PROVIDERS)
    return {name for name, use in models if way(use, "auto", base_url="https://x.example") == "direct"}


def way(name: str, via: str, **settings: Any) -> str:
    """The class that a model of this spec is asked through."""
    own = ModelSpec(name=name, via=via, **{"api_key": "sk-x", **settings})
    found = catalog(own=own)
    return "litellm" if found.needs_litellm("own") else "direct"


@pytest.mark.parametrize("peer", DIRECT, ids=lambda peer: peer.name)
def test_auto_is_direct_where_litellm_speaks_the_same_format(peer: Peer) -> None:
    url = "https://llm.example"
    assert way(peer.model, "direct", base_url=url) == "direct"
    assert way(peer.model, "litellm", base_url=url) == "litellm"
    own_format = peer.model.startswith("ollama")
    assert way(peer.model, "auto", base_url=url) == ("litellm" if own_format else "direct")


def test_auto_is_direct_only_where_the_matrix_has_shown_it() -> None:
    shown = {peer.model.partition("/")[0] for peer in DIRECT}
    assert taken_in_auto() <= shown


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("cohere_chat/command-r", {}, "does not speak OpenAI's chat wire format"),
        (CLAUDE, {"params": {"reasoning_effort": "low"}}, "'reasoning_effort', which LiteLLM alone"),
        (CLAUDE, {"params": {"thinking": {"type": "adaptive"}}}, "'thinking', which LiteLLM alone"),
        (CLAUDE, {"api_key": "sk-ant-oat01-x"}, "token of a subscription"),
        (
            "gemini/gemini-2.5-flash",
            {"params": {"reasoning_effort": "low"}},
            "'reasoning_effort', which LiteLLM",
        ),
        ("gemini/gemma-3-27b-it", {}, "LiteLLM alone knows what gemma-3-27b-it takes"),
        ("bedrock/converse/claude", {}, "does not speak"),
        ("openai/responses/gpt-5", {}, "Responses API"),
        ("hosted_vllm/qwen3", {}, "needs a base_url"),
        ("unheard_of/model", {}, "needs a base_url"),
        ("openai/gpt-5", {"params": {"drop_params": True}}, "'drop_params', which LiteLLM alone"),
    ],
)
def test_a_model_that_cannot_be_asked_directly(name: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        catalog(own=ModelSpec(name=name, via="direct", **settings)).check_route("own")
    assert way(name, "auto", **settings) == "litellm"


@pytest.mark.parametrize(
    "params",
    [{}, {"temperature": 0.2, "stop": "END"}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}],
)
def test_a_claude_is_asked_directly(params: dict[str, Any]) -> None:
    assert way(CLAUDE, "auto", params=params) == "direct"


def test_the_docs_list_what_goes_where() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
    row = next(line for line in docs.splitlines() if line.startswith("| our own client |"))
    assert set(re.findall(r"`(\w+)/`", row)) == taken_in_auto()


def test_via_means_nothing_in_this_process() -> None:
    with pytest.raises(ConfigError, match="runs in this process"):
        catalog(own=ModelSpec(name="scripted/x", via="direct")).check_route("own")


def test_a_hook_may_change_to_a_provider_that_cannot_be_asked_directly() -> None:
    own = ModelSpec(name="openai/gpt-5", via="direct")
    assert catalog(own=own).get("own", model="bedrock/converse/m").spec.via == "auto"
