import asyncio
import io
import json
from datetime import UTC, datetime
from typing import Any

from auwgent.errors import ConfigError, LimitExceeded, Problem
from auwgent.intents import Intent
from auwgent.render.run import JsonLines, RunOutcome
from auwgent.session import Session, Turn, Usage

TIME = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = Session(id="s1", turns=[Turn(role="user", content="Hi"), Turn(role="assistant", content="Hello")])


def printed(outcome: RunOutcome, *intents: Intent) -> list[dict[str, object]]:
    out = io.StringIO()
    lines = JsonLines(out)
    for intent in intents:
        lines.show(intent)
    lines.over(outcome)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_intent_is_a_line() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    intent = Intent("tool_call", {"type": "add", "args": {}, "id": "1"}, "Main", "r1", 1, time)
    first, last = printed(RunOutcome(SESSION, Usage(input_tokens=3, usd=0.5)), intent)
    assert first == intent.as_json()
    assert last == {
        "event": "run",
        "status": "completed",
        "session_id": "s1",
        "text": "Hello",
        "usage": Usage(input_tokens=3, usd=0.5).model_dump(),
    }


def pieces(text: str, size: int, segment: int = 0) -> list[Intent]:
    ends = range(size, len(text) + size, size)
    return [
        Intent(
            "response_text",
            partial(text[:end], text[end - size : end], segment),
            "Main",
            "r1",
            seq,
            TIME,
            True,
        )
        for seq, end in enumerate(ends, 1)
    ]


def partial(raw: str, delta: str, segment: int) -> dict[str, object]:
    return {"partial": True, "segment": segment, "snapshot": {"text": raw}, "raw": raw, "delta": delta}


def test_the_pieces_of_a_short_answer_are_a_line_each() -> None:
    streamed = pieces("Hello", 2)
    assert printed(RunOutcome(SESSION), *streamed)[:-1] == [piece.as_json() for piece in streamed]


def test_of_a_long_answer_several_pieces_are_a_line_and_nothing_is_lost() -> None:
    text = "0123456789" * 1000
    lines: list[Any] = printed(RunOutcome(SESSION), *pieces(text, 4))[:-1]
    assert "".join(line["value"]["delta"] for line in lines) == text
    so_far = ""
    for line in lines:
        so_far += line["value"]["delta"]
        assert line["value"]["raw"] == so_far
    assert len(lines) < 500


def test_the_output_is_linear_in_the_answer() -> None:
    sizes = [
        len(json.dumps(printed(RunOutcome(SESSION), *pieces("x" * length, 4)))) for length in (20_000, 80_000)
    ]
    assert sizes[1] < 5 * sizes[0]


def test_what_still_waits_comes_before_anything_else() -> None:
    long, other = pieces("x" * 1000, 1), pieces("yy", 1, segment=1)
    whole = Intent("response_text", {"text": "x" * 1000}, "Main", "r1", 2000, TIME)
    for following in (other[0], whole):
        lines: list[Any] = printed(RunOutcome(SESSION), *long, following)
        assert lines[-3]["value"]["raw"] == "x" * 1000
        assert lines[-2] == following.as_json()


def test_a_failed_run_says_why() -> None:
    (last,) = printed(RunOutcome(SESSION, Usage(), LimitExceeded("too many", key="limits.llm_calls")))
    assert last["status"] == "failed"
    assert last["error"] == {"kind": "LimitExceeded", "message": "too many"}


def test_an_interrupted_run_is_cancelled_and_no_error() -> None:
    (last,) = printed(RunOutcome(SESSION, Usage(), asyncio.CancelledError()))
    assert last["status"] == "cancelled"
    assert "error" not in last


def test_a_wrong_config_is_a_run_that_never_had_a_session() -> None:
    (last,) = printed(RunOutcome(error=ConfigError([Problem("unknown key", source="a.toml", line=1)])))
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
