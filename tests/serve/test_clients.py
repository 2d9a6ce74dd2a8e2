"""Clients that others made talk to a real `auwgent serve`, unmodified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openresponses_types import types as specification

from tests.support.served import process
from tests.support.sse import events

pytestmark = pytest.mark.process

CLIENTS = Path(__file__).parent.parent / "clients"
CONFIG = """
[agent]
model = "main"
tools = [{ use = "shop.refund", approve = "ask" }]

[models.main]
use = "scripted/main"
retries = 0

[models.main.params]
restart = true
repeat = true
replies = [
  { when = "refund", tool_calls = [{ name = "refund", args = { amount = 5 } }], text = "A moment." },
  { result = "refunded 5", text = "It is {result}." },
  { when = "think", text = "Well, {user}.", reasoning = "Let me think it over." },
  { when = "slow", text = "one two three four five six seven eight", pause = 0.1 },
  { when = "fail", text = "I was about to", error = { status = 500, after = 2, retryable = false } },
  { when = "7 - 3", tool_calls = [{ name = "subtract", args = { a = 7, b = 3 } }] },
  { result = "4", text = "It is {result}." },
  "You said: {user}",
]

[[middleware]]
use = "auwgent.middleware.SQLModelSessions"
url = "sqlite:///sessions.db"

[serve]
protocols = ["chat", "responses", "a2a"]

[[serve.tokens]]
token = "a-token-of-ada"
user = "ada"
"""
SHOP = """
def refund(amount: int) -> str:
    '''Refund money.'''
    return f"refunded {amount}"
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own, on a scripted model."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "auwgent.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    with process(folder) as (url, _):
        yield url


def node(script: str, *args: str) -> Any:
    """What a script of tests/clients prints last, as JSON."""
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    if not (CLIENTS / "node_modules" / "ready").exists():
        pytest.skip("the clients are not installed: run npm ci in tests/clients")
    done = subprocess.run(
        ["node", CLIENTS / script, *args],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TOKEN": "a-token-of-ada", "AI_SDK_LOG_WARNINGS": "false"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_openais_client_for_javascript(address: str) -> None:
    slow = "one two three four five six seven eight"
    assert node("openai.mjs", address) == {
        "models": ["Main"],
        "model": "Main",
        "chat": "You said: Hello",
        "usage": True,
        "chatStream": "You said: Hello",
        "chatTools": "It is 4.",
        "chatToolsStream": "It is 4.",
        "chatError": [502, "provider_error"],
        "chatStreamError": "provider_error",
        "response": "You said: Hello",
        "responseStream": "You said: Hello",
        "responseTools": "It is 4.",
        "retrieved": "It is 4.",
        "inputItems": ["message"],
        "takenUp": slow,
        "cancelled": "cancelled",
        "deleted": 404,
    }


def test_vercels_sdk_with_three_providers(address: str) -> None:
    found = node("aisdk.mjs", address)
    expected = {
        "whole": "You said: Hello",
        "stream": "Well, think.",
        "reasoning": "Let me think it over.",
        "finish": "stop",
        "tokens": True,
        "tools": ["It is 4.", 2],
        "toolsStream": ["It is 4.", 2],
        "history": "You said: Bye",
        "error": 502,
        "streamError": True,
    }
    assert found.pop("openai-chat") == {**expected, "reasoning": None}  # it reads none in chats
    assert found == dict.fromkeys(("openai-responses", "openai-compatible", "open-responses"), expected)


def test_another_agent_in_javascript(address: str) -> None:
    done, working = "TASK_STATE_COMPLETED", "TASK_STATE_WORKING"
    assert node("a2a.mjs", address) == {
        "card": ["Main", "1.0"],
        "whole": ["You said: Hello", done],
        "stream": ["Well, think.", [working, done], True],
        "question": "TASK_STATE_INPUT_REQUIRED",
        "answered": ["It is refunded 5.", done],
        "stored": ["A moment.", "It is refunded 5."],
        "failed": "TASK_STATE_FAILED",
        "cancelled": "TASK_STATE_CANCELED",
        "tasks": 2,
        "nobody": "JsonRpcTaskNotFoundError",
    }


def test_llm_on_the_command_line(address: str, tmp_path: Path) -> None:
    models = f"- model_id: shop\n  model_name: Main\n  api_base: {address}/v1\n  api_key_name: shop\n"
    (tmp_path / "extra-openai-models.yaml").write_text(models, encoding="utf-8")
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}

    def llm(*args: str) -> str:
        words = [sys.executable, "-m", "llm", *args]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=120, env=env, input="", check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    asked = ("-m", "shop", "--key", "a-token-of-ada")
    assert llm(*asked, "Hello") == "You said: Hello"
    assert llm(*asked, "--no-stream", "Hello") == "You said: Hello"
    assert llm("-c", "--key", "a-token-of-ada", "Bye") == "You said: Bye"


@pytest.mark.parametrize("words", ["Hello", "think", "What is 7 - 3?"])
def test_responses_and_their_events_fit_the_specification(address: str, words: str) -> None:
    tools = [{"type": "function", "name": "subtract", "parameters": {"type": "object", "properties": {}}}]
    whole = post(f"{address}/v1/responses", {"model": "Main", "input": words, "tools": tools})
    specification.ResponseResource.model_validate_json(whole)
    streamed = post(
        f"{address}/v1/responses", {"model": "Main", "input": words, "tools": tools, "stream": True}
    )
    shapes = {
        next(iter(shape.model_fields["type"].annotation)): shape
        for name, shape in vars(specification).items()
        if name.endswith("StreamingEvent")
    }
    for event in events(streamed):
        shapes[event.name].model_validate(event.data)


def post(url: str, body: dict[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer a-token-of-ada"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        raw: bytes = answer.read()
        return raw
