"""Keys and addresses: where they are looked for, and what is made of them."""

import subprocess
import sys

import pytest

from auwgent.models.base import ModelSpec
from auwgent.models.listed import provider_names
from auwgent.models.litellm import preload
from auwgent.models.providers import (
    PROVIDERS,
    base_url_for,
    is_provider,
    key_for,
    key_places,
    keys_of,
    missing_key,
    near_provider,
    provider_of,
    wants_placeholder,
    wrong_address,
)


def test_a_key_of_the_config_comes_before_the_environments() -> None:
    environ = {"OPENAI_API_KEY": "from-environment"}
    assert key_for("openai", {"openai": "from-config"}, environ) == "from-config"
    assert key_for("openai", {"anthropic": "other"}, environ) == "from-environment"
    assert key_for("openai", {}, {}) is None


def test_an_empty_key_is_none() -> None:
    assert key_for("openai", {"openai": ""}, {"OPENAI_API_KEY": ""}) is None


def test_a_second_variable_is_tried() -> None:
    assert key_for("gemini", {}, {"GOOGLE_API_KEY": "google"}) == "google"
    assert key_for("gemini", {}, {"GOOGLE_API_KEY": "google", "GEMINI_API_KEY": "gemini"}) == "gemini"


def test_a_provider_nobody_has_heard_of_may_have_a_key() -> None:
    assert key_for("zai", {}, {"ZAI_API_KEY": "key"}) == "key"
    assert missing_key(ModelSpec(name="zai/glm-5")) is None


def test_a_missing_key_is_told_with_all_places() -> None:
    told = missing_key(ModelSpec(name="anthropic/claude-sonnet-4-5", label="main"))
    assert told == (
        "anthropic/claude-sonnet-4-5 needs an API key and none is set: "
        "give it as api_key under [models.main] or anthropic under [api_keys] or ANTHROPIC_API_KEY or "
        "`auwgent keys set anthropic`"
    )


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(name="openai/gpt-5", api_key="key"),
        ModelSpec(name="openai/my-own", base_url="http://localhost:8000"),
        ModelSpec(name="ollama_chat/llama3.1"),
        ModelSpec(name="bedrock/converse/anthropic.claude"),
        ModelSpec(name="hosted_vllm/qwen3"),
    ],
    ids=lambda spec: spec.name,
)
def test_not_everyone_needs_a_key(spec: ModelSpec) -> None:
    assert missing_key(spec) is None


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai/my-own", "OPENAI_BASE_URL"),
        ("openai/my-own", "OPENAI_API_BASE"),
        ("azure/mine", "AZURE_API_BASE"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_AUTH_TOKEN"),
    ],
)
def test_an_address_or_a_token_of_the_environment_may_do_without_a_key(model: str, variable: str) -> None:
    spec = ModelSpec(name=model)
    assert missing_key(spec, {}) is not None
    assert missing_key(spec, {variable: "http://127.0.0.1:1"}) is None


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("fireworks_ai", "FIREWORKSAI_API_KEY"),
        ("fireworks_ai", "FIREWORKS_AI_TOKEN"),
        ("openrouter", "OR_API_KEY"),
        ("together_ai", "TOGETHER_AI_TOKEN"),
    ],
)
def test_a_key_may_be_in_any_variable_that_litellm_heeds(provider: str, variable: str) -> None:
    assert key_for(provider, {}, {variable: "key"}) == "key"


def test_a_token_is_as_secret_as_a_key() -> None:
    assert list(keys_of({"ANTHROPIC_AUTH_TOKEN": "secret", "HOME": "/"})) == ["secret"]


def test_whoever_needs_a_key_can_be_told_where_to_put_it() -> None:
    for name, provider in PROVIDERS.items():
        assert provider.name == name
        assert provider.env or not provider.needs_key
        assert f"{name} under [api_keys]" in key_places(ModelSpec(name=f"{name}/model"))


