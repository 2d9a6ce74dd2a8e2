"""A commit is done, and the connection breaks before that is heard: it is not done twice, and said to be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import LimitExceeded
from auwgent.middleware import Budget, RateLimit, SQLModelSessions
from auwgent.session import Session, Turn
from auwgent.store.side import limits
from auwgent.store.side.limits import Spent
from auwgent.testing.runs import talk
from tests.store.test_each_call import Fault, failing
from tests.support.bench import bench
from tests.support.databases import database


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Only a server can have done what it could not tell any more."""
    with database("postgresql", tmp_path) as url:
        yield url


VERBS: dict[str, Callable[[SQLModelSessions], Awaitable[Any]]] = {
    "put": lambda store: store.put(Session(id="new", user_id="u1", turns=[Turn(role="user", content="Hi")])),
    "fork": lambda store: store.fork("u1", "s1", "new"),
    "rename": lambda store: store.rename("u1", "s1", "new"),
    "delete": lambda store: store.delete("u1", "s2"),
    "prune": lambda store: store.prune("u1", keep=1),
}
LEFT = {
    "put": ["new", "s1", "s2"],
    "fork": ["new", "s1", "s2"],
    "rename": ["new", "s2"],
    "delete": ["s1"],
    "prune": ["s2"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("number", range(1, 5))
async def test_verbs_of_the_store(server: str, verb: str, number: int) -> None:
    store = SQLModelSessions(server)
    await talk(store, "Hi", "s1")
    await talk(store, "Hi", "s2")
    with failing(Fault(number, loses=True)):
        done = await VERBS[verb](store)
    assert sorted(info.id for info in await store.list_sessions("u1")) == LEFT[verb]
    assert all(info.turns <= 2 for info in await store.list_sessions("u1"))
    assert verb != "prune" or done == 1
    await store.close()


@pytest.mark.parametrize("number", range(1, 7))
async def test_what_a_budget_counts(server: str, number: int) -> None:
    budget = Budget(url=server, user={"calls": 100, "tokens": 100_000})
    await budget.open()
    agent = bench(
        [{"when": "", "text": "Hi", "usage": {"input_tokens": 60, "output_tokens": 40}}], middleware=[budget]
    )
    with failing(Fault(number, loses=True)):
        await agent.ask("one", user_id="ada")
    await agent.ask("two", user_id="ada")
    what: limits.What = ("user", "", "ada")
    first: Mapping[limits.What, Spent] = {what: Spent()}

    def decide(stands: Mapping[limits.What, Spent], _: object) -> tuple[Spent, Mapping[limits.What, Spent]]:
        return stands[what], {}

    spent = await budget.carry_out(limits.reserve, first, decide, budget.clock())
    assert (spent.calls, spent.tokens) == (2, 200)
    await budget.close()


@pytest.mark.parametrize("number", range(1, 3))
async def test_what_a_rate_limit_lets_pass(server: str, number: int) -> None:
    limit = RateLimit(url=server, calls=3, per="1h")
    await limit.open()
    agent = bench([{"when": "", "text": "Hi"}], middleware=[limit])
    with failing(Fault(number, loses=True)):
        await agent.ask("one", user_id="ada")
    for _ in range(2):
        await agent.ask("more", user_id="ada")
    with pytest.raises(LimitExceeded):
        await agent.ask("too many", user_id="ada")
    await limit.close()
