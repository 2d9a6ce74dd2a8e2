"""The line of a session, with an engine that only notes what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from auwgent.middleware import SQLModelSessions
from auwgent.store.line import AHEAD, Job, Line, Submission
from tests.support.databases import database

pytestmark = pytest.mark.process


class Told:
    """Lines, and which runs the engine was told of."""

    def __init__(self, store: SQLModelSessions) -> None:
        self.store, self.jobs = store, list[Job]()

    def line(self, per_user: int | None = None, retries: int = 5) -> Line:
        def hand(connection: Any, jobs: Sequence[Job]) -> None:
            self.jobs += jobs

        return Line(hand, per_user, retries)

    async def do(self, work: Callable[[Any], Any]) -> Any:
        database = (await self.store.journal()).database
        return await database.run(database.write, work)

    async def accept(self, line: Line, run: str, session: str, user: str = "", **more: Any) -> bool:
        asked = Submission(user, session, run, "auwgent/1/Main/", "", '"hello"', "{}", **more)
        return bool(await self.do(lambda connection: line.accept(connection, asked)))

    async def names(self) -> list[str]:
        numbers = {row.run_id: 0 for row in await self.store.runs(None)}
        rows = await self.do(
            lambda connection: connection.exec_driver_sql("SELECT no, id FROM auwgent_runs").all()
        )
        known = {str(number): run for number, run in rows}
        assert numbers.keys() == set(known.values())
        return [known[job.id.partition(".")[0]] for job in self.jobs]


@pytest.fixture
async def told(tmp_path: Any) -> AsyncIterator[Told]:
    with database("postgresql", tmp_path) as url:
        store = SQLModelSessions(url)
        await store.open()
        yield Told(store)
        await store.close()


async def test_only_the_first_of_a_session_is_told_of(told: Told) -> None:
    line = told.line()
    for run, session in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")):
        assert await told.accept(line, run, session)
    assert not await told.accept(line, "a1", "a"), "it is there"
    assert await told.names() == ["a1", "b1"]
    await told.store.cancel("", "a1")
    assert await told.names() == ["a1", "b1"], "a process that knows of no line tells nobody"
    await told.do(lambda connection: line.next_of(connection, "", 5))
    assert await told.names() == ["a1", "b1", "a2"]


async def test_runs_of_a_user_are_counted(told: Told) -> None:
    line = told.line(per_user=2)
    for number in range(5):
        await told.accept(line, f"u{number}", f"s{number}", "u", priority=number == 4)
    await told.accept(line, "v", "s", "v")
    assert await told.names() == ["u0", "u1", "v"]
    (first,) = (job.id for job in told.jobs[:1])
    await told.do(lambda connection: line.fails(connection, first, {"message": "no", "kind": "x"}))
    assert await told.names() == ["u0", "u1", "v", "u4"], "priority orders sessions"


async def test_many_that_wait_do_not_stand_before_another_users(told: Told) -> None:
    line = told.line()

    def all_of_them(connection: Any) -> None:
        for number in range(AHEAD + 20):
            line.accept(connection, Submission("many", f"s{number}", f"r{number}", "q", "", '""', "{}"))

    await told.do(all_of_them)
    assert len(told.jobs) == AHEAD
    await told.accept(line, "mine", "s", "few")
    assert (await told.names())[AHEAD:] == ["mine"]
    assert len(await told.do(line.jobs)) == AHEAD + 1


async def test_one_with_a_time_has_its_place_when_that_has_come(told: Told) -> None:
    line = told.line()
    await told.accept(line, "later", "s", due_at=2**61)
    await told.accept(line, "now", "s")
    assert await told.names() == ["now"]
    await told.do(
        lambda connection: connection.exec_driver_sql("UPDATE auwgent_runs SET due_at = 1 WHERE id = 'later'")
    )
    assert await told.do(line.due) == 1
    assert await told.names() == ["now"]
    await told.store.cancel("", "now")
    await told.do(lambda connection: line.next_of(connection, "", 5))
    assert await told.names() == ["now", "later"]
    assert await told.do(line.due) == 0


async def test_what_the_engine_lost_is_told_of_again(told: Told) -> None:
    line = told.line()
    await told.accept(line, "r", "s")
    (lost,) = await told.do(line.jobs)
    await told.do(lambda connection: line.lost(connection, [lost]))
    assert await told.do(line.users) == [""]
    await told.do(lambda connection: line.next_of(connection, "", 5))
    assert await told.names() == ["r", "r"]
    assert await told.do(line.jobs) != [lost], "the old word is good for nothing"
