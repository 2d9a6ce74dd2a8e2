"""Reading the newest turns alone: where they begin, that nothing else changes, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from auwgent.errors import LimitExceeded
from auwgent.middleware import Budget, Compaction, SQLModelSessions
from auwgent.session import Session, ToolCall, Turn
from auwgent.store.history import opening
from auwgent.testing.runs import StoreRun, stored, talk
from tests.support.bench import asks_helper, bench, check_history, short


def turns_of_a_run(run_id: str, rounds: int) -> list[Turn]:
    """User, rounds of two calls with their results, answer. Every run uses the same call ids."""
    turns = [Turn(role="user", content=run_id, run_id=run_id)]
    for number in range(rounds):
        asked = [ToolCall(id=f"c{number}-{n}", name="f") for n in range(2)]
        turns.append(Turn(role="assistant", tool_calls=asked, run_id=run_id))
        turns += [Turn(role="tool", tool_call_id=call.id, run_id=run_id) for call in asked]
    return [*turns, Turn(role="assistant", content="done", run_id=run_id)]


@given(st.lists(st.integers(0, 3), min_size=2, max_size=6), st.integers(1, 12))
def test_a_window_opens_as_late_as_it_can_with_the_words_that_began_a_run(
    rounds: list[int], least: int
) -> None:
    runs = [turns_of_a_run(f"r{number}", count) for number, count in enumerate(rounds)]
    turns = [turn for run in runs for turn in run]
    starts = [sum(map(len, runs[:number])) for number in range(1, len(runs))]
    assert opening(turns, least) == max(
        (start for start in starts if len(turns) - start >= least), default=None
    )


def test_words_to_a_helper_or_of_a_repair_open_no_window() -> None:
    call = ToolCall(id="c", name="Helper")
    turns = [
        Turn(role="user", content="earlier", run_id="0"),
        Turn(role="user", content="go on", run_id="1"),
        Turn(role="assistant", tool_calls=[call], run_id="1"),
        Turn(role="user", content="task", agent="Helper", run_id="1"),
        Turn(role="assistant", content="junk", agent="Helper", run_id="1"),
        Turn(role="user", content="again", agent="Helper", run_id="1"),
        Turn(role="tool", tool_call_id="c", run_id="1"),
    ]
    assert opening(turns, 1) == 1
    assert opening(turns[2:], 1) is None


def test_a_resumed_run_is_not_parted_from_the_one_it_goes_on_with() -> None:
    turns = [
        Turn(role="user", run_id="0"),
        Turn(role="user", run_id="1"),
        Turn(role="assistant", tool_calls=[ToolCall(id="c", name="Helper")], run_id="1"),
        Turn(role="user", content="task", agent="Helper", run_id="2"),
        Turn(role="assistant", content="found", agent="Helper", run_id="2"),
        Turn(role="tool", tool_call_id="c", run_id="2"),
        Turn(role="assistant", content="done", run_id="2"),
    ]
    assert opening(turns, 1) == 1


def test_an_imported_session_that_tells_of_no_runs_opens_at_any_words_of_the_user() -> None:
    turns = [Turn(role=role) for role in ("user", "assistant", "user", "assistant")]
    assert [opening(turns, least) for least in (1, 2, 3)] == [2, 2, None]


# The store with a window.


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.turns]


@pytest.fixture
async def windowed(url: str) -> Any:
    opened = SQLModelSessions(url, window=3)
    yield opened
    await opened.close()


async def test_a_run_reads_the_newest_turns_and_the_rest_stays_stored(windowed: SQLModelSessions) -> None:
    for number in range(5):
        session = await talk(windowed, str(number), "s1")
    assert texts(session) == ["2", "You said: 2", "3", "You said: 3", "4", "You said: 4"]
    whole = await windowed.get("u1", "s1")
    assert texts(whole)[::2] == ["0", "1", "2", "3", "4"]
    assert (await windowed.list_sessions("u1"))[0].turns == 10
    assert [hit.excerpt async for hit in windowed.search("u1", "said 0")] == ["You said: 0"]


async def test_a_run_longer_than_the_window_is_read_whole(windowed: SQLModelSessions) -> None:
    await talk(windowed, "before", "s1")
    run = await StoreRun(windowed, "s1").start()
    run.say("work")
    for number in range(9):
        call = ToolCall(id=f"c{number}", name="f")
        run.ask(call)
        run.answer(call, str(number))
    done = await run.end()
    assert (await stored(windowed, "s1")).turns == done.turns[2:]


async def test_what_is_put_before_the_window_is_stored_right_before_it(windowed: SQLModelSessions) -> None:
    for number in range(4):
        await talk(windowed, str(number), "s1")
    run = await StoreRun(windowed, "s1").start()
    run.session.turns.insert(0, Turn(role="user", content="summary"))
    await run.save()
    run.say("next")
    await run.end()
    said = texts(await windowed.get("u1", "s1"))
    assert said[:4] == ["0", "You said: 0", "1", "You said: 1"]
    assert said[4:] == ["summary", "2", "You said: 2", "3", "You said: 3", "next"]


async def test_the_whole_history_put_back_is_not_stored_twice(windowed: SQLModelSessions) -> None:
    for number in range(4):
        await talk(windowed, str(number), "s1")
    whole = await windowed.get("u1", "s1")
    run = await StoreRun(windowed, "s1").start()
    run.session.turns[:] = whole.turns
    run.say("next")
    await run.end()
    assert texts(await windowed.get("u1", "s1")) == [*texts(whole), "next"]


async def test_an_interrupted_call_in_the_window_is_known(windowed: SQLModelSessions, url: str) -> None:
    await talk(windowed, "before", "s1")
    run = await StoreRun(windowed, "s1").start()
    run.say("work")
    for number in range(3):
        run.ask(ToolCall(id=f"c{number}", name="pay"))
        await run.save(at="tool_start", call_id=f"c{number}", name="pay", idempotent=False)
    other = SQLModelSessions(url, window=3, on_busy="fork")  # a copy of a session whose run is not over
    copy = await StoreRun(other, "s1").start()
    assert texts(copy.session) == ["before", "You said: before"]
    await copy.end()
    await run.end("failed")
    again = await StoreRun(windowed, "s1").start()
    assert [turn.outcome for turn in again.session.turns if turn.role == "tool"] == ["unknown"] * 3
    assert texts(again.session)[0] == "work"
    assert sorted(again.ctx["interrupted"]) == ["c0", "c1", "c2"]
    await again.end()
    await other.close()


@pytest.mark.process
@pytest.mark.parametrize("begins", [True, False])
async def test_a_call_before_the_window_with_the_same_id_is_another_one(
    windowed: SQLModelSessions, begins: bool
) -> None:
    """Models that start numbering their calls again in each answer cannot know of those that they are not sent."""
    run = await StoreRun(windowed, "s1").start()
    run.ask(ToolCall(id="c0", name="look"))
    await run.save(at="tool_start", call_id="c0", name="look", idempotent=True)
    await run.end("failed")
    for number in range(4):
        await talk(windowed, str(number), "s1")
    run = await StoreRun(windowed, "s1").start()
    run.say("work")
    run.ask(ToolCall(id="c0", name="pay"))
    if begins:
        await run.save(at="tool_start", call_id="c0", name="pay", idempotent=False)
    await run.end("failed")
    again = await StoreRun(windowed, "s1").start()
    assert again.ctx["interrupted"] == {
        "c0": {"call_id": "c0", "name": "pay", "args": {}, "begun": begins, "idempotent": False}
    }
    await again.end()


async def test_helpers_turns_stay_with_the_call_and_the_model_sees_a_valid_history(
    windowed: SQLModelSessions,
) -> None:
    said: dict[str, list[Any]] = {
        "main": [asks_helper("Joker", "a joke"), "There."] * 4,
        "joker": ["Ha."] * 4,
    }
    helpers = {"Joker": {"description": "Jokes", "model": "joker", "prompt": "Joke."}}
    table = bench(said, middleware=[windowed], helpers=helpers)
    for number in range(4):
        session = await table.ask(f"More {number}", session_id="s1", user_id="u1")
    told = ["?Joker", "user: a joke", "assistant: Ha.", "Joker=Ha.", "assistant: There."]
    assert short(session.turns) == ["user: More 2", *told, "user: More 3", *told]
    for model in ("main", "joker"):
        for request in table.requests(model):
            assert request.turns[0].role == "user"
            check_history(request.turns)
    assert len(short((await windowed.get("u1", "s1")).turns)) == 24


async def test_the_stack_stays_whoever_is_in_the_window(windowed: SQLModelSessions) -> None:
    helpers = {"Joker": {"description": "Jokes", "model": "joker", "prompt": "Joke.", "handoff": "user"}}
    said: dict[str, list[Any]] = {
        "main": [asks_helper("Joker", "a joke")],
        "joker": [f"Which {number}?" for number in range(6)],
    }
    table = bench(said, middleware=[windowed], helpers=helpers)
    for number in range(6):
        session = await table.ask(f"This {number}", session_id="s1", user_id="u1")
        assert session.stack == ["Main", "Joker"]
    assert len(table.requests("main")) == 1
    assert short(session.turns)[0] == "user: This 3"


@pytest.mark.parametrize(("window", "asked"), [(3, ["Question 2", "Question 3"]), (2, ["Question 3"])])
async def test_a_summary_of_what_lies_before_the_window_is_still_sent(
    url: str, window: int, asked: list[str]
) -> None:
    wide, narrow = SQLModelSessions(url), SQLModelSessions(url, window=window)
    compaction = Compaction(turns=6, keep=0.7, strategy="summarise", model="sums")
    said = {"main": ["Yes."] * 4, "sums": ["They talked."]}
    table = bench(said, middleware=[wide, compaction])
    for number in range(4):
        await table.ask(f"Question {number}", session_id="s1", user_id="u1")
    again = bench(["Yes."] * 5, middleware=[narrow, Compaction(turns=50)])
    await again.ask("Still there?", session_id="s1", user_id="u1")
    sent = [turn.text for turn in again.requests()[0].turns if turn.role == "user"]
    assert "They talked." in sent[0]
    assert sent[1:] == [*asked, "Still there?"]
    await wide.close()
    await narrow.close()


async def test_a_budget_of_a_session_counts_what_is_not_read(
    windowed: SQLModelSessions, tmp_path: Path
) -> None:
    budget = Budget(session={"calls": 5}, url=f"sqlite:///{tmp_path / 'limits.db'}")
    table = bench(["Yes."] * 9, middleware=[windowed, budget])
    for number in range(5):
        await table.ask(f"Question {number}", session_id="s1", user_id="u1")
    with pytest.raises(LimitExceeded, match="5 of 5 model calls"):
        await table.ask("One more", session_id="s1", user_id="u1")
    await budget.close()


# What it costs.


@contextmanager
def rows_read() -> Iterator[list[int]]:
    """Rows that PostgreSQL gives, or a tenth of the steps that SQLite takes, for each statement."""
    counts: list[int] = []
    watched: list[Any] = []

    def begin(connection: Any, cursor: Any, *_: Any) -> None:
        if connection.dialect.name == "sqlite":
            counts.append(0)
            watched.append(cursor.connection)
            cursor.connection.set_progress_handler(step, 10)

    def step() -> None:
        counts[-1] += 1

    def end(connection: Any, cursor: Any, *_: Any) -> None:
        if connection.dialect.name != "sqlite":
            counts.append(cursor.rowcount)

    event.listen(Engine, "before_cursor_execute", begin)
    event.listen(Engine, "after_cursor_execute", end)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", begin)
        event.remove(Engine, "after_cursor_execute", end)
        for connection in watched:
            connection.set_progress_handler(None, 0)


@pytest.mark.usefixtures("no_beats")
async def test_a_run_on_a_long_session_reads_no_more_than_on_a_short_one(url: str) -> None:
    store = SQLModelSessions(url, window=20)
    read = []
    for length in (10, 300):
        session_id = f"s{length}"
        for number in range(length):
            await talk(store, f"{number}", session_id)
        with rows_read() as counts:
            run = await StoreRun(store, session_id).start()
            run.say("next")
            await run.save()
            await run.end()
        assert len(run.session.turns) == 21
        read.append((len(counts), sum(counts)))
    await store.close()
    assert read[0][0] == read[1][0]
    assert read[1][1] <= read[0][1] * 1.2
