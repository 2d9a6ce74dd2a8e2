"""Budget: a model call that is no longer paid for is not made."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auwgent import auwgent
from auwgent.errors import LimitExceeded
from auwgent.middleware import Budget
from auwgent.session import Session
from tests.middleware.conformance import Conformance, add, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.bench import bench

PAID = {"text": "That was 100 tokens.", "usage": {"input_tokens": 60, "output_tokens": 40, "usd": 0.01}}
UNPRICED = {"text": "Who knows?", "usage": {"input_tokens": 60, "output_tokens": 40}}


def paid(*middleware: Any, reply: Any = PAID) -> Any:
    """An agent each of whose calls costs a cent and a hundred tokens."""
    return bench([{"when": "", **reply}], middleware=middleware)


def in_file(folder: Path, **options: Any) -> Budget:
    return Budget(url=f"sqlite:///{folder / 'limits.db'}", **options)


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class TestConformance(Conformance):
    path = "auwgent.middleware.Budget"
    wrong = (
        ({}, "at least one budget: run, session, user, user_day, day"),
        ({"run": {"usd": -1}}, "`run.usd` should be greater than 0, not -1"),
        ({"run": {"euro": 1}}, "`run.euro` is unknown"),
        ({"run": {"calls": 1.5}}, "run.calls"),
        ({"week": {"usd": 1}}, "its options: run, session, user, user_day, day, unpriced, url"),
        ({"day": {"usd": 1}, "unpriced": "maybe"}, "unpriced"),
        ({"day": {"usd": 1}, "url": "mysql://x"}, "mysql"),
    )

    def make(self, folder: Path) -> Budget:
        return in_file(folder, run={"calls": 10}, user={"calls": 100}, day={"usd": 1.0})

    def make_failing(self, folder: Path) -> Budget:
        (folder / "limits.db").mkdir(exist_ok=True)
        return in_file(folder, day={"calls": 10})

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        with pytest.raises(LimitExceeded, match="this run is used up: 2 of 2 model calls"):
            await at_work(Budget(run={"calls": 2})).ask("Please ask the clerk")
        session = await at_work(Budget(run={"calls": 3})).ask("Please ask the clerk")
        assert session.text == "The clerk: Found: forty-two."


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ({"usd": 0.03}, "0.03 of 0.03 USD"),
        ({"usd": 0.025}, "0.03 of 0.025 USD"),
        ({"tokens": 300}, "300 of 300 tokens"),
        ({"calls": 3}, "3 of 3 model calls"),
    ],
)
async def test_a_session_may_cost_so_much(cap: dict[str, Any], said: str) -> None:
    agent, session = paid(Budget(session=cap)), Session()
    for _ in range(3):
        session = await agent.ask("Again", session=session)
    with pytest.raises(LimitExceeded, match=f"this session is used up: {said}") as caught:
        await agent.ask("Again", session=session)
    assert caught.value.key == f"Budget.session.{next(iter(cap))}"
    assert len(agent.requests()) == 3
    await agent.ask("Again", session=Session())


@pytest.mark.parametrize("cap", [{"usd": 0.02}, {"tokens": 200}, {"calls": 2}])
@pytest.mark.parametrize(
    ("scope", "refused", "allowed"),
    [
        ("user", [("ada", 1), ("ada", 2)], [("eve", 1)]),
        ("user_day", [("ada", 1)], [("ada", 2), ("eve", 1)]),
        ("day", [("ada", 1), ("eve", 1)], [("ada", 2)]),
    ],
)
async def test_budgets_beyond_a_session(
    url: str, scope: str, cap: Any, refused: list[tuple[str, int]], allowed: list[tuple[str, int]]
) -> None:
    budget = Budget(url=url, **{scope: cap})
    async with closing(budget):
        agent = paid(budget)

        async def ask(user: str, day: int) -> None:
            budget.clock = lambda: datetime(2030, 1, day, 12, tzinfo=UTC)
            await agent.ask("Hi", user_id=user)

        await ask("ada", 1)
        await ask("ada", 1)
        for who in refused:
            with pytest.raises(LimitExceeded, match="used up"):
                await ask(*who)
        for who in allowed:
            await ask(*who)


async def test_what_was_spent_is_known_to_another_instance(tmp_path: Path) -> None:
    first = in_file(tmp_path, user={"usd": 0.02})
    async with closing(first):
        await paid(first).ask("Hi")
        await paid(first).ask("Hi")
    second = in_file(tmp_path, user={"usd": 0.02})
    async with closing(second):
        with pytest.raises(LimitExceeded):
            await paid(second).ask("Hi")


async def test_calls_are_counted_exactly_by_runs_at_once(url: str) -> None:
    budgets = [Budget(url=url, day={"calls": 7}) for _ in range(2)]
    async with closing(*budgets):
        agents = [paid(budget) for budget in budgets]
        outcomes = await asyncio.gather(
            *(agent.ask("Hi", user_id=f"user {n}") for n in range(10) for agent in agents),
            return_exceptions=True,
        )
    assert sum(isinstance(one, Session) for one in outcomes) == 7
    assert sum(isinstance(one, LimitExceeded) for one in outcomes) == 13


def test_processes_share_a_budget(tmp_path: Path) -> None:
    program = f"""
