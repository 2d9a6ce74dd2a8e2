"""What an engine has to do, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine as Connections
from sqlalchemy import create_engine, text

from auwgent.fleet.engine import ENGINES, Engine, make
from auwgent.store.line import Job
from tests.support.fleet import database

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

QUEUE = "auwgent/1/Main/"
EVERY = {QUEUE: 0.05}


@pytest.fixture(params=ENGINES)
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[[], Engine], Connections]]:
    """What makes an engine on an empty database, and connections to that database."""
    with database() as url:
        connections = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
        engines: list[Engine] = []

        def one() -> Engine:
            engines.append(make(request.param, url))
            return engines[-1]

        yield one, connections
        for engine in engines:
            engine.close()
        connections.dispose()


async def until(done: Callable[[], object]) -> None:
    for _ in range(3000):
        if done():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never was so")


async def test_an_engine_gives_each_job_to_a_worker(made: tuple[Callable[[], Engine], Connections]) -> None:
    make_one, connections = made
    engine, other = make_one(), make_one()
    await asyncio.gather(asyncio.to_thread(engine.prepare), asyncio.to_thread(other.prepare))
    with connections.begin() as connection:
        other.hand(connection, [Job("1.low", QUEUE, -5), Job("2.first", QUEUE, 0), Job("3.second", QUEUE, 0)])
        other.hand(connection, [Job("4.high", QUEUE, 7), Job("5.elsewhere", "auwgent/2/Main/", 0)])
        other.hand(connection, [Job("2.first", QUEUE, 0)])  # again
    with connections.connect() as connection:
        other.hand(connection, [Job("6.never", QUEUE, 0)])
        connection.rollback()
    words = ["1.low", "2.first", "3.second", "4.high", "5.elsewhere", "6.never"]
    assert await asyncio.to_thread(other.waiting, words) == set(words) - {"6.never"}
    assert await asyncio.to_thread(other.waiting, []) == set()

    began: list[str] = []
    go_on = asyncio.Event()

    async def work(job: str) -> None:
        assert asyncio.get_running_loop() is loop
        began.append(job)
        await go_on.wait()

    loop = asyncio.get_running_loop()
    engine.take("w1", EVERY, 1, work)
    await until(lambda: began)
    await asyncio.sleep(0.3)
    assert began == ["4.high"], "one at once, the highest priority first"
    assert await asyncio.to_thread(other.waiting, words) == {"1.low", "2.first", "3.second", "5.elsewhere"}
    go_on.set()
    await until(lambda: len(began) == 4)
    assert began == ["4.high", "2.first", "3.second", "1.low"]
    await asyncio.to_thread(engine.close, 2)
    with connections.begin() as connection:
        other.hand(connection, [Job("7.late", QUEUE, 0)])
    await asyncio.sleep(0.3)
    assert len(began) == 4, "it takes no more"
    assert await asyncio.to_thread(other.waiting, [*words, "7.late"]) == {"5.elsewhere", "7.late"}


async def test_a_job_goes_on_where_its_engine_is_closed(
    made: tuple[Callable[[], Engine], Connections],
) -> None:
    make_one, connections = made
    engine = make_one()
    await asyncio.to_thread(engine.prepare)
    with connections.begin() as connection:
        engine.hand(connection, [Job("1.a", QUEUE, 0)])
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(job: str) -> None:
        began.set()
        await asyncio.sleep(1.5)
        ended.set()

    engine.take("w1", EVERY, 4, work)
    async with asyncio.timeout(60):
        await began.wait()
        await asyncio.to_thread(engine.close, 0)
        assert not ended.is_set()
        await ended.wait()
    with connections.connect() as connection:
        kinds = "SELECT DISTINCT serialization FROM dbos.workflow_status"
        assert connection.execute(text(kinds)).scalars().all() == ["portable_json"], "no pickle"
