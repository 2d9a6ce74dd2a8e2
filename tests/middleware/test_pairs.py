"""Each guard beside each other bundled middleware, in both orders, streamed and whole: who sees what it takes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auwgent import auwgent
from auwgent.middleware import SQLModelSessions
from tests.support.answering import provider, texts_of

M = "auwgent.middleware."
SAID, ANSWERED = (
    "ada@canary.example.com",
    "bob@canary.example.com",
)  # a user's address, and one a model makes up
GUARDS: dict[str, dict[str, Any]] = {
    "Redact": {"use": f"{M}Redact"},
    "Moderate": {"use": f"{M}Moderate", "judge": lambda text: "no" if "canary" in text else None},
}
OTHERS: dict[str, dict[str, Any]] = {
    "Cache": {"use": f"{M}Cache", "url": "sqlite:///cache.db"},
    "Audit": {"use": f"{M}Audit", "path": "audit.jsonl", "include": ["texts", "arguments", "results"]},
    "Compaction": {"use": f"{M}Compaction", "turns": 2, "strategy": "summarise"},
    "Remember": {"use": f"{M}Remember", "url": "sqlite:///memory.db"},
    "Budget": {"use": f"{M}Budget", "day": {"calls": 50}, "url": "sqlite:///limits.db"},
    "RateLimit": {"use": f"{M}RateLimit", "calls": 50, "url": "sqlite:///limits.db"},
}


@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
@pytest.mark.parametrize("guard_first", [True, False], ids=["guard first", "guard last"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("guard", GUARDS)
async def test_what_a_guard_takes_out_is_nowhere_else(
    guard: str, other: str, guard_first: bool, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pair = [GUARDS[guard], OTHERS[other]]

    def reply(body: dict[str, Any]) -> str:  # summaries are redacted, but not judged: they are not shown
        is_summary = "Sum it up" in "".join(texts_of(body))
        return "Greetings." if is_summary and guard == "Moderate" else f"Write to {ANSWERED}."

    async with provider(reply) as server:
        config = {
            "middleware": [
                SQLModelSessions(f"sqlite:///{tmp_path / 'store.db'}"),
                *pair[:: 1 if guard_first else -1],
            ],
            "agent": {"model": "main"},
            "models": {"main": server.model()},
        }
        shown: list[str] = []
        async with auwgent(config) as agent:
            for words in ("Hello", f"I am {SAID}", "And now?"):
                if whole:
                    session = await agent.run(words, session_id="s")
                    shown += [turn.text for turn in session.turns]
                else:
                    shown += [repr(intent.value) async for intent in agent.stream(words, session_id="s")]
    assert holding(tmp_path, b"canary") == []
    assert "canary" not in "".join(shown)
    assert not any(SAID in text for body in server.bodies for text in texts_of(body))
    sent = [text for body in server.bodies for text in texts_of(body) if "canary" in text]
    assert sent == []


def holding(folder: Path, words: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()]
