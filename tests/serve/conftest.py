"""What tests of the server share: the config of a scripted agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPLIES = [
    {"when": "think", "text": "Well, {user}.", "reasoning": "Let me think it over."},
    {"when": "slow", "text": "one two three four five six seven eight nine ten", "pause": 0.2},
    {"when": "fail", "text": "I was about to", "error": {"status": 500, "after": 2, "retryable": False}},
    {"when": "too long", "error": {"status": 413}},
    {"when": "add", "tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}}], "text": "I will add them."},
    {"result": "3", "text": "It is {result}."},
    {"text": "You said: {user}"},
]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes the config of an agent on a scripted model; its arguments are those of [serve]."""

    def make(*, agent: dict[str, Any] | None = None, store: bool = True, **serve: Any) -> dict[str, Any]:
        kept = [{"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path / 's.db'}"}]
        return {
            "agent": {"model": "main", "tools": [add], **(agent or {})},
            "models": {
                "main": {
                    "use": "scripted/main",
                    "retries": 0,
                    "params": {"replies": REPLIES, "restart": True, "repeat": True},
                }
            },
            "middleware": kept if store else [],
            "serve": serve,
        }

    return make
