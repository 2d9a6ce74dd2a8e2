"""The agent as another agent meets it: by the A2A SDK's own client, over real HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import (
    get_artifact_text,
    get_data_parts,
    get_message_text,
    new_data_part,
    new_message,
    new_raw_part,
    new_text_message,
    new_text_part,
    new_url_part,
)
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from pydantic import BaseModel

from auwgent import Runtime
from auwgent.errors import ConfigError
from auwgent.serve.protocol import named
from tests.support.served import Served, served

Config = Callable[..., dict[str, Any]]
CARD = "/.well-known/agent-card.json"
DONE = TaskState.TASK_STATE_COMPLETED
ASKS = TaskState.TASK_STATE_INPUT_REQUIRED
REPLIES = [
    {
        "when": "both",
        "tool_calls": [
            {"id": "c1", "name": "refund", "args": {"amount": 5}},
            {"id": "c2", "name": "refund", "args": {"amount": 7}},
        ],
    },
    {"when": "refund", "tool_calls": [{"name": "refund", "args": {"amount": 5}}], "text": "A moment."},
    {"result": "refunded", "text": "It is {result}."},
    {"when": "fail", "text": "I was about to", "error": {"status": 500, "after": 2, "retryable": False}},
    {"when": "slow", "text": "one two three four five six seven eight", "pause": 0.1},
    {"text": "You said: {user}"},
]


class City(BaseModel):
    city: str
    people: int


def refund(amount: int) -> str:
    """Refund money."""
    return f"refunded {amount}"


@pytest.fixture
def made(config: Config) -> dict[str, Any]:
    made = config(agent={"tools": [{"use": refund, "approve": "ask"}]}, protocols=["a2a"])
    made["models"]["main"]["params"]["replies"] = REPLIES
    return made


@asynccontextmanager
async def client(
    server: Served, token: str | None = None, *, streaming: bool = True
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await A2ACardResolver(http, server.url).get_agent_card()
        yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)


def message(text: str = "", **more: Any) -> Message:
    return new_text_message(text, role=Role.ROLE_USER, **more)


async def sent(agent: Client, given: Message | str, **how: Any) -> list[StreamResponse]:
    asked = SendMessageRequest(message=message(given) if isinstance(given, str) else given, **how)
    return [one async for one in agent.send_message(asked)]


async def task(agent: Client, given: Message | str, **how: Any) -> Task:
    """The task that a message begins, or answers, as it stands when nothing more comes."""
    told = await sent(agent, given, **how)
    name = told[0].task.id
    return await agent.get_task(GetTaskRequest(id=name)) if len(told) > 1 else told[0].task


def texts(of: Task) -> list[str]:
    return [get_artifact_text(one) for one in of.artifacts]


async def test_the_card_tells_where_the_agent_is(made: dict[str, Any]) -> None:
    made["serve"]["tokens"] = [{"token": "alice-token-0123456789", "user": "alice"}]
    async with served(made) as server:
        status, card, _ = await server.ask("GET", CARD)
        assert status == 200
        (place,) = card["supportedInterfaces"]
        assert place == {"url": f"{server.url}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        assert card["securitySchemes"]["token"]["httpAuthSecurityScheme"]["scheme"] == "Bearer"
        assert [skill["id"] for skill in card["skills"]] == ["Main"]
        _, behind, _ = await server.ask("GET", CARD, headers={"X-Forwarded-Proto": "https"})
        assert behind["supportedInterfaces"][0]["url"].startswith("https://")
        status, body, _ = await server.ask("POST", "/a2a", json={})
        assert (status, server.fails(body)) == (401, "invalid_api_key")


async def test_an_answer_streams_and_its_task_says_the_same(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        begun, *updates, end = await sent(agent, "Hello")
        assert begun.task.status.state == TaskState.TASK_STATE_WORKING
        assert len(updates) > 2
        assert [one.artifact_update.append for one in updates] == [False, *[True] * (len(updates) - 1)]
        assert [one.artifact_update.last_chunk for one in updates] == [*[False] * (len(updates) - 1), True]
        joined = "".join(get_artifact_text(one.artifact_update.artifact) for one in updates)
        assert end.status_update.status.state == DONE
        stored = await agent.get_task(GetTaskRequest(id=begun.task.id))
        assert texts(stored) == [joined] == ["You said: Hello"]
        assert [get_message_text(one) for one in stored.history] == ["Hello"]


async def test_a_context_is_a_session_and_a_task_a_run(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server, streaming=False) as agent:
        first = await task(agent, "one")
        second = await task(agent, message("two", context_id=first.context_id))
        assert (first.status.state, texts(second)) == (DONE, ["You said: two"])
        assert (first.context_id, first.id != second.id) == (second.context_id, True)
        async with Runtime(made) as runtime:
            assert runtime.store is not None
            stored = await runtime.store.get("", first.context_id)
        assert [turn.text for turn in stored.turns if turn.role == "user"] == ["one", "two"]
        assert {turn.run_id for turn in stored.turns} == {first.id, second.id}


@pytest.mark.parametrize(
    ("answer", "text"),
    [("Yes.", "It is refunded 5."), ("no", "You said: refund"), ("not before noon", "You said: refund")],
)
async def test_a_question_requires_input_and_a_word_answers(
    made: dict[str, Any], answer: str, text: str
) -> None:
    async with served(made) as server, client(server) as agent:
        asked = await task(agent, "refund")
        assert asked.status.state == ASKS
        said = get_message_text(asked.status.message)
        assert said == "Main wants to call refund(amount=5). Allow it?"
        (data,) = get_data_parts(asked.status.message.parts)
        assert [(call["type"], call["kind"]) for call in data["calls"]] == [("refund", "approval")]
        done = await task(agent, message(answer, task_id=asked.id, context_id=asked.context_id))
        assert (done.id, done.status.state, texts(done)) == (asked.id, DONE, ["A moment.", text])
        async with Runtime(made) as runtime:
            assert runtime.store is not None
            stored = await runtime.store.get("", asked.context_id)
        (result,) = [turn.text for turn in stored.turns if turn.role == "tool"]
        assert ("noon" in result) == ("noon" in answer)


async def test_questions_are_answered_one_by_one_across_a_restart(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        asked = await task(agent, "both")
        assert get_message_text(asked.status.message).count("Allow it?") == 2
    async with served(made) as server, client(server) as agent:

        async def answer(name: str, value: Any) -> Task:
            part = new_data_part({"answers": {name: value}})
            return await task(agent, new_message([part], role=Role.ROLE_USER, task_id=asked.id))

        half = await answer("c1", True)
        assert half.status.state == ASKS
        assert "amount=7" in get_message_text(half.status.message)
        assert "amount=5" not in get_message_text(half.status.message)
        with pytest.raises(InvalidParamsError, match="c3"):
            await answer("c3", True)
        done = await answer("c2", "too much")
        assert done.status.state == DONE


async def test_what_cannot_be_is_refused_in_the_protocols_words(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        done = await task(agent, "Hello")
        refused = [
            (message("x", task_id="nobody"), TaskNotFoundError, "not found"),
            (message("x", task_id=done.id), UnsupportedOperationError, "is over"),
            (message(" "), InvalidParamsError, "says nothing"),
            (message("x", context_id="a\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace") + "\x00"),
             InvalidParamsError, "NUL"),
            (new_message([new_url_part("file:///etc/passwd")], role=Role.ROLE_USER), InvalidParamsError, "http"),
        ]  # fmt: skip
        for given, kind, words in refused:
            with pytest.raises(kind, match=words):
                await sent(agent, given)
        asked = await task(agent, "refund")
        for given, words in (
            (message("x", task_id=asked.id, context_id="another"), "another context"),
            (message("", task_id=asked.id), "waits for answers"),
        ):
            with pytest.raises(InvalidParamsError, match=words):
                await sent(agent, given)
        with pytest.raises(UnsupportedOperationError, match="waits"):
            await sent(agent, message("And now?", context_id=asked.context_id))
        push = TaskPushNotificationConfig(task_id=done.id, url="http://169.254.169.254/")
        with pytest.raises(PushNotificationNotSupportedError):
            await agent.create_task_push_notification_config(push)
        with pytest.raises(InvalidParamsError, match="no model 'Nobody'"):
            await sent(agent, "x", tenant="Nobody")
        status, body, _ = await server.ask(
            "POST", "/a2a", json={"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
        )
        assert (status, body["error"]["code"]) == (200, -32009)  # no A2A-Version is the one of 0.3


async def test_a_failed_run_is_a_failed_task(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        failed = await task(agent, "fail")
    assert failed.status.state == TaskState.TASK_STATE_FAILED
    assert "scripted/main" in get_message_text(failed.status.message)


async def test_a_task_is_followed_by_others_and_cancelled(made: dict[str, Any]) -> None:
    background = SendMessageConfiguration(return_immediately=True)
    async with (
        served(made) as server,
        client(server, streaming=False) as agent,
        client(server) as reader,
    ):
        begun = await task(agent, "slow", configuration=background)
        assert begun.status.state in (TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_SUBMITTED)
        told = [one async for one in reader.subscribe(SubscribeToTaskRequest(id=begun.id))]
        parts = [get_artifact_text(one) for one in told[0].task.artifacts]
        parts += [get_artifact_text(one.artifact_update.artifact) for one in told[1:-1]]
        assert "".join(parts) == "one two three four five six seven eight"
        assert told[-1].status_update.status.state == DONE
        with pytest.raises(TaskNotCancelableError, match="completed"):
            await agent.cancel_task(CancelTaskRequest(id=begun.id))
        with pytest.raises(UnsupportedOperationError, match="is over"):
            _ = [one async for one in reader.subscribe(SubscribeToTaskRequest(id=begun.id))]
        other = await task(agent, "slow", configuration=background)
        ended = await agent.cancel_task(CancelTaskRequest(id=other.id))
        assert ended.status.state == TaskState.TASK_STATE_CANCELED
        waits = await task(agent, "refund")
        ended = await agent.cancel_task(CancelTaskRequest(id=waits.id))
        assert ended.status.state == TaskState.TASK_STATE_CANCELED


async def test_a_task_of_another_process_is_followed_in_the_store(made: dict[str, Any]) -> None:
    async with (
        served(made) as one,
        served(made) as other,
        client(one, streaming=False) as here,
        client(other) as there,
    ):
        begun = await task(here, "slow", configuration=SendMessageConfiguration(return_immediately=True))
        told = [one async for one in there.subscribe(SubscribeToTaskRequest(id=begun.id))]
    whole = "one two three four five six seven eight"
    assert get_artifact_text(told[-2].artifact_update.artifact) == whole
    assert told[-1].status_update.status.state == DONE


async def test_whoever_hangs_up_ends_the_run(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        stream = agent.send_message(SendMessageRequest(message=message("slow")))
        begun = await anext(aiter(stream))
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator
        for _ in range(200):
            stored = await agent.get_task(GetTaskRequest(id=begun.task.id))
            if stored.status.state == TaskState.TASK_STATE_CANCELED:
                break
            await asyncio.sleep(0.05)
        assert stored.status.state == TaskState.TASK_STATE_CANCELED


async def test_tasks_are_listed_by_pages(made: dict[str, Any]) -> None:
    async with served(made) as server, client(server) as agent:
        names = [(await task(agent, words)).id for words in ("one", "two", "three", "refund")]
        first = await agent.list_tasks(ListTasksRequest(page_size=3, include_artifacts=True))
        rest = await agent.list_tasks(ListTasksRequest(page_size=3, page_token=first.next_page_token))
        assert [one.id for one in (*first.tasks, *rest.tasks)] == names[::-1]
        assert (first.total_size, rest.next_page_token) == (4, "")
        assert texts(first.tasks[1]) == ["You said: three"]
        assert not rest.tasks[0].artifacts
        waiting = await agent.list_tasks(ListTasksRequest(status=ASKS))
        assert [one.id for one in waiting.tasks] == names[-1:]
        of_one = await agent.list_tasks(ListTasksRequest(context_id=first.tasks[1].context_id))
        assert [one.id for one in of_one.tasks] == [names[2]]
        with pytest.raises(InvalidParamsError, match="pageSize"):
            await agent.list_tasks(ListTasksRequest(page_size=1000))


async def test_users_are_apart(made: dict[str, Any]) -> None:
    made["serve"]["tokens"] = [
        {"token": f"{name}-token-0123456789", "user": name} for name in ("alice", "bob")
    ]
    async with served(made) as server:
        async with client(server, "alice-token-0123456789") as alice:
            asked = await task(alice, message("refund", context_id="c/1"))
            assert asked.status.state == ASKS
        async with client(server, "bob-token-0123456789") as bob:
            for call in (
                bob.get_task(GetTaskRequest(id=asked.id)),
                bob.cancel_task(CancelTaskRequest(id=asked.id)),
                sent(bob, message("yes", task_id=asked.id)),
                sent(bob, message("yes", task_id=asked.id, context_id="c/1")),
                anext(aiter(bob.subscribe(SubscribeToTaskRequest(id=asked.id)))),
            ):
                with pytest.raises(TaskNotFoundError):
                    await call
            assert not (await bob.list_tasks(ListTasksRequest())).tasks
            own = await task(bob, message("Hello", context_id="c/1"))
            assert texts(own) == ["You said: Hello"]
        async with client(server, "alice-token-0123456789") as alice:
            still = await alice.get_task(GetTaskRequest(id=asked.id))
            assert still.status.state == ASKS


async def test_parts_become_what_the_model_is_given(made: dict[str, Any]) -> None:
    parts = [
        new_text_part("Look:"),
        new_data_part({"rows": 3}),
        new_raw_part(b"\x89PNG", media_type="image/png"),
        new_raw_part(b"%PDF", media_type="application/pdf", filename="a.pdf"),
    ]
    async with served(made) as server, client(server) as agent:
        done = await task(agent, new_message(parts, role=Role.ROLE_USER))
        assert done.status.state == DONE
        async with Runtime(made) as runtime:
            assert runtime.store is not None
            (said,) = [
                turn for turn in (await runtime.store.get("", done.context_id)).turns if turn.role == "user"
            ]
    assert not isinstance(said.content, str)
    kinds = [
        (part.type, getattr(part, "mime_type", None), getattr(part, "text", None)) for part in said.content
    ]
    assert kinds == [
        ("text", None, "Look:"),
        ("text", None, '{"rows": 3}'),
        ("image", "image/png", None),
        ("file", "application/pdf", None),
    ]


async def test_a_structured_answer_is_data(made: dict[str, Any]) -> None:
    made["agent"] |= {"output": City, "tools": []}
    made["models"]["main"]["params"]["replies"] = ['{"city": "Graz", "people": 300000}']
    async with served(made) as server, client(server) as agent:
        told = await sent(agent, "Which?")
        stored = await agent.get_task(GetTaskRequest(id=told[0].task.id))
    (artifact,) = stored.artifacts
    assert get_data_parts(artifact.parts) == [{"city": "Graz", "people": 300000}]
    assert told[1].artifact_update.artifact == artifact


async def test_without_a_store_tasks_are_answered_and_not_kept(config: Config) -> None:
    async with served(config(store=False, protocols=["a2a"])) as server:
        for streaming in (True, False):
            async with client(server, streaming=streaming) as agent:
                told = await sent(agent, "Hello")
                assert told[0].task.context_id
                with pytest.raises(TaskNotFoundError, match="nothing is kept"):
                    await agent.get_task(GetTaskRequest(id=told[0].task.id))
        assert texts(told[0].task) == ["You said: Hello"]
        async with client(server) as agent:
            for how in (
                {"given": message("x", context_id="c")},
                {"given": "x", "configuration": SendMessageConfiguration(return_immediately=True)},
            ):
                with pytest.raises(InvalidParamsError, match="nothing is kept"):
                    await sent(agent, **how)


def test_a_missing_extra_is_named(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "auwgent.serve.a2a", raising=False)
    monkeypatch.setitem(sys.modules, "a2a.server.context", None)
    with pytest.raises(ConfigError, match=r'needs the extra of that name.*\n.*pip install "auwgent\[a2a\]"'):
        named(Runtime(made).config)
