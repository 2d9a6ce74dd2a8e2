"""Each guard beside each other bundled middleware, in both orders, streamed and whole: who sees what it takes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from auwgent import Runtime
from auwgent.middleware import SQLModelSessions
from tests.support.answering import Answer, provider, texts_of
from tests.support.collector import Collector, collector

M = "auwgent.middleware."
SAID = "ada@canary.example.com"  # the user's address
ANSWERED = "bob@canary.example.com"  # one that a model makes up
FOUND = "eve@canary.example.com"  # one that a tool finds
THOUGHT = "mia@canary.example.com"  # one that a model thinks of
SUMMED = "leo@canary.example.com"  # one that stands in a summary
ALL = ["inputs", "outputs", "results"]
GUARDS: dict[str, dict[str, Any]] = {
    "Redact": {"use": f"{M}Redact"},
    "Moderate": {
        "use": f"{M}Moderate",
        "judge": lambda text: "no" if "canary" in text else None,
        "where": ALL,
    },
}
OTHERS: dict[str, dict[str, Any]] = {
    "Approve": {"use": f"{M}Approve", "default": "allow"},
    "Cache": {"use": f"{M}Cache", "url": "sqlite:///cache.db", "tools": True},
    "Audit": {"use": f"{M}Audit", "path": "audit.jsonl", "include": ["texts", "arguments", "results"]},
    "Trace": {"use": f"{M}Trace", "content": True},
    "Compaction": {"use": f"{M}Compaction", "turns": 3, "strategy": "summarise"},
    "Remember": {"use": f"{M}Remember", "url": "sqlite:///memory.db"},
    "Retrieve": {"use": f"{M}Retrieve", "url": "sqlite:///knowledge.db"},
    "Budget": {"use": f"{M}Budget", "day": {"calls": 50}, "url": "sqlite:///limits.db"},
    "RateLimit": {"use": f"{M}RateLimit", "calls": 50, "url": "sqlite:///limits.db"},
}


def look(where: str) -> str:
    """Look who lives somewhere."""
    return f"{FOUND} lives in {where}."


def reply(body: dict[str, Any]) -> Answer:
    """Calls the tool or the helper first where the user wishes so."""
    texts, last = texts_of(body), body["messages"][-1]
    if any("Sum it up" in text for text in texts):
        return Answer(f"The user is {SUMMED}.")
    is_asked = last["role"] == "user" and isinstance(last["content"], str)
    words = texts[-1] if is_asked or texts[-1].startswith(("Look", "Ask")) else ""
    if words.startswith("Look"):
        return Answer("Let me see.", calls=[("look", {"where": "Paris"})], thought=f"As {THOUGHT} does.")
    if words.startswith("Ask"):
        return Answer("", calls=[("Clerk", {"input": "Who is it?"})])
    return Answer(f"Write to {ANSWERED}.", thought=f"Perhaps {THOUGHT} knows.")


@pytest.fixture(scope="module")
def there() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.mark.process
@pytest.mark.parametrize(
    ("whole", "model"),
    [(False, "openai/test"), (True, "anthropic/test")],
    ids=["streamed by OpenAI", "whole by Anthropic"],
)
@pytest.mark.parametrize("guard_first", [True, False], ids=["guard first", "guard last"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("guard", GUARDS)
async def test_what_a_guard_takes_out_is_nowhere_else(
    guard: str,
    other: str,
    guard_first: bool,
    whole: bool,
    model: str,
    there: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    there.bodies.clear()
    more = {"endpoint": there.url} if other == "Trace" else {}
    pair = [GUARDS[guard], OTHERS[other] | more][:: 1 if guard_first else -1]
    seen = await talk(pair, f"sqlite:///{tmp_path / 'store.db'}", whole=whole, model=model)
    assert [one for one in seen if "canary" in one] == []
    assert holding(tmp_path, b"canary") == []
    assert [body for body in there.bodies if b"canary" in body] == []
    assert (len(there.bodies) > 0) == (other == "Trace")


@pytest.mark.process
@pytest.mark.parametrize("guard", GUARDS)
async def test_with_all_others_behind_it_and_all_in_one_database(
    guard: str,
    there: Collector,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    there.bodies.clear()
    others = [{**one, "url": url} if "url" in one else one for one in OTHERS.values()]
    others = [{**one, "endpoint": there.url} if "Trace" in one["use"] else one for one in others]
    seen = await talk([GUARDS[guard], *others], url, whole=False, model="anthropic/test")
    assert [one for one in seen if "canary" in one] == []
    assert holding(tmp_path, b"canary") == []
    assert [body for body in there.bodies if b"canary" in body] == []
    stored = rows(url)
    assert [row for row in stored if "canary" in row] == []
    assert bool(stored) == url.startswith("postgresql")


async def talk(pair: list[dict[str, Any]], store: str, *, whole: bool, model: str) -> list[str]:
    """A conversation with calls of a tool and of a helper; all that the user and the providers have seen."""
    shown: list[str] = []
    uses_memory = any("Remember" in one["use"] for one in pair)
    tools = [look, *([f"{M}remember.remember"] if uses_memory else [])]
    async with provider(reply) as server:
        config = {
            "middleware": [SQLModelSessions(store), *pair],
            "agent": {
                "model": "main",
                "prompt": "You help. {{ ctx.knowledge }}",
                "tools": tools,
                "helpers": ["Clerk"],
            },
            "helpers": {"Clerk": {"description": "Knows people", "model": "main", "prompt": "You know."}},
            "models": {"main": server.model(model), "vectors": server.model("openai/vectors")},
            "embedding": {"model": "vectors"},
            "context": {"knowledge": ""},
        }
        async with Runtime(config) as agent:
            for words in ("Hello", f"I am {SAID}", "Look around", "Ask the clerk", "And now?"):
                if whole:
                    session = await agent.run(words, session_id="s")
                    shown += [turn.model_dump_json() for turn in session.turns]
                else:
                    shown += [repr(intent.value) async for intent in agent.stream(words, session_id="s")]
        assert len(server.bodies) >= 6
        sent = [json.dumps(body) for body in server.bodies] + [str(texts) for texts in server.embedded]
    return shown + sent


def rows(url: str) -> list[str]:
    """All that a database of PostgreSQL holds, as texts."""
    if not url.startswith("postgresql"):
        return []
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        tables = [sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)) for (name,) in names]
        return [text for table in tables for (text,) in connection.execute(table)]


def holding(folder: Path, words: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()]
