"""Each two bundled middleware in both orders, streamed and whole: disk, spans, requests and answers are the same."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from auwgent import Runtime
from tests.support.answering import Answer, Provider, provider
from tests.support.collector import Collector, collector

M = "auwgent.middleware."
STORE, STORED = "SQLModelSessions", {"url": "sqlite:///store.db"}
BUNDLED: dict[str, dict[str, Any]] = {
    "Compaction": {"turns": 4, "strategy": "summarise"},
    "Budget": {"user": {"usd": 1.0, "calls": 50, "tokens": 500_000}, "url": "sqlite:///budget.db"},
    "RateLimit": {"calls": 50, "url": "sqlite:///rate.db"},
    "Audit": {"path": "audit.jsonl", "include": ["texts", "arguments", "results"]},
    "Cache": {"url": "sqlite:///cache.db", "tools": True},
    "Redact": {"restore": ["look"]},
    "Approve": {"default": "allow", "rules": [{"tools": "look", "args": {"where": "Rome"}, "then": "deny"}]},
    "Moderate": {
        "judge": lambda text: "no" if "forbidden" in text else None,
        "where": ["inputs", "outputs", "results"],
    },
    "Trace": {"content": True},
    "Retrieve": {"url": "sqlite:///index.db"},
    "Remember": {"url": "sqlite:///memory.db"},
}
TALK = (  # session, input; the last one is asked twice
    ("s", "I am ada@example.com"),
    ("s", "Look in Paris"),
    ("s", "Look in Rome"),
    ("s", "Say something forbidden"),
    ("s", "Note it"),
    ("a", "Hello"),
    ("b", "Hello"),
)
VARYING = (  # of a run, not of what it did
    (r'"trace": ?\[[\d, ]+\]', "TRACE"),  # first: some of its numbers look like ids
    (r"[0-9a-f]{64}", "HASH"),
    (r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\bcall_[0-9a-f]{24}\b|\b[0-9a-f]{16}\b", "ID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[\d.]+(?:Z|\+00:00)?", "TIME"),
    (r"\b1[789]\d{14}\b", "TIME"),
    (r"(\"seconds\": ?|'seconds': ?)[\d.]+", r"\1S"),
    (r"('server.port', 'int_value: )\d+", r"\1PORT"),
    (r"127\.0\.0\.1:\d+", "HOST"),
)


class Seen(NamedTuple):
    """What a conversation has left."""

    disk: list[str]
    spans: list[str]
    sent: list[str]
    shown: list[str]


def look(where: str) -> str:
    """Look who lives somewhere."""
    return f"eve@example.com lives in {where}."


def reply(body: dict[str, Any]) -> Answer:
    messages = body["messages"]
    last = (
        messages[-1]["content"] if isinstance(messages[-1]["content"], str) else str(messages[-1]["content"])
    )
    if messages[-1]["role"] == "user" and "Look in" in last:
        return Answer(
            "Let me see.", calls=[("look", {"where": last.rpartition("Look in ")[2].strip("'}] ")})]
        )
    if messages[-1]["role"] == "user" and "Note it" in last:
        return Answer("", calls=[("remember", {"fact": "Likes tea"})])
    if "Sum it up" in last:
        return Answer("The user is ada@example.com.")
    return Answer("That is forbidden." if "forbidden" in last else f"Well, bob@example.com: {len(messages)}")


@pytest.fixture(scope="module")
def there() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.mark.process
@pytest.mark.parametrize(("one", "other"), [*combinations(BUNDLED, 2)])
async def test_the_order_of_two_makes_no_difference(
    one: str, other: str, there: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[tuple[str, str], Seen] = {}
    for model, streamed in (("openai/test", True), ("anthropic/test", False)):
        for order in ((one, other), (other, one)):
            folder = tmp_path / f"{model[:3]}{order[0]}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            seen[model, order[0]] = await talk(order, folder, there, model, streamed=streamed)
        first, second = seen[model, one], seen[model, other]
        for what in Seen._fields:
            assert getattr(first, what) == getattr(second, what), (what, model)


async def talk(names: tuple[str, ...], folder: Path, there: Collector, model: str, *, streamed: bool) -> Seen:
    there.traces.clear()
    shown: list[str] = []
    async with provider(reply) as server:
        async with Runtime(configured(names, server, there, model)) as agent:
            for session_id, words in TALK:
                if streamed:
                    shown += [
                        f"{one.name} {one.value}"
                        async for one in agent.stream(words, session_id=session_id, user_id="u")
                    ]
                else:
                    session = await agent.run(words, session_id=session_id, user_id="u")
                    shown += [f"{turn.role} {turn.content} {turn.tool_calls}" for turn in session.turns]
        sent = [json.dumps(body) for body in server.bodies] + [str(texts) for texts in server.embedded]
    spans = [f"{span.name} {[(a.key, str(a.value)) for a in span.attributes]}" for span in there.spans]
    return Seen(
        sorted(map(steady, kept(folder))), *(list(map(steady, lines)) for lines in (spans, sent, shown))
    )


def configured(names: tuple[str, ...], server: Provider, there: Collector, model: str) -> dict[str, Any]:
    more = {"Trace": {"endpoint": there.url}}
    names = names if STORE in names else (STORE, *names)
    listed = [{"use": M + name, **BUNDLED.get(name, STORED), **more.get(name, {})} for name in names]
    return {
        "middleware": listed,
        "agent": {
            "model": "main",
            "prompt": "You help. {{ ctx.knowledge }}",
            "tools": [look, f"{M}remember.remember"],
        },
        "models": {"main": server.model(model), "vectors": server.model("openai/vectors")},
        "embedding": {"model": "vectors"},
        "context": {"knowledge": ""},
    }


def kept(folder: Path) -> list[str]:
    """All rows of all databases, and all lines of other files."""
    lines: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                tables = database.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
                )
                for (table,) in sorted(tables.fetchall()):
                    lines += sorted(
                        f"{path.name} {table} {row}" for row in database.execute(f'SELECT * FROM "{table}"')
                    )
        elif path.is_file() and path.suffix == ".jsonl":
            lines += path.read_text().splitlines()
    return lines


def steady(line: str) -> str:
    for pattern, instead in VARYING:
        line = re.sub(pattern, instead, line)
    return line


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name in BUNDLED if name != "Redact"])
async def test_nor_does_the_place_of_the_store(
    name: str, there: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for order in ((STORE, name), (name, STORE)):
        folder = tmp_path / order[0]
        folder.mkdir()
        monkeypatch.chdir(folder)
        seen.append(await talk(order, folder, there, "openai/test", streamed=True))
    assert seen[0] == seen[1]
