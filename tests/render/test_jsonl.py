import asyncio
import io
import json
from datetime import UTC, datetime

from auwgent.errors import ConfigError, LimitExceeded, Problem
from auwgent.intents import Intent
from auwgent.render.base import Outcome
from auwgent.render.jsonl import JsonLines
from auwgent.session import Session, Turn, Usage

SESSION = Session(id="s1", turns=[Turn(role="user", content="Hi"), Turn(role="assistant", content="Hello")])


def printed(outcome: Outcome, *intents: Intent) -> list[dict[str, object]]:
    out = io.StringIO()
    lines = JsonLines(out)
    for intent in intents:
        lines.show(intent)
    lines.over(outcome)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_intent_is_a_line() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    intent = Intent("tool_call", {"type": "add", "args": {}, "id": "1"}, "Main", "r1", 1, time)
    first, last = printed(Outcome(SESSION, Usage(input_tokens=3, usd=0.5)), intent)
    assert first == intent.as_json()
    assert last == {
        "event": "run",
        "status": "completed",
        "session_id": "s1",
        "text": "Hello",
        "usage": Usage(input_tokens=3, usd=0.5).model_dump(),
    }


def test_a_streamed_piece_does_not_repeat_those_before_it() -> None:
    value = {"partial": True, "segment": 0, "snapshot": {"text": "Hello"}, "raw": "Hello", "delta": "lo"}
    piece = Intent("response_text", value, "Main", "r1", 2, datetime.now(UTC), partial=True)
    first, _ = printed(Outcome(SESSION), piece)
    assert first["value"] == {**value, "snapshot": None, "raw": None}
    out = io.StringIO()
    JsonLines(out, snapshots=True).show(piece)
    assert json.loads(out.getvalue()) == piece.as_json()


def test_a_failed_run_says_why() -> None:
    (last,) = printed(Outcome(SESSION, Usage(), LimitExceeded("too many", key="limits.llm_calls")))
    assert last["status"] == "failed"
    assert last["error"] == {"kind": "LimitExceeded", "message": "too many"}


def test_an_interrupted_run_is_cancelled_and_no_error() -> None:
    (last,) = printed(Outcome(SESSION, Usage(), asyncio.CancelledError()))
    assert last["status"] == "cancelled"
    assert "error" not in last


def test_a_wrong_config_is_a_run_that_never_had_a_session() -> None:
    (last,) = printed(Outcome(error=ConfigError([Problem("unknown key", source="a.toml", line=1)])))
    assert (last["status"], last["session_id"], last["text"]) == ("failed", None, "")
    assert last["error"] == {
        "kind": "ConfigError",
        "message": "a.toml:1:1: unknown key",
        "problems": ["a.toml:1:1: unknown key"],
    }


def test_whatever_a_value_holds_stays_on_its_line() -> None:
    out = io.StringIO()
    time = datetime.now(UTC)
    JsonLines(out).show(
        Intent("x", {"text": "a\nb\u2028c\x1b[31m\x9b\ud800", "path": object}, "A", "r", 1, time)
    )
    text = out.getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    assert "\x1b" not in text
