"""Where a run failed, and who spoke to whom, is told in each form of a stored conversation."""

from __future__ import annotations

import pytest

from auwgent.render import conversation
from auwgent.render.page import page
from auwgent.session import Session, ToolCall, Turn

FAILED = "[the run failed: wrong key]"


def talk() -> Session:
    call = ToolCall(id="c1", name="Joker", args={"input": "A joke"})
    return Session(
        id="s",
        stack=["Main"],
        turns=[
            Turn(role="user", content="Amuse me", agent="Main", run_id="r1"),
            Turn(role="assistant", tool_calls=[call], agent="Main", run_id="r1"),
            Turn(role="user", content="A joke", agent="Joker", run_id="r1"),
            Turn(role="assistant", content="Knock knock", agent="Joker", run_id="r1"),
            Turn(role="tool", content="", tool_call_id="c1", name="Joker", agent="Main", run_id="r1"),
            Turn(role="user", content="More?", agent="Main", run_id="r2"),
        ],
    )


def test_a_helpers_input_is_never_the_users() -> None:
    lines = list(conversation.short(talk()))
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "you",
        "Main",
        "Main to Joker",
        "Joker",
        "you",
    ]
    heads = [line for line in conversation.markdown(talk()).splitlines() if line.startswith("## ")]
    assert [head[3:].partition(",")[0] for head in heads] == ["You", "Main", "Main to Joker", "Joker", "You"]


@pytest.mark.parametrize("form", ["short", "markdown", "page"])
def test_a_run_that_failed_is_told_where_it_did(form: str) -> None:
    ends = {"r1": FAILED, "lost": "[the run was cancelled]"}
    shown = {
        "short": lambda: "\n".join(conversation.short(talk(), ends)),
        "markdown": lambda: conversation.markdown(talk(), ends),
        "page": lambda: page(talk(), ends),
    }[form]()
    assert shown.index("Knock knock") < shown.index(FAILED) < shown.index("More?")
    assert shown.index("More?") < shown.index("[the run was cancelled]")
    assert shown.count(FAILED) == 1
