"""Budget counts what was paid for once: retries, stand-ins, refusals, sessions that are gone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from auwgent import LimitExceeded, ProviderError, Runtime
from auwgent.middleware import Budget, RateLimit, SQLModelSessions
from tests.support.answering import Answer, provider

OK = Answer("ok", input_tokens=100, output_tokens=10)
BUSY = Answer("busy", status=503)


def made(server: Any, *middleware: Any, **model: Any) -> Runtime:
    main = server.model(via="direct", **{"retries": 2, **model})
    models = {"main": main, "spare": server.model("openai/spare", via="direct")}
    return Runtime({"middleware": list(middleware), "agent": {"model": "main"}, "models": models})


@pytest.mark.parametrize(
    ("answers", "model"),
    [
        ([BUSY, OK, OK], {}),
        ([BUSY, OK, OK], {"retries": 0, "fallbacks": ["spare"], "cooldown": 0}),
        ([BUSY, BUSY, OK, BUSY, OK], {}),
    ],
    ids=["refused", "a stand-in", "twice"],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_call_with_its_retries_is_one(answers: list[Answer], model: Any, streamed: bool) -> None:
    left = list(answers)
    budget, rate = Budget(day={"calls": 2}, url="sqlite://"), RateLimit(calls=2, url="sqlite://", per="1d")
    for meter in (budget, rate):
        left[:] = answers
        async with provider(lambda body: left.pop(0)) as server, made(server, meter, **model) as agent:
            for _ in range(2):
                assert (await agent.run("Hi", whole=not streamed)).text == "ok"
            with pytest.raises(LimitExceeded, match=r"2 of 2 model calls|more than 2 model calls"):
                await agent.run("Hi", whole=not streamed)
        assert left == []


async def test_what_a_provider_refused_costs_nothing(tmp_path: Path) -> None:
    budget = Budget(day={"calls": 2, "tokens": 5000}, url=f"sqlite:///{tmp_path / 'limits.db'}")
    async with provider(lambda body: Answer("no", status=400)) as server, made(server, budget) as agent:
        for _ in range(3):
            with pytest.raises(ProviderError):
                await agent.run("Hi")
    with sqlite3.connect(tmp_path / "limits.db") as database:
        assert database.execute("SELECT calls, tokens, usd FROM auwgent_spent").fetchall() == [(0, 0, 0.0)]


async def test_what_is_left_limits_an_answer_and_too_little_is_refused() -> None:
    budget = Budget(day={"tokens": 1000}, url="sqlite://")
    async with provider(lambda body: OK) as server, made(server, budget) as agent:
        for _ in range(4):
            await agent.run("Hi")
        with pytest.raises(LimitExceeded, match="440 of 1000 tokens; the next request needs up to"):
            await agent.run("Hi")
        asked = [body["max_tokens"] for body in server.bodies]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] < 1000
    assert asked[-1] >= 256
    assert asked[-1] - 110 < 256


async def test_what_was_spent_stays_spent_when_its_session_is_deleted(url: str) -> None:
    store, budget = SQLModelSessions(url), Budget(user={"calls": 1}, url=url)
    async with provider(lambda body: OK) as server, made(server, store, budget) as agent:
        await agent.run("Hi", session_id="s")
        assert agent.store is not None
        await agent.store.delete("", "s")
        with pytest.raises(LimitExceeded, match="1 of 1 model calls"):
            await agent.run("Hi", session_id="s")


@pytest.mark.parametrize("use", ["Budget", "RateLimit"])
async def test_it_can_be_a_mere_warning(use: str, caplog: pytest.LogCaptureFixture) -> None:
    limit: dict[str, Any] = {"day": {"calls": 1}} if use == "Budget" else {"calls": 1}
    entry = {"use": f"auwgent.middleware.{use}", "url": "sqlite://", "on_error": "warn", **limit}
    async with provider(lambda body: OK) as server, made(server, entry) as agent:
        await agent.run("Hi")
        assert caplog.text == ""
        assert (await agent.run("Hi")).text == "ok"
    assert "failed in reserve: LimitExceeded" in caplog.text
