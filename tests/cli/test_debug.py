"""`auwgent run --debug`: what is sent to the model, and which of it a cache no longer finds."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.models.sent import Sent, lost
from auwgent.models.wire import messages, tools
from auwgent.session import ToolCall, Turn
from tests.models.asking import WEATHER, user
from tests.support.command import Command
from tests.support.raw_server import raw_server, whole

pytestmark = pytest.mark.process

CONFIG = """
middleware = ["own.Clock"]

[agent]
name = "Main"
model = "main"
prompt = "You help. The word is sk-live-0123456789abcdefghij."
tools = ["own.add"]

[models.main]
use = "anthropic/claude-sonnet-4-5"
via = "litellm"
base_url = "{url}"
api_key = "canary-key-1234567"
headers = {{ X-Team = "canary-team-1234567" }}
params = {{ temperature = 0.5, extra_headers = {{ X-More = "canary-more-1234567" }} }}

[imports]
path = ["."]
"""
OWN = '''
import itertools

class Clock:
    count = itertools.count()

    def onLLMStart(self, prompt, ctx):
        ctx.systemPrompt = f"It is {next(self.count)} o'clock."

def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''


def claude(*content: dict[str, Any]) -> bytes:
    body = {"id": "m", "type": "message", "role": "assistant", "model": "c"}
    end = {"stop_reason": "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"}
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1}}
    return whole(json.dumps({**body, "content": content, **end, **usage}))


async def test_each_request_is_shown_without_secrets_and_a_changed_prefix_is_told(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}}
    async with raw_server([claude(call)], [claude({"type": "text", "text": "Three."})]) as server:
        (tmp_path / "auwgent.toml").write_text(CONFIG.format(url=server.url))
        (tmp_path / "own.py").write_text(OWN)
        auwgent = Command(tmp_path, litellm=True)
        words = ("run", "--debug", "--no-stream", "My key is sk-ant-0123456789abcdefghijkl.")
        done = await asyncio.to_thread(auwgent, *words)
    assert (done.returncode, done.stdout) == (0, "Three.\n")
    shown = done.stderr
    assert "request 1: Main asks anthropic/claude-sonnet-4-5" in shown
    assert '"temperature": 0.5' in shown
    assert '"max_tokens": 8192' in shown
    assert "tool add: Add two numbers." in shown
    assert "It is 0 o'clock." in shown
    assert 'add({"a": 1, "b": 2}) [toolu_1]' in shown
    assert "tool [toolu_1] (cached up to here):\n  3" in shown
    assert "cache of anthropic/claude-sonnet-4-5 is lost: the system prompt changed" in shown
    assert "canary" not in shown
    assert "0123456789" not in shown


def test_without_it_nothing_is_shown(auwgent: Command) -> None:
    (auwgent.folder / "auwgent.toml").write_text('middleware = []\n[agent]\nmodel = "scripted/echo"\n')
    assert "user:" not in auwgent("run", "Hi").stderr
    shown = auwgent("run", "--debug", "Hi").stderr
    assert "request 1: Main asks scripted/echo" in shown or "asks scripted/echo" in shown
    assert "user:\n  Hi" in shown


CLAUDE = ModelSpec("anthropic/claude-sonnet-4-5")
OPENAI = ModelSpec("openai/gpt-5-mini")
LONG = "Be brief. " * 500


def sent(
    spec: ModelSpec, *turns: Turn, system: str = LONG, offered: tuple[ToolSpec, ...] = (WEATHER,)
) -> Sent:
    request = ModelRequest(system=system, turns=turns, tools=offered, agent="Main")
    return Sent(spec, request, {}, tools(spec, request), messages(spec, request))


CALL = ToolCall(id="c1", name="get_weather", args={"city": "Rome"})
ASKED = [Turn(role="assistant", tool_calls=[CALL]), Turn(role="tool", tool_call_id="c1", content="21")]
OTHER = ToolSpec("other", "Another", {"type": "object", "properties": {}})


def test_a_conversation_that_only_grows_loses_nothing() -> None:
    for spec in (CLAUDE, OPENAI):
        before = sent(spec, user("Hi"))
        assert lost(before, sent(spec, user("Hi"), *ASKED)) is None
        assert lost(sent(spec, user("Hi"), *ASKED), sent(spec, user("Hi"), *ASKED, user("So?"))) is None


def test_the_part_that_changed_is_named() -> None:
    for spec in (CLAUDE, OPENAI):
        before = sent(spec, user("Hi"), *ASKED)
        assert lost(before, sent(spec, user("Hi"), *ASKED, system="Now.")) == "the system prompt"
        added = sent(spec, user("Hi"), *ASKED, offered=(WEATHER, OTHER))
        assert lost(before, added) == "the tools (other)"
        turned = sent(spec, user("Hi"), *ASKED, offered=(OTHER, WEATHER))
        assert lost(added, turned) == "the tools: their order"
        assert lost(before, sent(spec, user("Ho"), *ASKED)) == "message 1 (user)"


def test_what_no_cache_keeps_cannot_be_lost() -> None:
    unmarked = ModelSpec(CLAUDE.name, cache=False)
    for spec, system in ((unmarked, LONG), (OPENAI, "Short."), (ModelSpec("scripted/echo"), LONG)):
        assert lost(sent(spec, user("Hi"), system=system), sent(spec, user("Ho"), system=system)) is None
