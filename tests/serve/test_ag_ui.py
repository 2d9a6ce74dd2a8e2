"""AG-UI, as its own client uses it: that one checks the order of all events and their shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from auwgent import Runtime
from tests.support.bench import Hook
from tests.support.clients import node
from tests.support.served import Served, served

pytestmark = pytest.mark.process

Config = Callable[..., dict[str, Any]]


async def talk(server: Served, *steps: str, path: str = "/ag-ui", tools: Any = (), thread: str = "t1") -> Any:
    return await node("ag_ui.mjs", server.url + path, thread, json.dumps(list(tools)), *steps)


def kinds(step: Any) -> list[str]:
    """The types of its events, each stretch of one type told once."""
    types = [event["type"] for event in step["events"]]
    return [one for number, one in enumerate(types) if number == 0 or types[number - 1] != one]


async def test_a_client_talks_and_a_thread_is_a_session(config: Config) -> None:
    made = config()
    async with served(made) as server:
        said, thought, added = await talk(server, "hello", "think", "please add")
        assert kinds(said) == [
            "RUN_STARTED",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_FINISHED",
        ]
        assert said["messages"][-1]["content"] == "You said: hello"
        finished = said["events"][-1]
        assert finished["outcome"] == {"type": "success"}
        assert finished["usage"][0]["outputTokens"] > 0
        assert [message["role"] for message in thought["messages"][-2:]] == ["reasoning", "assistant"]
        assert kinds(added)[4:9] == [
            "TOOL_CALL_ARGS",
            "TEXT_MESSAGE_END",
            "TOOL_CALL_END",
            "TOOL_CALL_RESULT",
            "TEXT_MESSAGE_START",
        ]
        call = next(message for message in added["messages"] if message.get("toolCalls"))
        assert json.loads(call["toolCalls"][0]["function"]["arguments"]) == {"a": 1, "b": 2}
        assert added["messages"][-1]["content"] == "It is 3."
        async with Runtime(made) as agent:
            assert agent.store is not None
            session = await agent.store.get("", "t1")
        users = [turn.text for turn in session.turns if turn.role == "user"]
        assert users == ["hello", "think", "please add"]
        assert session.turns[0].run_id == said["events"][0]["runId"]


async def test_a_run_that_fails_ends_with_its_error(config: Config) -> None:
    async with served(config()) as server:
        [failed] = await talk(server, "fail")
        assert failed["events"][-1]["type"] == "RUN_ERROR"
        assert failed["events"][-1]["code"] == "provider_error"
        assert "TEXT_MESSAGE_END" in kinds(failed)


async def test_without_a_store_the_messages_are_the_history(config: Config) -> None:
    made = config(store=False)
    seen: list[list[str]] = []
    made["middleware"] = [
        Hook(onLLMStart=lambda prompt, ctx: seen.append([one.text for one in ctx.messages]))
    ]
    async with served(made) as server:
        first, second = await talk(server, "one", "two")
        assert [step["messages"][-1]["content"] for step in (first, second)] == [
            "You said: one",
            "You said: two",
        ]
    assert seen == [["one"], ["one", "You said: one", "two"]]


async def test_what_cannot_be_is_refused(config: Config) -> None:
    body: dict[str, Any] = {
        "threadId": "t",
        "runId": "r",
        "messages": [{"id": "1", "role": "user", "content": "x"}],
    }
    async with served(config()) as server:
        status, refused, _ = await server.ask("POST", "/ag-ui/Nobody", json=body)
        assert (status, server.fails(refused)) == (404, "model_not_found")
        status, refused, _ = await server.ask("POST", "/ag-ui", json={**body, "threadId": " "})
        assert (status, refused["error"]["param"]) == (400, "threadId")
        status, refused, _ = await server.ask("POST", "/ag-ui", json={**body, "messages": []})
        assert status == 400
        video = {"type": "video", "source": {"type": "url", "value": "https://example.com/a.mp4"}}
        ask = {"id": "1", "role": "user", "content": [video]}
        status, refused, _ = await server.ask("POST", "/ag-ui", json={**body, "messages": [ask]})
        assert status == 400
        assert "a video that this server cannot take" in refused["error"]["message"]
        resume = [{"interruptId": "c1", "status": "resolved"}]
        status, refused, _ = await server.ask("POST", "/ag-ui", json={**body, "resume": resume})
        assert (status, server.fails(refused)) == (404, "not_found")


def refund(amount: int) -> str:
    """Refund money."""
    return f"refunded {amount}"


REFUND = [
    {"when": "refund", "tool_calls": [{"name": "refund", "args": {"amount": 5}}]},
    {"result": "refunded 5", "text": "It is {result}."},
    {"when": "zoom", "tool_calls": [{"name": "zoom", "args": {"level": 3}}]},
    {"text": "Then not: {result}"},
]


def asking(config: Config) -> dict[str, Any]:
    made = config(agent={"tools": [{"use": refund, "approve": "ask"}]})
    made["models"]["main"]["params"]["replies"] = REFUND
    return made


async def test_open_questions_are_interrupts_that_resume_answers(config: Config) -> None:
    async with served(asking(config)) as server:
        [asked] = await talk(server, "refund")
        finished = asked["events"][-1]
        assert finished["outcome"]["type"] == "interrupt"
        [question] = finished["outcome"]["interrupts"]
        assert question["metadata"]["args"] == {"amount": 5}
        resume = json.dumps([{"interruptId": question["id"], "status": "resolved", "payload": True}])
        [answered] = await talk(server, f"resume:{resume}")
        assert kinds(answered) == [
            "RUN_STARTED",
            "TOOL_CALL_RESULT",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_FINISHED",
        ]
        assert answered["messages"][-1]["content"] == "It is refunded 5."
        assert answered["events"][0]["runId"] != answered["events"][-1]["metadata"]["auwgentRunId"]


async def test_new_input_over_an_open_question_is_refused_and_loses_nothing(config: Config) -> None:
    async with served(asking(config)) as server:
        [asked] = await talk(server, "refund")
        body = {"threadId": "t1", "runId": "r2", "messages": [{"id": "1", "role": "user", "content": "x"}]}
        status, text, _ = await server.ask("POST", "/ag-ui", json=body)
        assert status in (200, 409)
        assert "run_paused" in str(text)
        [question] = asked["events"][-1]["outcome"]["interrupts"]
        no = [{"interruptId": question["id"], "status": "cancelled"}]
        status, text, _ = await server.ask("POST", "/ag-ui", json={**body, "runId": "r3", "resume": no})
        assert "Then not: " in "".join(re.findall(r'"delta":"([^"]*)"', text))


async def test_a_callers_tool_is_run_by_its_client(config: Config) -> None:
    tools = [{"name": "zoom", "description": "Zoom the map.", "parameters": {"type": "object"}}]
    async with served(asking(config)) as server:
        asked, answered = await talk(server, "zoom", "tool:last:zoomed", tools=tools)
        [pending] = asked["events"][-1]["outcome"]["pendingToolCallIds"]
        assert asked["messages"][-1]["toolCalls"][0]["id"] == pending
        assert answered["messages"][-1]["content"] == "Then not: zoomed"
