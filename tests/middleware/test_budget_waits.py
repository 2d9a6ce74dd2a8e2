"""What others have set aside for requests under way may be given back: a budget waits for it, and no longer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import AgentState, Context, RunState
from auwgent.hooks.metering import Outlay
from auwgent.middleware import Budget
from auwgent.models.quotes import Quote
from auwgent.session import Session, Usage, new_id


def outlay(by: str = "", output: int = 800) -> Outlay:
    quote = Quote("x/y", 100, output, is_limited=True, least=256, rates=(0.0, 0.0))
    return Outlay(quote, "Main", by, True, None)


def a_run() -> Context:
    state = RunState(run_id=new_id(), root_agent="Main", user_id="", session=Session(), input="Hello")
    return Context(state, AgentState("Main", ("Main",)))


@pytest.fixture
async def two(url: str) -> Any:
    """Two budgets of one database, as of two processes."""
    both = [Budget(url=url, day={"tokens": 1000}) for _ in range(2)]
    for one in both:
        await one.open()
    yield both
    for one in both:
        await one.close()


async def waits(task: asyncio.Task[Any]) -> bool:
    await asyncio.wait([task], timeout=0.3)
    return not task.done()


async def test_what_is_given_back_may_be_used_by_who_has_waited(two: list[Budget]) -> None:
    first = await two[0].reserve(outlay(), a_run())
    second = asyncio.create_task(two[1].reserve(outlay(), a_run()))
    assert await waits(second)
    await first.settle(Usage(input_tokens=100, output_tokens=50))
    assert (await second).output_tokens == 750  # all that is left now


async def test_it_waits_as_well_where_there_would_be_less_room_for_an_answer(two: list[Budget]) -> None:
    first = await two[0].reserve(outlay(output=300), a_run())
    second = asyncio.create_task(two[1].reserve(outlay(), a_run()))
    assert await waits(second)
    await first.release()
    assert (await second).output_tokens == 800


async def test_what_broke_off_counts_and_is_waited_for_no_longer(two: list[Budget]) -> None:
    first = await two[0].reserve(outlay(), a_run())
    second = asyncio.create_task(two[1].reserve(outlay(), a_run()))
    assert await waits(second)
    first.keep()
    with pytest.raises(LimitExceeded, match="used up: 900 of 1000 tokens"):
        await second


async def test_a_request_that_is_part_of_another_one_does_not_wait_for_it(two: list[Budget]) -> None:
    run = a_run()
    await two[0].reserve(outlay(), run)
    with pytest.raises(LimitExceeded, match="900 of 1000 tokens"):
        await asyncio.wait_for(two[0].reserve(outlay(by="moderate"), run), 5)


async def test_nobody_waits_for_a_process_that_died(two: list[Budget]) -> None:
    begun = datetime(2030, 1, 1, 12, tzinfo=UTC)
    two[0].clock = lambda: begun - timedelta(minutes=5)
    await two[0].reserve(outlay(), a_run())
    two[1].clock = lambda: begun
    with pytest.raises(LimitExceeded, match="900 of 1000 tokens"):
        await asyncio.wait_for(two[1].reserve(outlay(), a_run()), 5)


async def test_calls_are_refused_at_once(url: str) -> None:
    budget = Budget(url=url, day={"calls": 1})
    await budget.reserve(outlay(), a_run())
    with pytest.raises(LimitExceeded, match="1 of 1 model calls"):
        await asyncio.wait_for(budget.reserve(outlay(), a_run()), 5)
    await budget.close()
