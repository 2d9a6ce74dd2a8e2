from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import ConfigError, SessionConflict, StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.session import Media, Session, Text, ToolCall, Turn, Usage
from auwgent.testing.runs import StoreRun, stored, talk


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.turns]


async def test_a_session_goes_on_where_it_was(store: SQLModelSessions) -> None:
    await talk(store, "one", "s1")
    session = await talk(store, "two", "s1")
    assert texts(session) == ["one", "You said: one", "two", "You said: two"]
    assert session.stack == ["Main"]


async def test_a_new_session_is_none(store: SQLModelSessions) -> None:
    run = StoreRun(store, "new")
    assert await store.onRunStart(run.session, run.ctx) is None


async def test_every_field_of_a_session_comes_back(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.session.system_prompt = 'Say "hi"\n'
    run.session.stack = ["Main", "Joker"]
    run.session.turns.append(
        Turn(
            role="user",
            content=[
                Text(text="look"),
                Media(type="image", data="aGk=", mime_type="image/png", name="a.png"),
            ],
            agent="Joker",
        )
    )
    run.say(
        "",
        "assistant",
        tool_calls=[
            ToolCall(id="c1", name="f", args={"x": [1, None]}),
            ToolCall(id="c2", name="f", raw_args="{"),
        ],
        model="openai/gpt-5-mini",
        usage=Usage(
            input_tokens=9, output_tokens=8, cached_tokens=7, reasoning_tokens=6, usd=0.125, estimated=True
        ),
        provider_data={"signature": "abc"},
    )
    run.say("done", "tool", tool_call_id="c1", name="f", outcome="ok")
    run.say("no", "tool", tool_call_id="c2", name="f", outcome="error").run_id = "of another run"
    saved = await run.end()
    assert await stored(store, "s1") == saved.model_copy(update={"stack": ["Main"]})


async def test_the_stack_and_the_prompt_are_those_of_the_last_save(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    run.session.stack, run.session.system_prompt = ["Main", "Joker"], "Be funny."
    run.say("Hi")
    await run.save()
    again = StoreRun(store, "s1")
    await run.end()
    session = await store.onRunStart(again.session, again.ctx)
    assert session is not None
    assert (session.stack, session.system_prompt) == (["Main", "Joker"], "Be funny.")


@pytest.mark.parametrize(
    "text", ["nul \0", "lone \ud800 surrogate", "\u2028 é 漢 🐈", '"\\', "x" * 5_000_000]
)
async def test_any_text_survives(store: SQLModelSessions, text: str) -> None:
    run = await StoreRun(store, "s1").start()
    call = ToolCall(id="1", name="f", args={"x": text})
    run.say(text)
    run.ask(call)
    run.answer(call, text)
    run.session.system_prompt = text
    saved = await run.end()
    found = await stored(store, "s1")
    assert found.turns == saved.turns
    assert found.system_prompt == text


async def test_what_was_said_is_there_after_every_checkpoint(url: str) -> None:
    """A second store sees it while the run goes on: nothing waits for the end."""
    writer, reader = SQLModelSessions(url), SQLModelSessions(url)
    run = await StoreRun(writer, "s1").start()
    for number in range(3):
        run.say(str(number))
        await run.save()
        assert texts(await reader.get("u1", "s1")) == [str(n) for n in range(number + 1)]
    await run.end()
    await writer.close()
    await reader.close()


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_run_that_did_not_succeed_is_kept_too(store: SQLModelSessions, status: str) -> None:
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    await run.end(status, RuntimeError("no \0 luck"))
    assert texts(await stored(store, "s1")) == ["Hi"]


async def test_results_of_calls_side_by_side_come_back_in_the_order_of_the_calls(
    store: SQLModelSessions,
) -> None:
    run = await StoreRun(store, "s1").start()
    one, two = ToolCall(id="1", name="slow"), ToolCall(id="2", name="quick")
    run.ask(one, two)
    await run.save()
    run.answer(two, "second")
    await run.save()
    first = run.answer(one, "first")
    run.session.turns.remove(first)
    run.session.turns.insert(1, first)
    await run.save()
    await run.end()
    assert texts(await stored(store, "s1")) == ["", "first", "second"]


async def test_a_call_without_a_result_gets_one_and_the_history_stays_as_it_is_then(
    store: SQLModelSessions,
) -> None:
    run = await StoreRun(store, "s1").start()
    run.ask(ToolCall(id="1", name="f"))
    await run.end("cancelled")
    healed = await stored(store, "s1")
    assert [turn.outcome for turn in healed.turns] == [None, "unknown"]
    assert await stored(store, "s1") == healed


async def test_a_shorter_session_changes_nothing_that_is_stored(store: SQLModelSessions) -> None:
    await talk(store, "one", "s1")
    run = await StoreRun(store, "s1").start()
    run.session.turns = run.session.turns[-1:]
    run.say("two")
    await run.end()
    assert texts(await stored(store, "s1")) == ["one", "You said: one", "two"]


async def test_a_turn_is_stored_as_it_was_first(store: SQLModelSessions) -> None:
    run = await StoreRun(store, "s1").start()
    turn = run.say("before")
    await run.save()
    turn.content = "after"
    await run.end()
    assert texts(await stored(store, "s1")) == ["before"]


async def test_a_session_belongs_to_its_user(store: SQLModelSessions) -> None:
    await talk(store, "mine", "s1", "u1")
    theirs = await talk(store, "yours", "s1", "u2")
    assert texts(theirs) == ["yours", "You said: yours"]
    assert texts(await stored(store, "s1", "u1")) == ["mine", "You said: mine"]


async def test_one_that_took_no_part_in_the_run_saves_nothing(store: SQLModelSessions) -> None:
    run = StoreRun(store, "s1")
    run.say("Hi")
    await run.save()
    await run.end()
    assert texts(await stored(store, "s1")) == []


async def test_two_instances_in_one_run_do_not_mix(tmp_path: Path) -> None:
    stores = [SQLModelSessions(f"sqlite:///{tmp_path / name}") for name in ("a.db", "b.db")]
    run = await StoreRun(stores[0], "s1").start()
    run.say("Hi")
    for store in stores:
        run.store = store
        if store is stores[1]:
            await store.onRunStart(run.session, run.ctx)
        await run.save()
        await run.end()
    for store in stores:
        assert texts(await stored(store, "s1")) == ["Hi"]
        await store.close()


# Two runs at once.


async def test_runs_on_one_session_follow_one_another(store: SQLModelSessions) -> None:
    await asyncio.gather(*(talk(store, str(number), "s1") for number in range(20)))
    found = texts(await stored(store, "s1"))
    assert found[1::2] == [f"You said: {text}" for text in found[::2]]
    assert sorted(found[::2], key=int) == [str(number) for number in range(20)]


async def test_runs_get_the_session_in_the_order_in_which_they_came(store: SQLModelSessions) -> None:
    first = await StoreRun(store, "s1").start()
    waiting = []
    for number in range(5):
        waiting.append(asyncio.create_task(talk(store, str(number), "s1")))
        await asyncio.sleep(0.1)
    await first.end()
    await asyncio.gather(*waiting)
    assert texts(await stored(store, "s1"))[::2] == ["0", "1", "2", "3", "4"]


async def test_a_run_that_is_cancelled_while_it_waits_holds_up_nobody(store: SQLModelSessions) -> None:
    first = await StoreRun(store, "s1").start()
    waiting = asyncio.create_task(StoreRun(store, "s1").start())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await first.end()
    async with asyncio.timeout(2):
        await talk(store, "next", "s1")


async def test_reject_refuses_a_session_that_is_held(url: str) -> None:
    store = SQLModelSessions(url, on_busy="reject")
    first = await StoreRun(store, "s1").start()
    with pytest.raises(SessionConflict, match="'s1' is held by another run"):
        await StoreRun(store, "s1").start()
    await first.end()
    await talk(store, "now it is free", "s1")
    await store.close()


async def test_fork_goes_on_with_a_copy(url: str) -> None:
    store = SQLModelSessions(url, on_busy="fork")
    await talk(store, "one", "s1")
    first = await StoreRun(store, "s1").start()
    first.say("not answered yet")
    await first.save()
    second = await talk(store, "two", "s1")
    assert second.id != "s1"
    assert texts(second) == ["one", "You said: one", "two", "You said: two"]
    await first.end()
    assert await stored(store, second.id) == second
    assert texts(await stored(store, "s1")) == ["one", "You said: one", "not answered yet"]
    await store.close()


async def test_a_save_under_way_ends_when_the_run_is_cancelled(store: SQLModelSessions) -> None:
    for attempt in range(20):
        run = await StoreRun(store, f"s{attempt}").start()
        for number in range(50):
            run.say(str(number))
        save = asyncio.create_task(run.save())
        await asyncio.sleep(attempt / 4000)
        save.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await save
        other = await StoreRun(store, f"other{attempt}").start()  # the store still works
        await other.end()
        await run.end("cancelled")
        assert len((await stored(store, f"s{attempt}")).turns) == 50


async def test_runs_may_begin_before_the_store_is_open(url: str) -> None:
    store = SQLModelSessions(url)
    await asyncio.gather(*(talk(store, str(number), f"s{number}") for number in range(5)))
    assert len(await store.list_sessions("u1")) == 5
    await store.close()


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "sessions.db"}, "not a database URL"),
        ({"url": "oracle://scott:tiger@host/db"}, "'oracle'"),
        ({"on_busy": "wait"}, "on_busy must be"),
        ({"retention": "90 days"}, '"90d"'),
        ({"durability": "none"}, "durability must be"),
        ({"window": 0}, "window must be a number of turns"),
        ({"window": True}, "window must be a number of turns"),
        ({"url": "postgresql://host/name", "connections": 0}, "connections must be a number"),
        ({"connections": 2}, "connections are of PostgreSQL"),
    ],
)
def test_a_wrong_option_is_a_config_error(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        SQLModelSessions(**options)
    assert "tiger" not in str(raised.value)


async def test_the_default_file_stands_beside_the_config(tmp_path: Path) -> None:
    store = SQLModelSessions()
    store.folder = tmp_path
    await talk(store, "Hi")
    await store.close()
    assert (tmp_path / ".auwgent" / "sessions.db").is_file()


async def test_a_session_id_that_no_database_can_hold_is_refused(store: SQLModelSessions) -> None:
    with pytest.raises(ConfigError, match="session id"):
        await StoreRun(store, "a\0b").start()


@pytest.mark.skipif(sys.platform == "win32", reason="no file modes")
async def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SQLModelSessions()
        store.folder = tmp_path
        await talk(store, "Hi")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".auwgent").iterdir()}
        assert modes == {"sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600}
        assert stat.S_IMODE((tmp_path / ".auwgent").stat().st_mode) == 0o700
        await store.close()
    finally:
        os.umask(before)


# Failures.


async def test_a_failed_read_is_never_a_new_session(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"not a database, but precious" * 100)
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    with pytest.raises(StoreError, match="not a SQLite database"):
        await StoreRun(store, "s1").start()
    assert (tmp_path / "sessions.db").read_bytes() == b"not a database, but precious" * 100


async def test_a_stored_turn_that_cannot_be_read_is_never_left_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    store = SQLModelSessions(url)
    await talk(store, "Hi", "s1")
    await store.close()
    damage(tmp_path / "sessions.db", "UPDATE auwgent_turns SET body = '{'")
    again = SQLModelSessions(url)
    with pytest.raises(StoreError, match="session 's1'"):
        await StoreRun(again, "s1").start()
    await again.close()


async def test_a_failed_save_is_never_silent(tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    run = await StoreRun(store, "s1").start()
    damage(tmp_path / "sessions.db", "DROP TABLE auwgent_turns")
    run.say("Hi, my name is Canary")
    with pytest.raises(StoreError, match="auwgent_turns") as raised:
        await run.save()
    assert "Canary" not in f"{raised.value} {raised.value.__cause__}"
    await store.close()


async def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    store = SQLModelSessions("postgresql://me:canary@127.0.0.1:1/nothing")
    with pytest.raises(StoreError, match=r"me:\*\*\*@127\.0\.0\.1:1/nothing") as raised:
        await StoreRun(store, "s1").start()
    assert "canary" not in f"{raised.value} {raised.value.__cause__}"


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:////dev/null/{tmp_path.name}/sessions.db")
    with pytest.raises(StoreError, match=r"/dev/null/.*cannot be created"):
        await StoreRun(store, "s1").start()


def damage(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
