"""What Python's `logging` is told of model calls and tool calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from auwgent import Context, ProviderError, Runtime
from auwgent.engine import calllog


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def broken(a: int) -> int:
    """Fail."""
    raise ValueError("no such thing as sk-proj-abcdefghijklmnopqrstuvwxyz0123456789")


class Asks:
    async def onRunStart(self, session: Any, ctx: Context) -> None:
        await ctx.ask("Short?")


def agent(*replies: Any, **more: Any) -> Runtime:
    params = {"replies": list(replies), "repeat": True}
    return Runtime(
        {
            "middleware": [],
            "agent": {"model": "main", "tools": [add, broken]},
            "models": {"main": {"use": "scripted/main", "retries": 0, "params": params}},
        },
        **more,
    )


CALL = {"tool_calls": [{"name": "add", "args": {"a": 17, "b": 25}, "id": "c1"}]}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    yield caplog
    calllog.content.setLevel(logging.WARNING)


def said(lines: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in lines.records if record.name == name]


async def test_each_call_is_a_line_and_holds_no_content(lines: pytest.LogCaptureFixture) -> None:
    await agent(CALL, "It is forty-two.").run("What is 17 plus 25, secretly?", session_id="s")
    models, tools = said(lines, "auwgent.models"), said(lines, "auwgent.tools")
    assert [line.partition(", ")[2].split(",")[0] for line in models] == [
        "Main asked scripted/main: 1 calls",
        "Main asked scripted/main: text",
    ]
    assert len(tools) == 1
    assert "Main called add (c1): ok, " in tools[0]
    assert not said(lines, "auwgent.content")
    assert not any(word in lines.text for word in ("secretly", "forty", "25"))


async def test_content_is_logged_when_its_logger_is_asked(lines: pytest.LogCaptureFixture) -> None:
    calllog.content.setLevel(logging.DEBUG)
    await agent(CALL, "It is forty-two.").run("What is 17 plus 25, secretly?")
    text = "\n".join(said(lines, "auwgent.content"))
    assert all(word in text for word in ("secretly", "forty-two", '"a": 17', '"result": "42"'))


async def test_what_failed_is_a_line_too(lines: pytest.LogCaptureFixture) -> None:
    calllog.content.setLevel(logging.DEBUG)
    call = {"tool_calls": [{"name": "broken", "args": {"a": 1}, "id": "c1"}]}
    with pytest.raises(ProviderError):
        await agent(call, {"error": {"status": 400, "message": "no"}}).run("Hi")
    assert "ProviderError" in said(lines, "auwgent.models")[-1]
    assert "Main called broken (c1): error, " in said(lines, "auwgent.tools")[0]
    assert "sk-proj" not in lines.text


async def test_a_call_of_middleware_names_it(lines: pytest.LogCaptureFixture) -> None:
    await agent("Yes.", middleware=[Asks]).run("Hi")
    assert "Main (Asks) asked scripted/main: text" in said(lines, "auwgent.models")[0]
