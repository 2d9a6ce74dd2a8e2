"""RateLimit: not more than so many in a length of time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent.errors import LimitExceeded
from auwgent.middleware import RateLimit
from auwgent.session import Session
from auwgent.store.side import SideDatabase, limits
from tests.middleware.conformance import Conformance, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.bench import bench

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def in_memory(**options: Any) -> RateLimit:
    return RateLimit(url="sqlite://", **options)


class TestConformance(Conformance):
    path = "auwgent.middleware.RateLimit"
    wrong = (
        ({}, "give `calls`, `runs` or both"),
        ({"calls": 0}, "`calls` should be greater than 0, not 0"),
        ({"calls": 1, "per": "a while"}, '`per`: must be a length of time such as "30s"'),
        ({"calls": 1, "per": 0}, "`per` must be longer"),
        ({"calls": 1, "by": "moon"}, "by"),
        ({"runs": 1, "by": "agent"}, 'cannot be counted by "agent"'),
        ({"calls": 1, "every": "1m"}, "its options: calls, runs, per, by, wait, url"),
    )

    def make(self, folder: Path) -> RateLimit:
        return in_memory(calls=20, runs=10)

    def make_failing(self, folder: Path) -> RateLimit:
        return RateLimit(calls=10, url=f"sqlite:///{folder}")

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        limit = in_memory(calls=2)
        async with closing(limit):
            with pytest.raises(LimitExceeded, match="more than 2 model calls in 1m by one user"):
                await at_work(limit).ask("Please ask the clerk")


async def test_the_next_one_may_come_when_the_first_is_long_enough_ago(url: str) -> None:
    limit = RateLimit(runs=2, per="1m", url=url)
    async with closing(limit):
        agent = at_work(limit)

        async def at(seconds: float) -> None:
            limit.clock = lambda: NOON + timedelta(seconds=seconds)
            await agent.ask("Hi")

        await at(0)
        await at(30)
        with pytest.raises(LimitExceeded, match="more than 2 runs in 1m by one user; try again in 1 s"):
            await at(59)
        await at(60)
        with pytest.raises(LimitExceeded, match="try again in 28 s") as caught:
            await at(62)
        assert caught.value.key == "RateLimit.runs"
        assert len(agent.requests()) == 3


@pytest.mark.parametrize(
    ("by", "second", "passes"),
    [
        ("user", {"user_id": "eve"}, True),
        ("user", {"user_id": "ada", "session_id": "2"}, False),
        ("session", {"user_id": "ada", "session_id": "2"}, True),
        ("session", {"user_id": "eve", "session_id": "1"}, True),
        ("session", {"user_id": "ada", "session_id": "1"}, False),
        ("everybody", {"user_id": "eve", "session_id": "2"}, False),
    ],
)
async def test_whose_runs_count_together(by: Any, second: dict[str, Any], passes: bool) -> None:
    limit = in_memory(runs=1, by=by)
    async with closing(limit):
        agent = at_work(limit)
        await agent.ask("Hi", user_id="ada", session_id="1")
        if passes:
            await agent.ask("Hi", **second)
        else:
            with pytest.raises(LimitExceeded):
                await agent.ask("Hi", **second)


async def test_calls_of_each_agent_can_be_counted_apart() -> None:
    limit = in_memory(calls=2, by="agent")
    async with closing(limit):
        agent = at_work(limit)
        await agent.ask("Please ask the clerk")
        with pytest.raises(LimitExceeded, match="by one agent"):
            await agent.ask("Hi")


@pytest.mark.clock
async def test_what_comes_too_early_can_wait() -> None:
    limit = in_memory(calls=1, per=0.2, wait=5)
    async with closing(limit):
        agent = at_work(limit)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(agent.ask("Hi") for _ in range(3)))
        assert 0.4 <= loop.time() - began < 3
        limit = in_memory(calls=1, per="1h", wait="2s")
    async with closing(limit):
        agent = at_work(limit)
        await agent.ask("Hi")
        with pytest.raises(LimitExceeded, match="try again in 3600 s"):
            await agent.ask("Hi")


async def test_instances_on_one_database_share_the_limit(url: str) -> None:
    both = [RateLimit(runs=5, url=url) for _ in range(2)]
    async with closing(*both):
        agents = [at_work(one) for one in both]
        outcomes = await asyncio.gather(
            *(agent.ask("Hi") for _ in range(6) for agent in agents), return_exceptions=True
        )
    assert sum(isinstance(one, Session) for one in outcomes) == 5


@given(
    pauses=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    limit=st.integers(1, 5),
    span=st.integers(1, 60),
)
def test_no_length_of_time_has_more_than_the_limit(pauses: list[int], limit: int, span: int) -> None:
    async def passed() -> list[int]:
        database = SideDatabase("sqlite://", limits.TABLES, default="")
        let_through: list[int] = []
        second, per = 0, timedelta(seconds=span)
        for pause in pauses:
            second += pause
            at = NOON + timedelta(seconds=second)
            wait = await database.run(None, limits.let_pass, "it", limit, per, at)
            recent = [one for one in let_through if one > second - span]
            assert bool(wait) is (len(recent) == limit)
            if wait:
                assert wait == timedelta(seconds=recent[0] + span - second)
            else:
                let_through.append(second)
        await database.close()
        return let_through

    times = asyncio.run(passed())
    assert all(sum(begin <= one < begin + span for one in times) <= limit for begin in times)


async def test_a_clock_that_was_ahead_and_is_set_right_locks_nobody_out(url: str) -> None:
    limit = RateLimit(url=url, calls=2, per="1m")
    now = datetime(2031, 1, 1, tzinfo=UTC)
    limit.clock = lambda: now
    async with closing(limit):
        agent = bench([{"when": "", "text": "ok"}], middleware=[limit])
        await agent.ask("a year ahead")
        await agent.ask("a year ahead")
        now = datetime(2030, 1, 1, tzinfo=UTC)
        with pytest.raises(LimitExceeded, match="try again in 60 s"):
            await agent.ask("set right")
        now += timedelta(seconds=61)
        assert (await agent.ask("a minute later")).text == "ok"


async def test_entries_that_are_the_same_count_once_and_calls_of_middleware_count(url: str) -> None:
    class Judge:
        async def onRunStart(self, session: Session, ctx: Any) -> None:
            await ctx.ask("Is it fine?")

    limits = [RateLimit(url=url, calls=4, per="1h"), RateLimit(url=url, calls=4, per="1h")]
    async with closing(*limits):
        agent = bench([{"when": "", "text": "ok"}], middleware=[Judge(), *limits])
        await agent.ask("one")
        await agent.ask("two")
        with pytest.raises(LimitExceeded, match="more than 4 model calls in 1h"):
            await agent.ask("three")


async def test_over_http(aimock: Aimock) -> None:
    async with over_http(aimock, "rate", in_memory(calls=2, per="1h")) as agent:
        outcomes = await asyncio.gather(*(agent.run("Say hello") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, LimitExceeded) for one in outcomes) == 2
    assert len(aimock.journal("rate")) == 2
