from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from auwgent.errors import SessionConflict, SessionNotFound, StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.session import Session, ToolCall, Turn, Usage, now
from auwgent.store.base import SessionStore
from auwgent.store.sessions import SEARCHED
from auwgent.store.tables import runs
from auwgent.testing.runs import StoreRun, stored, talk


def test_the_default_store_offers_all_that_the_commands_need() -> None:
    assert isinstance(SQLModelSessions(), SessionStore)


async def test_the_latest_session_is_the_one_used_last(store: SQLModelSessions) -> None:
    assert await store.latest("u1") is None
    await talk(store, "Hi", "a")
    await talk(store, "Hi", "b")
    await talk(store, "Hi", "other", "u2")
    assert await store.latest("u1") == "b"
    await talk(store, "again", "a")
    assert await store.latest("u1") == "a"


async def test_a_session_in_which_nothing_was_said_is_not_listed(store: SQLModelSessions) -> None:
    await (await StoreRun(store, "s1").start()).end()
    assert await store.list_sessions("u1") == []


async def test_the_list_tells_what_a_session_is_about(store: SQLModelSessions) -> None:
    await talk(store, "Three names\nfor a cat, please", "s1")
    run = await StoreRun(store, "s2").start()
    run.say("x" * 200)
    await run.end("failed")
    second, first = await store.list_sessions("u1")
    assert (first.id, first.turns, first.status) == ("s1", 2, "completed")
    assert first.preview == "Three names for a cat, please"
    assert (second.status, len(second.preview)) == ("failed", 80)
    assert timedelta() <= now() - first.created_at < timedelta(minutes=1)
    assert [info.id for info in await store.list_sessions("u1", limit=1)] == ["s2"]
    assert await store.list_sessions("u1", since=now() + timedelta(hours=1)) == []


async def test_a_run_that_nobody_speaks_for_is_interrupted(tmp_path: Path) -> None:
    store, other = (SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}") for _ in range(2))
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    await run.save()
    assert await other.run_status("u1", "s1") == "running"
    await store.close()  # nobody speaks for the run any more
    assert await other.run_status("u1", "s1") == "interrupted"
    (info,) = await other.list_sessions("u1")
    assert info.status == "interrupted"
    assert await other.run_status("u1", "s2") is None
    await other.close()


async def test_a_session_can_be_had_without_a_run(store: SQLModelSessions) -> None:
    session = await talk(store, "Hi", "s1")
    assert await store.get("u1", "s1") == session


@pytest.mark.parametrize("user", ["u2", ""])
async def test_a_session_of_another_user_is_not_found(store: SQLModelSessions, user: str) -> None:
    await talk(store, "Hi", "s1")
    for attempt in (
        store.get(user, "s1"),
        store.fork(user, "s1", "s2"),
        store.rename(user, "s1", "s2"),
        store.delete(user, "s1"),
    ):
        with pytest.raises(SessionNotFound, match="no session 's1'"):
            await attempt
    assert [hit async for hit in store.search(user, "Hi")] == []


async def test_a_session_that_was_interrupted_is_valid_when_it_is_read(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.ask(*(ToolCall(id=number, name="f") for number in ("begun", "waiting")))
    await run.save(at="tool_start", call_id="begun", name="f", idempotent=False)
    results = {turn.tool_call_id: turn.outcome for turn in (await store.get("u1", "s1")).turns[1:]}
    assert results == {"begun": "unknown", "waiting": "skipped"}
    await run.end()


async def test_search_finds_turns_with_all_of_the_words(store: SQLModelSessions) -> None:
    await talk(store, "Der Straße nach, bitte", "a")
    await talk(store, "nothing", "b")
    await talk(store, "Bitte die STRASSE kehren" + 99 * " und wieder", "c")
    hits = [hit async for hit in store.search("u1", "straße BITTE")]
    assert [(hit.session_id, hit.role) for hit in hits] == [
        ("c", "user"),
        ("c", "assistant"),
        ("a", "user"),
        ("a", "assistant"),
    ]
    assert hits[0].excerpt == "Bitte die STRASSE kehren und wieder und…"
    assert [hit async for hit in store.search("u1", "%")] == []
    assert [hit async for hit in store.search("u1", "_")] == []
    assert [hit async for hit in store.search("u1", " ")] == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("CAFÉ Ärger", "café äRGER"),
        ("the Kelvin sign \u212a, ﬁne", "KELVIN k fine"),
        ('say "hi" to C:\\new\\users\\', '"HI" c:\\New\\USERS\\'),
        ("half a \ud83d character, é", "CHARACTER, É"),
        ("50%_off/now", "%_OFF/"),
        ("bell \a tab\tend", "\a end"),
        ("x" * 100_000 + " needle", "needle"),
    ],
)
async def test_search_finds_any_text(store: SQLModelSessions, said: str, words: str) -> None:
    await talk(store, said, "a")
    await talk(store, "half a \ud83d other, è ß", "b")
    assert [hit.session_id async for hit in store.search("u1", words)] == ["a", "a"]


