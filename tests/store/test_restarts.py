"""A server that starts again is waited for, also by who opens; one that never answers is soon given up by commands."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from auwgent.errors import StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import talk
from tests.support.postgres import Server, server

pytestmark = pytest.mark.process

__all__ = ["server"]

WAYS: list[Callable[[Server], None]] = [Server.stop, Server.kill]


@pytest.mark.parametrize("away", WAYS)
async def test_who_opens_or_goes_on_while_it_starts_again_waits(
    server: Server, away: Callable[[Server], None], caplog: pytest.LogCaptureFixture
) -> None:
    known = SQLModelSessions(server.url)
    await talk(known, "one", "s1")
    await asyncio.to_thread(away, server)
    new = SQLModelSessions(server.url)
    talks = [asyncio.create_task(talk(store, "two", f"s{n}")) for n, store in enumerate((known, new), 1)]
    await asyncio.sleep(4)
    assert not any(one.done() for one in talks)
    await asyncio.to_thread(server.start)
    assert [len((await one).turns) for one in talks] == [4, 2]
    assert "the database is waited for" in caplog.text
    assert sorted(info.id for info in await new.list_sessions("u1")) == ["s1", "s2"]
    for store in (known, new):
        await store.close()


async def test_a_command_gives_up_soon_what_never_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store = SQLModelSessions("postgresql://me@127.0.0.1:1/db")
    store.opening = 0.5
    began = time.monotonic()
    with pytest.raises(StoreError, match="refused"):
        await store.list_sessions("")
    assert time.monotonic() - began < 5
