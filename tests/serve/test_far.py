"""Events of a run that another process has at work: its pieces come as it says them, and nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.databases import POSTGRES, database
from tests.support.far import Elsewhere, elsewhere
from tests.support.reading import Reading, text_of
from tests.support.served import Served, served

pytestmark = pytest.mark.process

WORDS = " ".join(f"word{number}" for number in range(40))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as found:
        yield found


def config(url: str) -> dict[str, Any]:
    return {
        "agent": {"model": "scripted/main"},
        "middleware": [{"use": "auwgent.middleware.SQLModelSessions", "url": url}],
    }


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[Served, Elsewhere]]:
    """A server, and a process that carries out a run."""
    with elsewhere(config(url)) as other:
        async with served(config(url)) as server:
            yield server, other


async def test_the_pieces_of_a_run_elsewhere_come_as_they_are_said(url: str) -> None:
    async with both(url) as (server, other):
        await other.begins("r/1", [WORDS])
        await other.says(3)
        first = Reading(server, "r/1")
        await first.until("word2")
        assert "word3" not in text_of(first.events)
        await other.says(10)
        await first.until("word12")
        late = Reading(server, "r/1")
        await late.until("word12")
        assert text_of(late.events) == text_of(first.events)
        await other.says()
        for reading in (first, late):
            found = await reading.end()
            assert text_of(found) == WORDS
            assert [one.name for one in found if one.data["event"] == "intent"] == [
                "model_call",
                "response_text",
            ]
            assert (found[-1].name, found[-1].data["status"], found[-1].data["text"]) == (
                "run",
                "completed",
                WORDS,
            )


async def test_a_reader_that_was_cut_goes_on_in_any_server(url: str) -> None:
    async with both(url) as (server, other), served(config(url)) as third:
        await other.begins("r", [WORDS])
        await other.says(3)
        first = Reading(server, "r")
        await first.until("word2")
        await first.leave()
        await other.says(3)
        again = Reading(server, "r", after=first.events[-1].id)
        await again.until("word5")
        moved = Reading(third, "r", after=first.events[-1].id)
        await moved.until("word5")
        await other.says()
        for reading in (again, moved):
            assert text_of([*first.events, *await reading.end()]) == WORDS


async def test_nothing_leaves_a_process_that_nobody_reads(url: str) -> None:
    async with both(url) as (server, other):
        await other.begins("r", [WORDS])
        await other.says(5)
        assert await other.told() == 0
        reading = Reading(server, "r")
        await reading.until("word4")
        await other.says(5)
        await reading.until("word9")
        assert await other.told() > 0
        await other.says()
        await reading.end()


async def test_whole_intents_of_any_size_come_whole(url: str) -> None:
    large = "Grüße 😀 " * 4000
    replies = [{"tool_calls": [{"name": "echo", "args": {"text": large}}], "text": "Look."}, WORDS]
    async with both(url) as (server, other):
        reading = Reading(server, await other.begins("r", replies))
        await other.says()
        found = await reading.end()
        results = [one.data["value"]["result"] for one in found if one.name == "tool_result"]
        assert [len(one) for one in results] == [len(large)]
        assert results == [large]
        assert text_of(found).replace("\n\n", "") == "Look." + WORDS


async def test_no_word_is_missing_after_a_lost_connection(url: str) -> None:
    name = url.partition("application_name=")[2].partition("&")[0]
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    async with both(url) as (server, other):
        await other.begins("r", [WORDS])
        reading = Reading(server, "r")
        await other.says(3)
        await reading.until("word2")
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(end, [name])
        await other.says(3)
        await reading.until("word5")
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(end, [name])
        await other.says()
        assert text_of(await reading.end()) == WORDS