async def test_search_looks_at_what_was_said_not_at_how_it_is_stored(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.say("é\n")
    run.ask(ToolCall(id="c1", name="needle", args={"needle": "needle"}))
    await run.end()
    for word in ("needle", "content", "n\\n", "u00e9", "tool_calls"):
        assert [hit async for hit in store.search("u1", word)] == []


async def test_search_goes_through_many_sessions_the_newest_first(store: SQLModelSessions) -> None:
    for number in range(SEARCHED + 10):
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        turns = [Turn(role="user", content=f"turn {place}", created_at=time) for place in range(2)]
        await store.put(Session(id=f"s{number}", user_id="u1", turns=turns))
    found = [(hit.session_id, hit.excerpt) async for hit in store.search("u1", "turn")]
    numbers = reversed(range(SEARCHED + 10))
    assert found == [(f"s{number}", f"turn {place}") for number in numbers for place in range(2)]


@pytest.mark.usefixtures("no_beats")
async def test_a_search_reads_no_session_whole(store: SQLModelSessions) -> None:
    for number in range(5):
        await talk(store, f"needle {number}", f"s{number}")
    with queries() as seen:
        assert len([hit async for hit in store.search("u1", "NEEDLE 3")]) == 2
    assert len(seen) == 2  # which sessions there are, and which turns


@contextmanager
def queries() -> Iterator[list[str]]:
    """What databases are asked meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SELECT" in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_a_search_that_meets_a_damaged_turn_names_the_session(tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    await talk(store, "needle", "s1")
    with closing(connect(tmp_path / "sessions.db")) as connection:
        connection.execute("UPDATE auwgent_turns SET body = 'needle'")
        connection.commit()
    with pytest.raises(StoreError, match="session 's1' is damaged"):
        [hit async for hit in store.search("u1", "needle")]
    await store.close()


async def test_a_slow_reader_of_a_search_holds_up_nobody(store: SQLModelSessions) -> None:
    for number in range(3):
        await talk(store, "needle", f"s{number}")
    async for _ in store.search("u1", "needle"):
        async with asyncio.timeout(2):
            await talk(store, "Hi", "other")


async def test_a_session_from_elsewhere_goes_on_here(store: SQLModelSessions) -> None:
    session = Session(
        id="s1",
        user_id="u1",
        stack=["Main"],
        turns=[
            Turn(role="user", content="Hi", run_id="r1"),
            Turn(role="assistant", content="Hello", agent="Main"),
        ],
    )
    await store.put(session)
    assert await store.get("u1", "s1") == session
    with pytest.raises(SessionConflict, match="'s1' already"):
        await store.put(session)
    more = await talk(store, "Still there?", "s1")
    assert more.turns[:2] == session.turns


async def test_an_import_with_an_id_twice_is_refused(store: SQLModelSessions) -> None:
    turn = Turn(role="user", content="Hi")
    with pytest.raises(StoreError, match="several turns"):
        await store.put(Session(id="s1", turns=[turn, turn]))
    assert await store.list_sessions("") == []


async def test_a_fork_is_a_session_of_its_own(store: SQLModelSessions) -> None:
    session = await talk(store, "Hi", "s1")
    await store.fork("u1", "s1", "s2")
    assert (await store.get("u1", "s2")).turns == session.turns
    await talk(store, "more", "s2")
    assert await store.get("u1", "s1") == session
    await store.delete("u1", "s1")
    assert len((await store.get("u1", "s2")).turns) == 4
    with pytest.raises(SessionNotFound):
        await store.fork("u1", "s1", "s3")


async def test_a_taken_id_is_refused(store: SQLModelSessions) -> None:
    for name in ("a", "b"):
        await talk(store, name, name)
    with pytest.raises(SessionConflict, match="'b' already"):
        await store.fork("u1", "a", "b")
    with pytest.raises(SessionConflict, match="'b' already"):
        await store.rename("u1", "a", "b")
    assert [turn.text for turn in (await store.get("u1", "b")).turns] == ["b", "You said: b"]


async def test_a_renamed_session_goes_on_under_its_new_id(store: SQLModelSessions) -> None:
    await talk(store, "Hi", "old")
    await store.rename("u1", "old", "new")
    assert len((await talk(store, "again", "new")).turns) == 4
    assert (await stored(store, "old")).turns == []


async def test_a_session_that_a_run_holds_is_neither_renamed_nor_deleted_nor_pruned(
    store: SQLModelSessions,
) -> None:
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    await run.save()
    for attempt in (store.rename("u1", "s1", "s2"), store.delete("u1", "s1")):
        with pytest.raises(SessionConflict, match="'s1' is held by a run"):
            await attempt
    assert await store.prune(None, keep=0) == 0
    await run.end()
    assert await store.prune(None, keep=0) == 1


async def test_a_paused_session_is_not_pruned_and_can_be_deleted(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.ask(ToolCall(id="c1", name="pay"))
    await run.end("paused")
    assert await store.prune(None, keep=0) == 0
    assert await store.run_status("u1", "s1") == "paused"
    await store.delete("u1", "s1")
    with pytest.raises(SessionNotFound):
        await store.get("u1", "s1")
    database = (await store.journal()).database
    left = await database.run(database.read, lambda connection: connection.execute(select(runs)).one())
    assert (left.status, left.pending, left.session_no) == ("cancelled", None, None)
    assert (await talk(store, "Hi", "s1")).turns[0].text == "Hi"  # a new one


async def test_prune_deletes_by_age_and_by_count_of_each_user(store: SQLModelSessions) -> None:
    for user in ("u1", "u2"):
        for name in "abc":
            await talk(store, "Hi", name, user)
    assert await store.prune("u1", keep=2) == 1
    assert [info.id for info in await store.list_sessions("u1")] == ["c", "b"]
    assert await store.prune(None, keep=1) == 3
    assert await store.prune(None, before=now() - timedelta(days=1)) == 0
    assert await store.prune("u2", before=now()) == 1
    assert await store.prune(None) == 0
    assert [info.id for info in await store.list_sessions("u1")] == ["c"]


async def test_retention_prunes_when_the_store_opens(url: str) -> None:
    store = SQLModelSessions(url)
    old = Turn(role="user", content="long ago", created_at=now() - timedelta(days=91))
    await store.put(Session(id="old", user_id="u1", turns=[old]))
    await talk(store, "Hi", "new")
    await store.close()
    again = SQLModelSessions(url, retention="90d")
    assert [info.id for info in await again.list_sessions("u1")] == ["new"]
    await again.close()


async def test_nothing_of_a_deleted_session_stays_in_the_files(tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    await talk(store, "canary " * 5000, "s1")
    await talk(store, "sparrow", "s2")
    run = await StoreRun(store, "s3").start()
    run.say("tool")
    await run.save(at="tool_start", call_id="canary", name="canary", idempotent=False)
    await run.end()
    assert b"canary" in content(tmp_path)
    await store.delete("u1", "s1")
    await store.delete("u1", "s3")
    assert b"sparrow" in content(tmp_path)
    assert b"canary" not in content(tmp_path)
    await store.close()


async def test_what_is_deleted_gives_its_space_back(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    store = SQLModelSessions(f"sqlite:///{file}")
    await talk(store, "long " * 50_000, "s1")
    await store.close()  # until then, it is in the WAL
    size = file.stat().st_size
    await store.delete("u1", "s1")
    await store.close()
    assert file.stat().st_size < size - 400_000


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_usage_is_counted_by_model_agent_day_and_session(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    for model, usd in [("a/x", 0.5), ("a/x", None), ("b/y", 0.25)]:
        usage = Usage(input_tokens=100, output_tokens=10, cached_tokens=5, reasoning_tokens=1, usd=usd)
        run.say("…", "assistant", model=model, usage=usage)
    run.session.turns[-1].created_at = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    run.session.turns[-1].agent = "Helper"
    await run.end()
    await store.fork("u1", "s1", "copy")  # a copy costs nothing
    first, second = await store.usage("model")
    assert (first.key, first.calls, first.unpriced) == ("a/x", 2, 1)
    assert first.usage == Usage(
        input_tokens=200, output_tokens=20, cached_tokens=10, reasoning_tokens=2, usd=0.5
    )
    assert (second.key, second.usage.usd) == ("b/y", 0.25)
    assert [row.key for row in await store.usage("agent")] == ["Main", "Helper"]
    assert [row.key for row in await store.usage("day")] == ["2026-01-31", str(now().date())]
    assert [(row.key, row.calls) for row in await store.usage("session")] == [("s1", 3)]
    assert await store.usage("model", user_id="u2") == []
    assert [row.calls for row in await store.usage("model", since=now() - timedelta(hours=1))] == [2]


@pytest.mark.parametrize("how", ["imported", "forked", "renamed"])
async def test_calls_that_came_from_elsewhere_are_not_told_as_open(url: str, how: str) -> None:
    """Of a session whose run died, only the one that the run itself wrote may have its calls made."""
    store = SQLModelSessions(url)
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    run.ask(ToolCall(id="c1", name="wipe", args={"path": "/"}))
    await run.save()
    session = run.session.model_copy(update={"id": "s2"})
    await store.close()  # the run is dead
    if how == "imported":
        await store.put(session)
    elif how == "forked":
        await store.fork("u1", "s1", "s2")
    else:
        await store.rename("u1", "s1", "s2")
    again = await StoreRun(store, "s2").start()
    known = {"call_id": "c1", "name": "wipe", "args": {"path": "/"}, "begun": False, "idempotent": False}
    # What was imported or forked has results for its calls, so that none is open.
    assert again.ctx.get("interrupted") == ({"c1": known} if how == "renamed" else None)
    if how != "renamed":
        assert [turn.outcome for turn in again.session.turns if turn.role == "tool"] == ["skipped"]
    await again.end()
    await store.close()
