"""An API key that is missing is told before a run begins, unless a middleware may give it in the run."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import ConfigError, ProviderError, Runtime
from auwgent.assembly import may_give_keys
from auwgent.models.providers import PROVIDERS


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in PROVIDERS.values():
        for name in (*provider.env, *provider.tokens):
            monkeypatch.delenv(name, raising=False)


class Seen:
    """Notes the hooks that are called."""

    def __init__(self) -> None:
        self.hooks: list[str] = []

    def onRunStart(self, session: Any, ctx: Any) -> None:
        self.hooks.append("onRunStart")


def config(model: str, *middleware: Any, **tables: Any) -> dict[str, Any]:
    return {"middleware": list(middleware), "agent": {"model": model, **tables.pop("agent", {})}, **tables}


HELPER = {"description": "d", "model": "mistral/m"}


@pytest.mark.parametrize(
    ("source", "key", "variables"),
    [
        (config("openai/m"), "agent.model", "OPENAI_API_KEY"),
        (config("gemini/m"), "agent.model", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        (
            config("main", models={"main": {"use": "scripted/echo", "fallbacks": ["xai/m"]}}),
            "models.main.fallbacks[0]",
            "XAI_API_KEY",
        ),
        (
            config("scripted/echo", agent={"helpers": ["H"]}, helpers={"H": HELPER}),
            "helpers.H.model",
            "MISTRAL_API_KEY",
        ),
        (config("scripted/echo", embedding={"model": "openai/e"}), "embedding.model", "OPENAI_API_KEY"),
    ],
)
async def test_a_missing_key_is_told_before_anything_happens(
    source: dict[str, Any], key: str, variables: str
) -> None:
    seen = Seen()
    source["middleware"].append(seen)
    agent = Runtime(source)
    with pytest.raises(ConfigError, match=variables) as caught:
        await agent.run("Hello")
    [problem] = caught.value.problems
    assert (problem.key, caught.value.session, seen.hooks) == (key, None, [])
    assert "under [api_keys]" in problem.message
    with pytest.raises(ConfigError, match=variables):
        [_ async for _ in agent.stream("Hello")]


async def test_all_of_them_are_told_at_once() -> None:
    models = {"main": {"use": "openai/m", "fallbacks": ["groq/m", "xai/m"]}}
    with pytest.raises(ConfigError) as caught:
        await Runtime(config("main", models=models)).run("Hello")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "source",
    [
        config("scripted/echo", models={"idle": {"use": "openai/m"}}),
        config("scripted/echo", helpers={"Idle": HELPER}),
        config("scripted/echo", api_keys={"openai": "k"}, embedding={"model": "openai/e"}),
    ],
    ids=["idle model", "idle helper", "key in the config"],
)
async def test_a_key_that_no_run_needs_is_not_missed(source: dict[str, Any]) -> None:
    session = await Runtime(source).run("Hello")
    assert session.text


async def test_a_key_may_come_into_the_environment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    source = config("scripted/echo", embedding={"model": "openai/e"})
    agent = Runtime(source)
    with pytest.raises(ConfigError):
        await agent.run("Hello")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert (await agent.run("Hello")).text


class Router:
    """Asks another model than the config names."""

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        ctx.model = "scripted/echo"


class Rescue:
    """Goes on with another model when the first one failed."""

    def onError(self, error: Exception, session: Any, ctx: Any) -> dict[str, str]:
        ctx.model = "scripted/echo"
        return {"forceStart": "llm_start"}


@pytest.mark.parametrize("middleware", [Router(), Rescue()], ids=["onLLMStart", "onError"])
async def test_a_middleware_may_do_without_the_key(middleware: Any) -> None:
    session = await Runtime(config("openai/m", middleware)).run("Hello")
    assert "Hello" in session.text


class Onlooker:
    """Could give a key, and does not."""

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        pass


async def test_where_none_gives_it_the_first_call_says_so() -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        await Runtime(config("openai/m", Onlooker())).run("Hello")
    assert caught.value.fault == "auth"


@pytest.mark.parametrize("name", ["Compaction", "Redact", "Retrieve"])
async def test_bundled_middleware_gives_no_keys(name: str) -> None:
    agent = Runtime(config("openai/m", f"auwgent.middleware.{name}"))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        await agent.run("Hello")


def test_a_cache_may_have_the_answer() -> None:
    agent = Runtime(config("openai/m", "auwgent.middleware.Cache"))
    assert may_give_keys(agent._main.parts.installed)
