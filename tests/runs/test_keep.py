"""A run with `keep=False` reads the session named, writes nothing, waits for nobody, and leaves no words anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from auwgent import ConfigError, LimitExceeded, auwgent
from auwgent.middleware import (
    Audit,
    Budget,
    Cache,
    RateLimit,
    Redact,
    Remember,
    Retrieve,
    SQLModelSessions,
    Trace,
)
from auwgent.models.base import ModelSpec
from auwgent.models.embedding import embed
from tests.support.collector import collector

SECRET = "tea-drinker@example.com"


class Looks:
    """Remembers what `ctx.keep` was."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def onRunStart(self, session: Any, ctx: Any) -> None:
        self.seen.append(ctx.keep)


def agent_on(url: str, *more: Any, replies: tuple[Any, ...] = ("You said: {user}",)) -> Any:
    script = {"replies": list(replies), "repeat": True}
    given: Any = {
        "middleware": [SQLModelSessions(url), *more],
        "agent": {"model": "main"},
        "models": {"main": {"use": "scripted/main", "params": script}},
    }
    return auwgent(given)


async def test_the_session_is_read_and_nothing_is_written(url: str) -> None:
    looks = Looks()
    agent = agent_on(url, looks)
    async with agent:
        await agent.run("Hi", session_id="s")
        before = await agent.store.get("", "s")
        session = await agent.run("Between us", session_id="s", keep=False)
        new = await agent.run("Nobody knows", session_id="new", keep=False)
        assert [turn.text for turn in session.turns] == [
            *("Hi", "You said: Hi", "Between us", "You said: Between us")
        ]
        assert (session.status, len(new.turns)) == ("", 2)
        assert (await agent.store.get("", "s")).turns == before.turns
        assert len(await agent.store.runs("")) == 1
        assert [one.id for one in await agent.store.list_sessions("")] == ["s"]
    assert looks.seen == [True, False, False]


async def test_it_does_not_wait_for_the_run_that_has_the_session(url: str) -> None:
    agent = agent_on(url, replies=({"when": "slow", "text": "At last.", "delay": 20.0}, "Quick."))
    async with agent:
        slow = asyncio.create_task(agent.run("slow", session_id="s"))
        for _ in range(200):
            if await agent.store.runs("", "running"):
                break
            await asyncio.sleep(0.05)
        session = await asyncio.wait_for(agent.run("Hi", session_id="s", keep=False), 15)
        assert session.text == "Quick."
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_it_goes_without_a_run_id_and_without_answers(url: str) -> None:
    agent = agent_on(url)
    for options in ({"run_id": "r1"}, {"answers": {"c1": True}}, {"keep": "no"}):
        with pytest.raises(ConfigError, match="keep"):
            await agent.run("Hi", **{"session_id": "s", "keep": False, **options})


async def test_nothing_pauses_and_the_model_is_told_no(url: str) -> None:
    async def pay() -> str:
        """Pays."""
        return "paid"

    replies = [{"tool_calls": [{"name": "pay"}]}, "It was not paid."]
    given: Any = {
        "middleware": [SQLModelSessions(url)],
        "agent": {"model": "main", "tools": [{"use": pay, "approve": "ask"}]},
        "models": {"main": {"use": "scripted/main", "params": {"replies": replies}}},
    }
    async with auwgent(given) as agent:
        session = await agent.run("pay", keep=False)
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == ["denied"]


async def test_bundled_middleware_keeps_no_words(url: str, tmp_path: Path) -> None:
    log, cache, vault, facts = (
        tmp_path / name for name in ("audit.jsonl", "cache.db", "vault.db", "facts.db")
    )
    agent = agent_on(
        url,
        Redact(vault=f"sqlite:///{vault}"),
        Remember(url=f"sqlite:///{facts}"),
        Cache(url=f"sqlite:///{cache}"),
        Audit(path=str(log)),
    )
    async with agent:
        await agent.run(f"Write to {SECRET}, says the parrot", session_id="s", keep=False)
    assert held_by(tmp_path, "tea-drinker", "parrot") == []


async def test_what_is_retrieved_for_it_leaves_no_word_of_the_question(url: str, tmp_path: Path) -> None:
    async def by_words(texts: Any) -> list[list[float]]:
        return await embed(ModelSpec("scripted/words"), texts)

    retrieve = Retrieve(url=f"sqlite:///{tmp_path}/index.db")
    await retrieve.add("tea.md", "Green tea is made with hot water.", by_words)
    given: Any = {
        "middleware": [SQLModelSessions(url), retrieve],
        "agent": {"model": "scripted/echo", "prompt": "Know: {{ ctx.knowledge }}"},
        "embedding": {"model": "scripted/words"},
    }
    async with auwgent(given) as agent:
        session = await agent.run("Green tea, says the parrot", keep=False)
    assert "hot water" in session.system_prompt
    assert held_by(tmp_path, "parrot") == []


async def test_a_trace_of_it_has_no_words_even_where_it_has_those_of_others(url: str) -> None:
    with collector() as there:
        async with agent_on(url, Trace(endpoint=there.url, content=True)) as agent:
            await agent.run("Hello, says the cat", session_id="s")
            await agent.run("Hello, says the parrot", session_id="s", keep=False)
        told = str(there.spans)
    assert len([span for span in there.spans if span.name == "invoke_agent Main"]) == 2
    assert "says the cat" in told
    assert "parrot" not in told


@pytest.mark.parametrize("by", ["budget", "rate"])
async def test_budgets_and_rates_count_it(url: str, tmp_path: Path, by: str) -> None:
    limits = f"sqlite:///{tmp_path}/limits.db"
    one = Budget(user={"calls": 1}, url=limits) if by == "budget" else RateLimit(runs=1, per="1h", url=limits)
    async with agent_on(url, one) as agent:
        await agent.run("Between us", session_id="s", keep=False)
        with pytest.raises(LimitExceeded):
            await agent.run("And again", session_id="s", keep=False)
        with pytest.raises(LimitExceeded):
            await agent.run("And again", session_id="s")


def held_by(folder: Path, *words: str) -> list[Path]:
    """The files that hold one of these words."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if any(word.encode() in file.read_bytes() for word in words)]