@pytest.mark.parametrize(
    ("provider", "given", "made"),
    [
        ("openai", "http://h:1", "http://h:1/v1"),
        ("openai", "http://h:1/", "http://h:1/v1"),
        ("openai", "http://h:1/v1", "http://h:1/v1"),
        ("openai", "http://h:1/v1/", "http://h:1/v1"),
        ("openai", "https://h/gateway", "https://h/gateway/v1"),
        ("openai", "https://h/api/paas/v4", "https://h/api/paas/v4"),
        ("openai", "https://h/v1beta/openai", "https://h/v1beta/openai"),
        ("groq", "https://api.groq.com/openai", "https://api.groq.com/openai/v1"),
        ("nobody_knows", "https://h", "https://h/v1"),
        ("anthropic", "http://h:1", "http://h:1"),
        ("anthropic", "http://h:1/v1", "http://h:1"),
        ("anthropic", "http://h:1/v1/messages", "http://h:1"),
        ("anthropic", "http://h:1/gateway/v1", "http://h:1/gateway"),
        ("gemini", "http://h:1", "http://h:1/v1beta"),
        ("gemini", "http://h:1/v1", "http://h:1/v1beta"),
        ("gemini", "http://h:1/v1beta", "http://h:1/v1beta"),
        ("ollama_chat", "http://h:1/v1", "http://h:1"),
        ("ollama_chat", "http://h:1/api", "http://h:1"),
        ("azure", "https://me.openai.azure.com", "https://me.openai.azure.com"),
        ("openrouter", "https://openrouter.ai", "https://openrouter.ai/api/v1"),
        ("openrouter", "https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("openrouter", "https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("openrouter", "http://h:1/v1", "http://h:1/v1"),
        ("cohere_chat", "http://h:1", "http://h:1/v2/chat"),
        ("cohere_chat", "http://h:1/v2/chat", "http://h:1/v2/chat"),
        ("perplexity", "https://api.perplexity.ai", "https://api.perplexity.ai"),
    ],
)
def test_an_address_may_be_written_as_people_write_it(provider: str, given: str, made: str) -> None:
    assert base_url_for(provider, given) == made
    assert base_url_for(provider, made) == made


def test_no_address_stays_none() -> None:
    assert base_url_for("openai", None) is None


def test_a_placeholder_is_for_servers_of_ones_own() -> None:
    assert wants_placeholder(ModelSpec(name="openai/mine", base_url="http://h:1"))
    assert not wants_placeholder(ModelSpec(name="openai/gpt-5"))
    assert not wants_placeholder(ModelSpec(name="ollama_chat/llama3.1", base_url="http://h:1"))


def test_an_unknown_provider_is_taken_to_be_openai_like() -> None:
    assert provider_of("nobody_knows").path == "/v1"
    assert not provider_of("nobody_knows").needs_key


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://llm.example", None),
        ("http://127.0.0.1:8000/v1/", None),
        ("http://[::1]:8000", None),
        ("llm.example/v1", "should be an address"),
        ("ftp://llm.example", "should be an address"),
        ("https:///v1", "should be an address"),
        ("https://llm.example:80a", "should be an address"),
        ("https://[::1", "should be an address"),
        ("https://user:password@llm.example", "may not hold a user or a password"),
        ("https://token@llm.example", "may not hold a user or a password"),
        ("https://llm.example/v1?tenant=blue", "may not hold a query"),
        ("https://llm.example/v1#top", "may not hold a #"),
    ],
)
def test_an_address_that_litellm_could_not_use(address: str, problem: str | None) -> None:
    told = wrong_address(address, direct=False)
    assert told is None if problem is None else str(told).startswith(problem)


@pytest.mark.parametrize(
    "address", ["https://user:password@llm.example", "https://llm.example/v1?tenant=blue"]
)
def test_the_direct_way_takes_passwords_and_queries(address: str) -> None:
    assert wrong_address(address, direct=True) is None


@pytest.mark.process
def test_the_providers_are_those_that_litellm_knows() -> None:
    litellm = preload().result()
    by_settings = litellm.llms.openai_like.json_loader.JSONProviderRegistry.list_providers()
    assert provider_names() == {*(each.value for each in litellm.LlmProviders), *by_settings}
    assert PROVIDERS.keys() <= provider_names()


@pytest.mark.process
def test_litellm_is_not_loaded_to_know_its_providers() -> None:
    code = (
        "import sys; from auwgent.models.providers import is_provider\n"
        "print(is_provider('zai'), is_provider('opnai'), 'litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


@pytest.mark.process
def test_a_provider_that_the_users_code_brings_into_litellm_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_provider("our_own")
    handlers = [{"provider": "our_own", "custom_handler": object()}]
    monkeypatch.setattr(preload().result(), "custom_provider_map", handlers)
    assert is_provider("our_own")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai", "openai"),
        ("OpenAI", "openai"),
        ("antropic", "anthropic"),
        ("togetherai", "together_ai"),
        ("lokal", "local"),
        ("google", "gemini"),
        ("Claude", "anthropic"),
        ("gogle", "gemini"),
    ],
)
def test_a_slip_of_the_pen_is_understood(name: str, meant: str) -> None:
    assert near_provider(name) == f"did you mean `{meant}`?"


def test_what_is_like_no_provider_stays_without_a_guess() -> None:
    assert near_provider("qqqq") == ""
