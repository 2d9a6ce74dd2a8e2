"""The agent in an editor: `auwgent acp` in a process of its own, by the protocol's SDK on the other side."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema

pytestmark = pytest.mark.process

CONFIG = """
middleware = [{ use = "auwgent.middleware.SQLModelSessions", url = "sqlite:///sessions.db" }]

[agent]
model = "main"
tools = [{ use = "tools.refund", approve = "ask" }]

[models.main]
use = "scripted/main"
retries = 0

[models.main.params]
restart = true
repeat = true
replies = [
  { when = "refund", tool_calls = [{ name = "refund", args = { amount = 5 } }], text = "I will." },
  { result = "refunded 5", text = "It is {result}." },
  { when = "think", reasoning = "Hm.", text = "Well." },
  { when = "slow", text = "one two three four five six seven eight nine ten", pause = 0.5 },
  { when = "fail", error = { status = 500, retryable = false } },
  { when = "cut", text = "As far as", finish_reason = "length" },
  { text = "You said: {user}" },
]
"""
TOOLS = 'def refund(amount: int) -> str:\n    "Refund money."\n    return f"refunded {amount}"\n'


class Window:
    """The editor's side: keeps what it is told, and answers questions."""

    def __init__(self, choice: str = "allow") -> None:
        self.choice, self.asked = choice, 0
        self.seen: list[Any] = []
        self.told = asyncio.Event()

    def on_connect(self, conn: Any) -> None: ...

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self.seen.append(update)
        self.told.set()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **kwargs: Any
    ) -> schema.RequestPermissionResponse:
        self.asked += 1
        if self.choice == "none":
            outcome: Any = schema.DeniedOutcome(outcome="cancelled")
        else:
            outcome = schema.AllowedOutcome(outcome="selected", option_id=self.choice)
        return schema.RequestPermissionResponse(outcome=outcome)

    def said(self, kind: str = "agent_message_chunk") -> str:
        return "".join(one.content.text for one in self.seen if one.session_update == kind)

    def calls(self) -> list[tuple[str, str]]:
        return [
            (one.tool_call_id, one.status) for one in self.seen if one.session_update.startswith("tool_call")
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


@asynccontextmanager
async def editor(folder: Path, window: Any) -> AsyncIterator[Any]:
    command = (sys.executable, "-m", "auwgent", "acp")
    async with acp.spawn_agent_process(window, *command, cwd=folder) as (agent, _):
        found = await agent.initialize(protocol_version=1)
        assert found.agent_capabilities is not None
        assert (found.protocol_version, found.agent_capabilities.load_session) == (1, True)
        yield agent


async def ask(agent: Any, session_id: str, words: str) -> Any:
    return await agent.prompt(session_id=session_id, prompt=[acp.text_block(words)])


async def test_a_conversation_is_told_and_loaded_again(folder: Path) -> None:
    window = Window()
    async with editor(folder, window) as agent:
        session_id = (await agent.new_session(cwd=str(folder))).session_id
        answer = await ask(agent, session_id, "hello")
        assert (answer.stop_reason, answer.usage.total_tokens > 0) == ("end_turn", True)
        assert window.said() == "You said: hello"
        await ask(agent, session_id, "think")
        assert window.said("agent_thought_chunk") == "Hm."
        assert (await ask(agent, session_id, "cut")).stop_reason == "max_tokens"
    again = Window()
    async with editor(folder, again) as agent:
        listed = (await agent.list_sessions()).sessions
        assert [(one.session_id, one.title) for one in listed] == [(session_id, "hello")]
        await agent.load_session(cwd=str(folder), session_id=session_id)
        assert again.said("user_message_chunk") == "hellothinkcut"
        assert again.said() == "You said: helloWell.As far as"
        with pytest.raises(acp.RequestError):
            await agent.load_session(cwd=str(folder), session_id="nowhere")


@pytest.mark.parametrize(
    ("choice", "text", "outcome", "asked"),
    [
        ("allow", "It is refunded 5.", "completed", 2),
        ("always", "It is refunded 5.", "completed", 1),
        ("deny", "You said: refund", "failed", 2),
        ("none", "You said: refund", "failed", 2),
    ],
)
async def test_a_question_is_a_permission(
    folder: Path, choice: str, text: str, outcome: str, asked: int
) -> None:
    window = Window(choice)
    async with editor(folder, window) as agent:
        session_id = (await agent.new_session(cwd=str(folder))).session_id
        await ask(agent, session_id, "refund")
        assert window.said() == f"I will.{text}"
        assert [status for _, status in window.calls()] == ["in_progress", outcome]
        await ask(agent, session_id, "refund")
        assert window.asked == asked


async def test_a_run_is_cancelled_and_a_failure_is_told(folder: Path) -> None:
    window = Window()
    async with editor(folder, window) as agent:
        session_id = (await agent.new_session(cwd=str(folder))).session_id
        under_way = asyncio.create_task(ask(agent, session_id, "slow"))
        while "two" not in window.said():
            window.told.clear()
            await window.told.wait()
        await agent.cancel(session_id=session_id)
        assert (await under_way).stop_reason == "cancelled"
        with pytest.raises(acp.RequestError, match="scripted/main"):
            await ask(agent, session_id, "fail")
        assert (await ask(agent, session_id, "hello")).stop_reason == "end_turn"
