"""kill -9 at every point of a run: what was acknowledged is there, and the session goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from auwgent.pairing import paired
from auwgent.session import Session
from tests.support import killed
from tests.support.databases import database

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Point:
    """Where the process dies, and what must then be stored."""

    name: str
    stored: list[str]  # roles
    paid: int  # how often the tool's effect took place
    outcomes: list[str] = field(default_factory=list)  # of the tools, as the next run finds them


ASKED = ["user", "assistant"]
PAID = [*ASKED, "tool"]
LOOKED = [*PAID, "assistant", "tool"]

POINTS = [
    Point("after onRunStart", [], 0),
    Point("before onCheckpoint:llm_start", [], 0),
    Point("after onCheckpoint:llm_start", ["user"], 0),
    Point("onLLMStart", [], 0),
    Point("onIntentPartial:tool_call", ["user"], 0),
    # The message is stored before its calls are shown; one that has not begun is known not to have been made.
    Point("onIntent:tool_call pay", PAID, 0, ["skipped"]),
    Point("before onCheckpoint:tool_start pay", PAID, 0, ["skipped"]),
    Point("after onCheckpoint:tool_start pay", ASKED, 0, ["unknown"]),
    Point("tool:pay", ASKED, 1, ["unknown"]),
    Point("onIntent:tool_result pay", ASKED, 1, ["unknown"]),
    Point("before onCheckpoint:tool_end pay", ASKED, 1, ["unknown"]),
    Point("after onCheckpoint:tool_end pay", PAID, 1, ["ok"]),
    Point("tool:look", [*PAID, "assistant"], 1, ["ok"]),  # idempotent: the next run makes it again
    Point("onIntentPartial:response_text", LOOKED, 1, ["ok", "ok"]),
    Point("onIntent:response_text", LOOKED, 1, ["ok", "ok"]),
    Point("after onRunComplete", [*LOOKED, "assistant"], 1, ["ok", "ok"]),
    Point("before onRunComplete", [*LOOKED, "assistant"], 1, ["ok", "ok"]),
]


# Where a run is resumed without a new input: what the model says at last, and what the tools did.
RESUMED = {
    "after onCheckpoint:llm_start": ("It is done.", ["pay", "look"]),
    "tool:pay": ("I cannot tell whether it was done.", ["pay"]),
    "after onCheckpoint:tool_end pay": ("It is done.", ["pay", "look"]),
    "after onRunComplete": ("It is done.", ["pay", "look"]),  # nothing is left to do
}


@dataclass(frozen=True)
class After:
    """What the two runs after the crash found, and what the tools did."""

    first: Session
    second: Session
    done: list[str]


async def go_on(url: str, point: Point, folder: Path) -> After:
    log = folder / point.name
    async with killed.agent_on(url, "nowhere", log) as agent:
        first = await agent.run("What happened?", session_id=point.name)
        second = await agent.run("What happened?", session_id=point.name)
    return After(first, second, log.read_text().split() if log.exists() else [])


async def resume(url: str, point: str, folder: Path) -> After:
    log = folder / f"resumed {point}"
    async with killed.agent_on(url, "nowhere", log) as agent:
        session = await agent.run(None, session_id=log.name)
    return After(session, session, log.read_text().split() if log.exists() else [])


async def go_on_everywhere(url: str, folder: Path) -> tuple[list[After], list[After]]:
    """Side by side: each has to wait until the dead run is known to be dead."""
    goes_on = asyncio.gather(*(go_on(url, point, folder) for point in POINTS))
    resumes = asyncio.gather(*(resume(url, point, folder) for point in RESUMED))
    return await goes_on, await resumes


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crashes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, After]]:
    folder = tmp_path_factory.mktemp("crashes")
    with database(request.param, folder) as url:
        for point in POINTS:
            killed.die_at(url, point.name, folder / point.name, point.name)
        for name in RESUMED:
            killed.die_at(url, name, folder / f"resumed {name}", f"resumed {name}")
        found, resumed = asyncio.run(go_on_everywhere(url, folder))
        yield {
            **{point.name: after for point, after in zip(POINTS, found, strict=True)},
            **{f"resumed {name}": after for name, after in zip(RESUMED, resumed, strict=True)},
        }


@pytest.mark.parametrize("point", POINTS, ids=[point.name for point in POINTS])
def test_a_killed_run_loses_nothing_and_repeats_nothing(crashes: dict[str, After], point: Point) -> None:
    after = crashes[point.name]
    run_id = after.first.turns[-1].run_id
    before = [turn for turn in after.first.turns if turn.run_id != run_id]
    assert [turn.role for turn in before if turn.outcome != "unknown"] == point.stored
    assert [turn.outcome for turn in before if turn.role == "tool"] == point.outcomes
    assert after.done.count("pay") == point.paid
    assert after.first.text == "I shall tell you."
    assert paired(after.first.turns) == after.first.turns  # valid for every provider
    assert after.second.turns[: len(after.first.turns)] == after.first.turns


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_run_goes_on_without_a_new_input(crashes: dict[str, After], name: str) -> None:
    after = crashes[f"resumed {name}"]
    assert (after.first.text, after.done) == RESUMED[name]
    assert [turn.text for turn in after.first.turns if turn.role == "user"] == ["Please pay"]
    assert paired(after.first.turns) == after.first.turns
