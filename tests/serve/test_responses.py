"""Open Responses, as OpenAI's own client and others use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.support.served import Served, served
from tests.support.sse import events

Config = Callable[..., dict[str, Any]]
FIELDS = sorted(
    (
        *(
            "background",
            "completed_at",
            "created_at",
            "error",
            "frequency_penalty",
            "id",
            "incomplete_details",
        ),
        *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "object", "output"),
        *("parallel_tool_calls", "presence_penalty", "previous_response_id", "prompt_cache_key", "reasoning"),
        *(
            "safety_identifier",
            "service_tier",
            "status",
            "store",
            "temperature",
            "text",
            "tool_choice",
            "tools",
        ),
        *("top_logprobs", "top_p", "truncation", "usage"),
    )
)
SUM = {
    "type": "function",
    "name": "subtract",
    "description": "Subtract.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}


def client(server: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0)


async def test_a_client_is_answered_whole_and_streamed(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        whole = await ai.responses.create(model="Main", input="think", metadata={"a": "b"}, temperature=0.5)
        assert whole.output_text == "Well, think."
        assert [item.type for item in whole.output] == ["reasoning", "message"]
        assert (whole.status, whole.metadata, whole.temperature) == ("completed", {"a": "b"}, 0.5)
        assert whole.usage is not None
        assert whole.usage.total_tokens > 0
        _, body, _ = await server.ask("GET", f"/v1/responses/{whole.id}")
        assert sorted(body) == FIELDS
        assert (await ai.responses.retrieve(whole.id)).output_text == "Well, think."
        async with ai.responses.stream(model="Main", input="think") as stream:
            seen = [event async for event in stream]
            last = await stream.get_final_response()
        assert last.output_text == "Well, think."
        assert [event.sequence_number for event in seen if event.type.startswith("response.")]
        thoughts = [event.delta for event in seen if event.type == "response.reasoning_summary_text.delta"]
        assert "".join(thoughts) == "Let me think it over."


async def test_events_are_numbered_without_gaps_and_named(config: Config) -> None:
    async with served(config()) as server:
        for words in ("think", "please add", "fail"):
            body = {"input": words, "stream": True}
            _, text, _ = await server.ask("POST", "/v1/responses", json=body)
            found = events(text.encode())
            assert [one.data["sequence_number"] for one in found] == list(range(len(found)))
            assert all(one.name == one.data["type"] for one in found)
            assert [one.name for one in found[:2]] == ["response.created", "response.in_progress"]
            last = found[-1].data
            assert last["type"] == ("response.failed" if words == "fail" else "response.completed")
            assert sorted(last["response"]) == FIELDS
            if words == "fail":
                assert last["response"]["error"]["code"] == "provider_error"


async def test_failures_are_http_errors_where_nothing_was_sent(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        for words, code in (("fail", "provider_error"), ("too long", "context_too_long")):
            with pytest.raises(openai.APIStatusError) as failed:
                await ai.responses.create(model="Main", input=words)
            assert failed.value.code == code
        for more in (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
            {"tool_choice": "required"},
            {"prompt": {"id": "p"}},
            {"tools": [{"type": "web_search"}]},
            {"background": True, "store": False},
            {"previous_response_id": "x", "conversation": "y"},
        ):
            status, body, _ = await server.ask("POST", "/v1/responses", json={"input": "Hello", **more})
            assert status in (400, 404), body
        for wrong in (
            None,
            3,
            [],
            [3],
            [{"type": "odd"}],
            [{"role": "user", "content": [{"type": "video"}]}],
        ):
            status, body, _ = await server.ask("POST", "/v1/responses", json={"input": wrong})
            assert (status, server.fails(body)) == (400, "invalid_value")


async def test_a_response_goes_on_from_an_earlier_one(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        first = await ai.responses.create(model="Main", input="one")
        second = await ai.responses.create(model="Main", input="two", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        both = await asyncio.gather(
            *(
                ai.responses.create(model="Main", input=words, previous_response_id=second.id)
                for words in "ab"
            )
        )
        aside = await ai.responses.create(model="Main", input="other", previous_response_id=first.id)
        store: Any = server.server._app.desk.store
        runs = {run.run_id: run for run in await store.runs("")}

        async def said(response: Any) -> list[str]:
            session = await store.get("", runs[response.id.removeprefix("resp_")].session_id)
            return [turn.text for turn in session.turns if turn.role == "user"]

        assert await said(aside) == ["one", "other"]
        assert sorted([await said(both[0]), await said(both[1])]) == [
            ["one", "two", "a"],
            ["one", "two", "b"],
        ]
        with pytest.raises(openai.NotFoundError) as missing:
            await ai.responses.create(model="Main", input="x", previous_response_id="resp_none")
        assert missing.value.code == "previous_response_not_found"
        named = await ai.responses.create(model="Main", input="here", conversation="c1")
        assert [turn.text for turn in (await store.get("", "c1")).turns] == ["here", "You said: here"]
        assert (await ai.responses.retrieve(named.id)).output_text == "You said: here"


async def test_what_is_not_stored_is_not_there(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        history: list[Any] = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Bye"}]},
        ]
        answer = await ai.responses.create(model="Main", input=history, store=False)
        assert answer.output_text == "You said: Bye"
        for call in (ai.responses.retrieve(answer.id), ai.responses.input_items.list(answer.id)):
            with pytest.raises(openai.NotFoundError):
                await call
        store: Any = server.server._app.desk.store
        assert await store.runs("") == []
        with pytest.raises(openai.NotFoundError):
            await ai.responses.create(model="Main", input="x", previous_response_id=answer.id)


async def test_items_of_the_input_are_listed_and_a_response_is_deleted(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        answer = await ai.responses.create(model="Main", input="Hello")
        items: list[Any] = [item async for item in ai.responses.input_items.list(answer.id)]
        assert [(item.type, item.content[0].text) for item in items] == [("message", "Hello")]
        await ai.responses.delete(answer.id)
        for call in (ai.responses.retrieve(answer.id), ai.responses.delete(answer.id)):
            with pytest.raises(openai.NotFoundError):
                await call


async def test_a_deleted_response_is_gone_in_other_processes_and_its_words_stay(config: Config) -> None:
    async with served(config()) as one, served(config()) as other:
        _, made, _ = await one.ask("POST", "/v1/responses", json={"input": "Hello", "conversation": "s"})
        path = f"/v1/responses/{made['id']}"
        assert (await other.ask("GET", path))[0] == 200
        assert (await one.ask("DELETE", path))[0] == 200
        for server in (one, other):
            for method, more in (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("POST", "/cancel")):
                assert (await server.ask(method, path + more))[0] == 404
        status, session, _ = await other.ask("GET", "/v1/sessions/s")
        assert (status, session["turns"][0]["content"]) == (200, "Hello")
    async with served(config()) as later:
        assert (await later.ask("GET", path))[0] == 404


async def test_a_background_response_is_taken_up_wherever_it_was_cut(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        stream = await ai.responses.create(model="Main", input="slow", background=True, stream=True)
        async for event in stream:
            assert event.type == "response.created"
            name = event.response.id
            break  # cut at the very first event
        await stream.close()
        again = await ai.responses.retrieve(name, stream=True, starting_after=0)
        deltas, numbers = [], []
        async for event in again:
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
        text = "one two three four five six seven eight nine ten"
        assert "".join(deltas) == text
        assert numbers == list(range(1, len(numbers) + 1))
        done = await ai.responses.retrieve(name)
        assert (done.status, done.output_text, done.background) == ("completed", text, True)
        _, whole, _ = await server.ask("GET", f"/v1/responses/{name}?stream=true")
    async with served(config()) as other:  # another process, as it were
        all_events = events(whole.encode())
        for cut in range(0, len(whole), max(1, len(whole) // 50)):
            first = events(whole.encode()[:cut])
            after = first[-1].data["sequence_number"] if first else -1
            _, rest, _ = await other.ask("GET", f"/v1/responses/{name}?stream=true&starting_after={after}")
            both = [*first, *events(rest.encode())]
            assert [one.data["sequence_number"] for one in both] == list(range(len(all_events)))
            pieces = [one.data["delta"] for one in both if one.name == "response.output_text.delta"]
            assert "".join(pieces) == text


async def test_a_background_response_is_cancelled(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        begun = await ai.responses.create(model="Main", input="slow", background=True)
        assert begun.status in ("queued", "in_progress")
        with pytest.raises(openai.ConflictError) as busy:
            await ai.responses.create(model="Main", input="x", previous_response_id=begun.id)
        assert busy.value.code == "session_busy"
        await asyncio.sleep(0.5)
        assert (await ai.responses.cancel(begun.id)).status == "cancelled"
        assert (await ai.responses.retrieve(begun.id)).status == "cancelled"
        assert (await ai.responses.cancel(begun.id)).status == "cancelled"


async def test_a_stream_that_is_left_ends_its_response(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        stream = await ai.responses.create(model="Main", input="slow", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        store: Any = server.server._app.desk.store
        for _ in range(60):
            runs = await store.runs("")
            if runs and runs[0].status != "running":
                break
            await asyncio.sleep(0.05)
        assert runs[0].status == "cancelled"


def asks_for_subtraction(whole: dict[str, Any]) -> dict[str, Any]:
    whole["models"]["main"]["params"]["replies"] = [
        {
            "when": "7 - 3",
            "tool_calls": [{"name": "subtract", "args": {"a": 7, "b": 3}}],
            "text": "Let me see.",
        },
        {"result": "4", "text": "It is {result}."},
        {"result": True, "text": "I was told: {result}"},
    ]
    return whole


async def test_tools_of_the_caller_are_asked_for_and_answered(config: Config) -> None:
    async with served(asks_for_subtraction(config())) as server, client(server) as ai:
        tools: Any = [SUM]
        first = await ai.responses.create(model="Main", input="What is 7 - 3?", tools=tools)
        call = first.output[-1]
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments), first.status) == (
            "subtract",
            {"a": 7, "b": 3},
            "completed",
        )
        with pytest.raises(openai.ConflictError) as waits:
            await ai.responses.create(model="Main", input="And?", previous_response_id=first.id)
        assert waits.value.code == "run_paused"
        answer: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "4"}]
        second = await ai.responses.create(
            model="Main", input=answer, previous_response_id=first.id, tools=tools
        )
        assert second.output_text == "It is 4."
        assert second.id == f"{first.id}_2"
        changed: Any = [{**answer[0], "output": "5"}]
        with pytest.raises(openai.APIStatusError) as twice:
            await ai.responses.create(
                model="Main",
                input=changed,
                previous_response_id=first.id,
            )
        assert twice.value.code == "already_answered"
        stored = [await ai.responses.retrieve(one) for one in (first.id, second.id)]
        assert [one.output[-1].type for one in stored] == ["function_call", "message"]
        items = [item async for item in ai.responses.input_items.list(second.id)]
        assert [item.type for item in items] == ["function_call_output"]
    async with served(asks_for_subtraction(config())) as other, client(other) as ai:
        again = [await ai.responses.retrieve(one) for one in (first.id, second.id)]
        assert [one.output_text for one in again] == ["Let me see.", "It is 4."]
        assert again[0].output[-1] == first.output[-1]


async def test_calls_and_results_may_come_in_one_input(config: Config) -> None:
    async with served(asks_for_subtraction(config())) as server, client(server) as ai:
        tools: Any = [SUM]
        for store in (True, False):
            ask: list[Any] = [{"role": "user", "content": "What is 7 - 3?"}]
            first = await ai.responses.create(model="Main", input=ask, tools=tools, store=store)
            call = first.output[-1]
            assert call.type == "function_call"
            more: Any = [
                *ask,
                {"type": "item_reference", "id": "msg_x"},
                call.model_dump(),
                {"type": "function_call_output", "call_id": call.call_id, "output": "4"},
            ]
            second = await ai.responses.create(model="Main", input=more, tools=tools, store=store)
            assert second.output_text == "It is 4."


async def test_approvals_are_asked_for_and_answered(config: Config) -> None:
    def refund(order: int) -> str:
        """Refund an order."""
        return f"refunded {order}"

    whole = config(agent={"tools": [{"use": refund, "approve": "ask"}]})
    whole["models"]["main"]["params"]["replies"] = [
        {"when": "refund", "tool_calls": [{"name": "refund", "args": {"order": 7}}]},
        {"result": True, "text": "Result: {result}"},
    ]
    async with served(whole) as server, client(server) as ai:
        for approve, reason, told in (
            (True, None, "Result: refunded 7"),
            (False, "too late", "too late"),
            (False, None, "Result: "),
        ):
            first = await ai.responses.create(model="Main", input="refund it")
            asked = first.output[-1]
            assert asked.type == "mcp_approval_request"
            assert (asked.name, json.loads(asked.arguments)) == ("refund", {"order": 7})
            answer: Any = {
                "type": "mcp_approval_response",
                "approval_request_id": asked.id,
                "approve": approve,
            }
            if reason is not None:
                answer["reason"] = reason
            second = await ai.responses.create(model="Main", input=[answer], previous_response_id=first.id)
            assert told in second.output_text
            assert ("refunded" in second.output_text) is approve
        unkept = await ai.responses.create(model="Main", input="refund it", store=False)
        assert "refunded" not in unkept.output_text
        ask: list[Any] = [{"role": "user", "content": "refund it"}]
        chat = await ai.chat.completions.create(model="Main", messages=ask)
        assert "refunded" not in str(chat.choices[0].message.content)
        assert chat.choices[0].message.tool_calls is None


async def test_two_servers_that_go_on_from_one_response_at_once_do_not_mix(config: Config) -> None:
    made = config()
    async with served(made) as one, served(made) as two, client(one) as ai, client(two) as other:
        first = await ai.responses.create(model="Main", input="one")
        asked = [
            (ai if number % 2 else other).responses.create(
                model="Main", input=f"slow {number}", previous_response_id=first.id
            )
            for number in range(4)
        ]
        answers = await asyncio.gather(*asked)
        assert all(answer.output_text.startswith("one two") for answer in answers)
        status, text, _ = await one.ask("GET", "/v1/sessions")
        assert (status, [each["turns"] for each in text["data"]]) == (200, [4] * 4)
