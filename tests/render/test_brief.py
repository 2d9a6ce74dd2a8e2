from datetime import UTC, datetime
from typing import Any

import pytest

from auwgent.intents import Intent
from auwgent.render.run import step


def line(name: str, /, *, agent: str = "Main", **value: Any) -> str | None:
    return step(Intent(name, value, agent, "run", 1, datetime.now(UTC)), root="Main")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("tool_call", {"type": "add", "args": {"a": 1, "b": "two"}, "id": "1"}, '→ add(a=1, b="two")'),
        ("helper_call", {"type": "Joker", "args": {"input": "hi"}, "id": "1"}, '→ Joker(input="hi")'),
        ("tool_result", {"name": "add", "result": {"sum": 3}, "id": "1"}, '← add: {"sum": 3}'),
        ("workflow_result", {"name": "add", "result": 3, "overridden": True}, "← add: 3 (overridden)"),
        ("tool_skipped", {"type": "add", "args": {}, "id": "1"}, "– add was skipped"),
        ("tool_error", {"tool": "add", "message": "no\nsuch thing", "id": "1"}, "✗ add: no such thing"),
        (
            "model_retry",
            {"failed": "a/one", "model": "a/one", "reason": "busy\n(HTTP 429)", "wait": 1.26},
            "↻ a/one failed, trying again in 1.3 s: busy (HTTP 429)",
        ),
        (
            "model_retry",
            {"failed": "a/one", "model": "b/two", "reason": "down", "wait": 0.0},
            "↻ a/one failed, asking b/two: down",
        ),
        ("Loud", {"reason": "why not"}, '• Loud(reason="why not")'),
        ("response_text", {"text": "hi"}, None),
        ("error", {"message": "no", "kind": "ProviderError"}, None),
    ],
)
def test_each_step_is_one_line(name: str, value: dict[str, Any], expected: str | None) -> None:
    assert line(name, **value) == expected


def test_another_agent_than_the_root_is_named() -> None:
    assert line("tool_call", agent="Joker", type="add", args={}) == "Joker → add()"


def test_a_long_value_is_cut() -> None:
    told = line("tool_result", name="read", result="word " * 1000)
    assert told is not None
    assert len(told) < 100
    assert told.endswith("…")
