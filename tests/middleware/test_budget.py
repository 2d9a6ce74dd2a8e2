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

from auwgent import Runtime
from auwgent.errors import LimitExceeded, ProviderError
from auwgent.middleware import Budget
from auwgent.session import Session
from tests.middleware.conformance import Conformance, add, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.answering import Answer, Provider, at_worst, provider
from tests.support.bench import bench, calls

PAID = {"text": "That was 100 tokens.", "usage": {"input_tokens": 60, "output_tokens": 40, "usd": 0.01}}
UNPRICED = {"text": "Who knows?", "usage": {"input_tokens": 60, "output_tokens": 40}}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept without a URL is kept in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def paid(*middleware: Any, reply: Any = PAID) -> Any:
    """An agent each of whose calls costs a cent and a hundred tokens."""
    return bench([{"when": "", **reply}], middleware=middleware)


def in_file(folder: Path, **options: Any) -> Budget:
    return Budget(url=f"sqlite:///{folder / 'limits.db'}", **options)


class TestConformance(Conformance):
    path = "auwgent.middleware.Budget"
    wrong = (
        ({}, "at least one budget: run, session, user, user_day, user_month, day, month"),
        ({"run": {"usd": -1}}, "`run.usd` should be greater than 0, not -1"),
        ({"run": {"euro": 1}}, "`run.euro` is unknown"),
        ({"run": {"calls": 1.5}}, "run.calls"),
        (
            {"week": {"usd": 1}},
            "its options: run, session, user, user_day, user_month, day, month, unpriced, timezone, url",
        ),
        ({"day": {"usd": 1}, "unpriced": "maybe"}, "unpriced"),
        ({"day": {"usd": 1}, "url": "mysql://x"}, "mysql"),
        ({"day": {"usd": 1}, "timezone": "Mars/Olympus"}, 'a time zone such as "UTC" or "Europe/Berlin"'),
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


@pytest.mark.process
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


async def test_the_ledger_is_small_and_holds_no_words(tmp_path: Path) -> None:
    budget = in_file(tmp_path, day={"calls": 100})
    async with closing(budget):
        for _ in range(5):
            await paid(budget).ask("Tell me a secret", user_id="ada\0\ud800")
    with sqlite3.connect(tmp_path / "limits.db") as database:
        rows = database.execute("SELECT what, calls, tokens FROM auwgent_spent").fetchall()
    day = datetime.now(UTC).date().isoformat()
    assert rows == [(f'["day","","","{day}"]', 5, 500)]
    database.close()


@pytest.mark.parametrize("cap", [{"usd": 0.045}, {"tokens": 400}, {"calls": 4}])
async def test_two_entries_count_once(url: str, cap: dict[str, Any]) -> None:
    budgets = [Budget(url=url, day=cap), Budget(url=url, user=cap, run={"calls": 9})]
    async with closing(*budgets):
        agent = paid(*budgets)
        done = [await asked(agent) for _ in range(7)]
    assert [one is None for one in done] == ([True] * (5 if "usd" in cap else 4) + [False] * 3)[:7]


async def asked(agent: Any, **order: Any) -> LimitExceeded | None:
    try:
        await agent.ask("Hi", **order)
    except LimitExceeded as error:
        return error
    return None


async def test_an_entry_with_a_target_counts_that_agent_alone(tmp_path: Path) -> None:
    """Each run asks Main three times, and its helper Clerk once."""
    clerk, everybody = Budget(day={"calls": 2}), Budget(day={"calls": 100})
    async with closing(clerk, everybody):
        agent = at_work({"use": clerk, "target": "Clerk"}, everybody)
        for _ in range(2):
            await agent.ask("Please ask the clerk")
        with pytest.raises(
            LimitExceeded, match=r"all users for today \(UTC\) is used up: 2 of 2 model calls"
        ):
            await agent.ask("Please ask the clerk")
        await agent.ask("Hello")


async def test_tool_calls_have_a_budget_of_their_own(tmp_path: Path) -> None:
    budgets = [Budget(user={"tool_calls": 3}), Budget(run={"tool_calls": 2})]
    async with closing(*budgets):
        once = {"when": "", **calls("add")}
        made = bench([once, {"result": True, "text": "ok"}], middleware=budgets, tools=[add])
        for _ in range(3):
            await made.ask("Hi", user_id="ada")
        with pytest.raises(LimitExceeded, match="this user is used up: 3 of 3 tool calls"):
            await made.ask("Hi", user_id="ada")
        twice = bench(
            [calls(("add", {"a": 1}), ("add", {"a": 2}), ("add", {"a": 3}))], middleware=budgets, tools=[add]
        )
        with pytest.raises(LimitExceeded, match="this run is used up: 2 of 2 tool calls"):
            await twice.ask("Hi", user_id="eve")


async def test_days_and_months_are_those_of_a_time_zone_of_ones_own() -> None:
    budget = Budget(url="sqlite://", user_day={"calls": 1}, month={"calls": 2}, timezone="Europe/Berlin")
    async with closing(budget):
        agent = paid(budget)
        moments = [
            (datetime(2030, 1, 30, 22, 59, tzinfo=UTC), True),
            (datetime(2030, 1, 30, 23, 1, tzinfo=UTC), True),  # the 31st, in Berlin
            (datetime(2030, 1, 31, 1, 0, tzinfo=UTC), False),
            (datetime(2030, 1, 31, 22, 59, tzinfo=UTC), False),
            (datetime(2030, 1, 31, 23, 1, tzinfo=UTC), True),  # February
        ]
        for at, is_allowed in moments:
            budget.clock = lambda at=at: at  # type: ignore[misc]
            refused = await asked(agent, user_id="ada")
            assert (refused is None) is is_allowed, at
        assert await asked(agent, user_id="eve") is None


def config_of(server: Provider, *middleware: Any, **more: Any) -> dict[str, Any]:
    model = server.model(more.pop("name", "openai/test"), price={"input": 2.0, "output": 10.0})
    return {"middleware": list(middleware), "agent": {"model": "main"}, "models": {"main": model}, **more}


@pytest.mark.parametrize("name", ["openai/test", "anthropic/claude-test"])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_stream_that_breaks_off_keeps_what_was_set_aside_for_it(
    url: str, name: str, whole: bool
) -> None:
    budget = Budget(url=url, day={"usd": 0.5})
    async with provider(lambda body: at_worst(body, breaks=True)) as server:
        async with Runtime(config_of(server, budget, name=name)) as agent:
            kinds = []
            for _ in range(9):
                with pytest.raises((ProviderError, LimitExceeded)) as caught:
                    await agent.run("Hello", whole=whole)
                kinds.append(caught.type)
        assert kinds[0] is ProviderError
        assert kinds[-1] is LimitExceeded
        assert sum(into * 2 + out * 10 for into, out in server.bills) / 1e6 <= 0.5


async def left(agent: Any) -> bool:
    """Leave an answer at its first piece; whether there was none, since the budget is used up."""
    try:
        async for intent in agent.stream("Hello"):
            if intent.partial:
                break
    except LimitExceeded:
        return True
    return False


async def test_a_reader_who_leaves_pays_for_what_he_left(url: str) -> None:
    budget = Budget(url=url, day={"usd": 0.5})
    async with provider(lambda body: at_worst(body, text="word " * 2000)) as server:
        async with Runtime(config_of(server, budget)) as agent:
            refused = [await left(agent) for _ in range(9)]
        assert refused[0] is False
        assert refused[-1] is True
        assert sum(into * 2 + out * 10 for into, out in server.bills) / 1e6 <= 0.5


@pytest.mark.process
async def test_summaries_judges_and_embeddings_count_in_every_scope(url: str) -> None:
    """In whatever order they are listed."""

    class Judge:
        async def onRunStart(self, session: Session, ctx: Any) -> None:
            await ctx.ask("Is it fine?")
            await ctx.embed("Is it fine?")

    budget = Budget(url=url, session={"calls": 6})
    for middleware in ((Judge(), budget), (budget, Judge())):
        async with provider(lambda body: Answer("Fine.")) as server:
            made = config_of(server, *middleware, embedding={"model": "main"})
            async with Runtime(made) as agent:
                session = await agent.run("1")
                for number in range(2):
                    session = await agent.run(f"{number}", session=session)
                with pytest.raises(LimitExceeded, match="this session is used up: 6 of 6 model calls"):
                    await agent.run("4", session=session)
            assert len(server.bodies) == 6


PROCESS = """
import asyncio, sys
from auwgent import LimitExceeded, auwgent
from auwgent.errors import ProviderError
url, server, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = {"use": "openai/test", "base_url": server, "api_key": "k", "retries": 0, "via": "direct",
         "price": {"input": 2.0, "output": 10.0}, "params": {"max_tokens": 500}}
budget = {"use": "auwgent.middleware.Budget", "day": {"usd": float(sys.argv[4])}, "url": url}
async def one(agent):
    try:
        await agent.run("Hi")
    except (LimitExceeded, ProviderError) as error:
        return type(error).__name__
async def main():
    async with auwgent({"middleware": [budget], "agent": {"model": "main"}, "models": {"main": model}}) as agent:
        for _ in range(calls // 10):
            await asyncio.gather(*(one(agent) for _ in range(10)))
asyncio.run(main())
"""


@pytest.mark.process
async def test_processes_at_once_never_pay_more_than_the_budget(url: str) -> None:
    """Whatever a provider bills for what it was asked for, and some of the streams break off."""
    calls = 0

    def reply(body: dict[str, Any]) -> Answer:
        nonlocal calls
        calls += 1
        return at_worst(body, breaks=calls % 5 == 0)

    async with provider(reply) as server:
        command = [sys.executable, "-c", PROCESS, url, server.url, "40", "0.3"]
        working = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
        assert [await one.wait() for one in working] == [0, 0, 0]
        usd = sum(into * 2 + out * 10 for into, out in server.bills) / 1e6
    assert 0.2 < usd <= 0.3


async def test_over_http(aimock: Aimock) -> None:
    async with over_http(aimock, "budget", Budget(session={"tokens": 590})) as agent:
        session = await agent.run("Say hello")
        assert session.turns[-1].usage.input_tokens + session.turns[-1].usage.output_tokens == 20
        with pytest.raises(LimitExceeded, match="20 of 590 tokens; the next request needs up to"):
            await agent.run("Say hello", session=session)
    assert len(aimock.journal("budget")) == 1
