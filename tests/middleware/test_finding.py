"""Redact's finds and misses in a thousand lines of code, logs and prose; ⟦…⟧ marks what is secret or personal."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.flow import JsonFlow, TextFlow
from auwgent.middleware.redact.kinds import DEFAULT_KINDS, PATTERNS
from auwgent.outputs import partial_json

LINES = (Path(__file__).parent.parent / "data" / "redact.txt").read_text(encoding="utf-8").splitlines()
FINDER = Finder({kind: PATTERNS[kind] for kind in DEFAULT_KINDS})
MARK = re.compile("⟦(.*?)⟧")


def found(text: str) -> list[str]:
    return [text[one.first : one.last] for one in FINDER.spans(text)]


def test_a_thousand_lines() -> None:
    missed, wrong, secrets = [], [], 0
    for line in LINES:
        marked = MARK.findall(line)
        secrets += len(marked)
        here = found(MARK.sub(r"\1", line))
        missed += [(line, one) for one in marked if one not in here]
        wrong += [(line, one) for one in here if one not in marked]
    print(f"{len(LINES)} lines, {secrets} secrets: {len(missed)} missed, {len(wrong)} false")
    assert (len(LINES), secrets > 350) == (1000, True)
    assert missed == []
    assert wrong == []


@pytest.mark.parametrize("size", [1, 7])
def test_the_same_lines_in_pieces(size: int) -> None:
    text = "\n".join(MARK.sub(r"\1", line) for line in LINES[:40])
    flow, whole = (
        TextFlow(FINDER, lambda kind, secret: f"[{kind}]"),
        TextFlow(FINDER, lambda kind, secret: f"[{kind}]"),
    )
    for end in range(size, len(text), size):
        flow.feed(text[:end], is_whole=False)
    flow.feed(text, is_whole=True)
    whole.feed(text, is_whole=True)
    assert flow.shown == whole.shown


@pytest.mark.parametrize(
    "text", ['{"a": "ada@example.com"}', '{"ada": ["ada", {"x": "ada@example.com"}], "b": "ada@example.com"}']
)
def test_a_value_under_way_that_equals_an_earlier_string_is_not_shown_as_that(text: str) -> None:
    flow = JsonFlow(FINDER, lambda kind, secret: f"[{kind.upper()}]")
    for end in range(1, len(text) + 1):
        flow.feed(text[:end], is_whole=False)
        shown = json.dumps(flow.value(partial_json(text[:end])))
        assert "ada@" not in shown
        assert '"a": "a' not in shown
        assert '"x": "a' not in shown
        assert '"b": "a' not in shown


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "a@" * 25_000, "4 " * 25_000, "password=" * 5_000, "+1 " * 15_000, "é" * 50_000]
)
def test_time_grows_with_the_text_alone(text: str) -> None:
    def taken(part: str) -> float:
        began = time.process_time()
        FINDER.spans(part)
        return time.process_time() - began

    taken(text)
    assert taken(text) < 20 * taken(text[: len(text) // 4]) + 0.05