import asyncio
from auwgent import LimitExceeded, auwgent
budget = {{"use": "auwgent.middleware.Budget", "day": {{"calls": 15}}, "url": "sqlite:///{tmp_path}/limits.db"}}
agent = auwgent({{"middleware": [budget], "agent": {{"model": "scripted/echo"}}}})
async def one():
    try:
        await agent.run("Hi")
        return 1
    except LimitExceeded:
        return 0
async def main():
    async with agent:
        print(sum(await asyncio.gather(*(one() for n in range(10)))))
asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    working = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(one.communicate(timeout=60)[0]) for one in working) == 15


async def test_a_run_ends_in_the_middle_and_its_session_is_whole() -> None:
    agent = at_work(Budget(run={"calls": 2}))
    with pytest.raises(LimitExceeded) as caught:
        await agent.ask("Please ask the clerk")
    assert [turn.role for turn in caught.value.session.turns if turn.agent == "Main"] == [
        *("user", "assistant", "tool", "tool")
    ]


async def test_without_a_price_a_budget_in_usd_is_not_pretended() -> None:
    agent = paid(Budget(session={"usd": 1.0}), reply=UNPRICED)
    session = await agent.ask("Hi")
    with pytest.raises(LimitExceeded, match="a model without a known price was asked"):
        await agent.ask("Hi", session=session)
    free = paid(Budget(session={"usd": 1.0}, unpriced="free"), reply=UNPRICED)
    await free.ask("Hi", session=await free.ask("Hi"))


@pytest.mark.parametrize("scope", ["user", "user_day", "day"])
async def test_without_a_price_no_budget_in_usd_goes_on_that_day(tmp_path: Path, scope: str) -> None:
    budget = in_file(tmp_path, **{scope: {"usd": 1.0}})
    today = datetime(2030, 1, 1, 12, tzinfo=UTC)
    budget.clock = lambda: today
    async with closing(budget):
        await paid(budget, reply=UNPRICED).ask("Hi")
        with pytest.raises(LimitExceeded, match="a model without a known price was asked"):
            await paid(budget).ask("Hi")
        today += timedelta(days=1)
        assert (await paid(budget).ask("Hi")).text == PAID["text"]


async def test_a_call_without_a_price_takes_nothing_back(tmp_path: Path) -> None:
    budget = in_file(tmp_path, user={"usd": 0.02}, unpriced="free")
    async with closing(budget):
        replies = [{**PAID, "tool_calls": [{"name": "add"}]}, UNPRICED]
        await bench(replies, middleware=[budget], tools=[add]).ask("Hi")
        await paid(budget).ask("Hi")
        with pytest.raises(LimitExceeded, match=r"0\.02 of 0\.02 USD"):
            await paid(budget).ask("Hi")


async def test_calls_of_middleware_count(tmp_path: Path) -> None:
    class Asks:
        async def onRunComplete(self, session: Session, ctx: Any) -> None:
            await ctx.ask("What was it about?")

    budget = in_file(tmp_path, day={"tokens": 200})
    async with closing(budget):
        await paid(budget, Asks()).ask("Hi")
        with pytest.raises(LimitExceeded):
            await paid(budget).ask("Hi")


async def test_only_what_is_needed_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"middleware": [{"use": "auwgent.middleware.Budget", "run": {"calls": 1}}]}
    async with auwgent({**config, "agent": {"model": "scripted/echo"}}) as agent:
        await agent.run("Hi")
    assert files_in(tmp_path) == []


async def test_the_ledger_is_small_and_holds_no_words(tmp_path: Path) -> None:
    budget = in_file(tmp_path, day={"calls": 100})
    async with closing(budget):
        for _ in range(5):
            await paid(budget).ask("Tell me a secret", user_id="ada\0\ud800")
    with sqlite3.connect(tmp_path / "limits.db") as database:
        rows = database.execute("SELECT user_id, calls, tokens FROM auwgent_spent").fetchall()
    assert rows == [('"ada\\u0000\\ud800"', 5, 500)]
    database.close()


async def test_over_http(aimock: Aimock) -> None:
    async with over_http(aimock, "budget", Budget(session={"tokens": 20})) as agent:
        session = await agent.run("Say hello")
        assert session.turns[-1].usage.input_tokens + session.turns[-1].usage.output_tokens == 20
        with pytest.raises(LimitExceeded, match="20 of 20 tokens"):
            await agent.run("Say hello", session=session)
    assert len(aimock.journal("budget")) == 1
