"""Clocks that are wrong: whoever is alive is judged by whether his beat moves, and by no clock."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import psycopg
import pytest

from auwgent.errors import SessionConflict
from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import StoreRun, stored
from tests.support.worker import worker

pytestmark = pytest.mark.process

HOUR = 3_600_000_000  # microseconds
SQLITE = """
CREATE TRIGGER wrong_{what} AFTER {what} ON auwgent_workers
BEGIN UPDATE auwgent_workers SET seen_at = seen_at + {by} WHERE no = NEW.no; END
"""
POSTGRESQL = """
CREATE FUNCTION wrong() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN NEW.seen_at := NEW.seen_at + {by}; RETURN NEW; END $$;
CREATE TRIGGER wrong BEFORE INSERT OR UPDATE ON auwgent_workers FOR EACH ROW EXECUTE FUNCTION wrong();
"""


def set_clock(url: str, by: int) -> None:
    """From now on all beats are noted with a time that is wrong by so much, as a clock gives it that was set."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            for what in ("INSERT", "UPDATE"):
                connection.execute(SQLITE.format(what=what, by=by))
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(POSTGRESQL.format(by=by))


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_live_run_keeps_its_session_whatever_its_clock_says(url: str, by: int) -> None:
    store, queued = SQLModelSessions(url, on_busy="reject"), SQLModelSessions(url)
    await store.open()
    set_clock(url, by)
    with worker(url) as owner:
        owner.all_ok("start s1", "say one", "save")
        waiting = asyncio.create_task(StoreRun(queued, "s1").start())  # looks at the owner again and again
        for attempt in (store.delete, store.rename):
            with pytest.raises(SessionConflict, match="is held by a run"):
                await attempt("u1", "s1", *(["s2"] if attempt == store.rename else []))
        with pytest.raises(SessionConflict, match="is held by another run"):
            await StoreRun(store, "s1").start()
        await store.prune("u1", keep=0)
        await asyncio.sleep(5)  # longer than a lease
        assert not waiting.done()
        owner.all_ok("say two", "save", "end")
    last = await waiting
    assert [turn.text for turn in last.session.turns] == ["one", "two"]
    await last.end()
    await store.close()
    await queued.close()


async def test_a_dead_run_is_known_whatever_its_clock_said(url: str) -> None:
    store = SQLModelSessions(url)
    await store.open()
    set_clock(url, HOUR)
    with worker(url) as owner:
        owner.all_ok("start s1", "say one", "save")
    assert [turn.text for turn in (await asyncio.wait_for(stored(store, "s1"), 20)).turns] == ["one"]
    await store.close()
