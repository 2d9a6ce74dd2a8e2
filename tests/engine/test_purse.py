"""What a run may spend is not crossed, whatever a provider bills for what it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent import LimitExceeded, Runtime
from auwgent.errors import ProviderError
from tests.support.answering import Answer, Provider, at_worst, provider


class AsksOften:
    """A middleware with calls of its own, several at once."""

    def __init__(self, rounds: int = 40, at_once: int = 3) -> None:
        self.rounds, self.at_once, self.failures = rounds, at_once, 0

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        for _ in range(self.rounds):
            done = await asyncio.gather(
                *(ctx.ask("Is it fine? " * 20) for _ in range(self.at_once)), return_exceptions=True
            )
            if any(isinstance(one, LimitExceeded) for one in done):
                raise next(one for one in done if isinstance(one, LimitExceeded))
            self.failures += sum(isinstance(one, ProviderError) for one in done)


def config(server: Provider, *middleware: Any, name: str = "openai/test", **more: Any) -> dict[str, Any]:
    model = server.model(name, price={"input": 2.0, "output": 10.0}, **more.pop("model", {}))
    return {"middleware": list(middleware), "agent": {"model": "main"}, "models": {"main": model}, **more}


@pytest.mark.parametrize(
    "name", ["openai/test", pytest.param("anthropic/claude-test", marks=pytest.mark.process)]
)
@pytest.mark.parametrize("params", [{}, {"max_tokens": 2000}])
@pytest.mark.parametrize("breaks", [False, True])
async def test_the_price_of_a_run_stays_below_its_limit(name: str, params: Any, breaks: bool) -> None:
    calls = 0

    def reply(body: dict[str, Any]) -> Answer:
        nonlocal calls
        calls += 1
        return at_worst(body, breaks=breaks and calls % 3 == 0)

    async with provider(reply) as server:
        made = config(
            server, AsksOften(), name=name, model={"params": params}, limits={"usd": 0.5, "llm_calls": 999}
        )
        async with Runtime(made) as agent:
            with pytest.raises(LimitExceeded, match=r"`limits.usd` = 0.5 US dollars") as caught:
                await agent.run("Hello")
        assert caught.value.key == "limits.usd"
        usd = sum(into * 2 + out * 10 for into, out in server.bills) / 1e6
        assert 0.2 < usd <= 0.5
        assert all("max_tokens" in body for body in server.bodies)


async def test_tokens_of_a_run_stay_below_their_limit_too() -> None:
    async with provider(at_worst) as server:
        made = config(server, AsksOften(), model={"params": {"max_tokens": 1000}}, limits={"tokens": 30_000})
        async with Runtime({**made, "limits": {"tokens": 30_000, "llm_calls": 999}}) as agent:
            with pytest.raises(LimitExceeded, match=r"`limits.tokens` = 30000 tokens"):
                await agent.run("Hello")
        assert 20_000 < sum(map(sum, server.bills)) <= 30_000
        assert server.bodies[-1]["max_tokens"] >= 256


async def test_a_request_that_was_refused_costs_nothing() -> None:
    async with provider(lambda body: Answer("Overloaded", status=503)) as server:
        made = config(server, AsksOften(rounds=9), limits={"usd": 1.0, "llm_calls": 999})
        async with Runtime(made) as agent:
            with pytest.raises(ProviderError):
                await agent.run("Hello")
        assert len(server.bodies) == 28


async def test_without_a_limit_nothing_is_asked_for_that_the_config_does_not_say() -> None:
    async with provider(at_worst) as server, Runtime(config(server)) as agent:
        await agent.run("Hello")
        assert "max_tokens" not in server.bodies[0]
