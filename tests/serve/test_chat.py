"""Chat Completions, as OpenAI's own client and others use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.support.served import Served, served

Config = Callable[..., dict[str, Any]]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


def client(server: Served, **how: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="none", base_url=f"{server.url}/v1", **how)


async def test_a_client_is_answered_whole_and_streamed(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        assert [one.id async for one in ai.models.list()] == ["Main"]
        assert (await ai.models.retrieve("Main")).owned_by == "auwgent"
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9' here; there are Main"):
            await ai.models.retrieve("gpt-9")
        whole = await ai.chat.completions.create(model="Main", messages=HELLO, temperature=0.3, seed=1)
        assert whole.choices[0].message.content == "You said: Hello"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
        with_usage: Any = {"include_usage": True}
        stream = await ai.chat.completions.create(
            model="Main", messages=HELLO, stream=True, stream_options=with_usage
        )
        chunks = [chunk async for chunk in stream]
        texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        assert "".join(texts) == "You said: Hello"
        assert len([text for text in texts if text]) > 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[-1].usage == whole.usage
        assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_what_a_model_thinks_is_told_apart(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        ask: list[Any] = [{"role": "user", "content": "think"}]
        whole = await ai.chat.completions.create(model="Main", messages=ask)
        assert whole.choices[0].message.content == "Well, think."
        assert getattr(whole.choices[0].message, "reasoning_content", None) == "Let me think it over."
        stream = await ai.chat.completions.create(model="Main", messages=ask, stream=True)
        deltas = [chunk.choices[0].delta async for chunk in stream]
        assert (
            "".join(getattr(one, "reasoning_content", None) or "" for one in deltas)
            == "Let me think it over."
        )
        assert "".join(one.content or "" for one in deltas) == "Well, think."


async def test_the_agents_own_tools_do_not_show(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        ask: list[Any] = [{"role": "user", "content": "please add"}]
        whole = await ai.chat.completions.create(model="Main", messages=ask)
        assert whole.choices[0].message.content == "I will add them.\n\nIt is 3."
        assert whole.choices[0].message.tool_calls is None
        stream = await ai.chat.completions.create(model="Main", messages=ask, stream=True)
        deltas = [chunk.choices[0].delta async for chunk in stream]
        assert "".join(one.content or "" for one in deltas) == "I will add them.\n\nIt is 3."
        assert not any(one.tool_calls for one in deltas)


async def test_a_session_goes_on_and_reads_what_is_new(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        headers = {"X-Session-Id": "a/b c"}
        for words in ("first", "second"):
            messages: list[Any] = [
                {"role": "user", "content": "made up"},
                {"role": "assistant", "content": "I never said that"},
                {"role": "user", "content": words},
            ]
            await ai.chat.completions.create(model="Main", messages=messages, extra_headers=headers)
        store: Any = server.server._app.desk.store
        session = await store.get("", "a/b c")
        assert [turn.text for turn in session.turns] == [
            "first",
            "You said: first",
            "second",
            "You said: second",
        ]
        await ai.chat.completions.create(model="Main", messages=HELLO, metadata={"session_id": "a/b c"})
        assert len((await store.get("", "a/b c")).turns) == 6


async def test_failures_have_openais_form(config: Config) -> None:
    async with served(config()) as server, client(server, max_retries=0) as ai:
        for words, status, code in (("fail", 502, "provider_error"), ("too long", 422, "context_too_long")):
            ask: list[Any] = [{"role": "user", "content": words}]
            with pytest.raises(openai.APIStatusError) as whole:
                await ai.chat.completions.create(model="Main", messages=ask)
            assert (whole.value.status_code, whole.value.code) == (status, code)
            stream = await ai.chat.completions.create(model="Main", messages=ask, stream=True)
            with pytest.raises(openai.APIError) as broken:
                async for _ in stream:
                    pass
            assert broken.value.code == code
        for more, param in (
            ({"n": 2}, "n"),
            ({"stop": ["."]}, "stop"),
            ({"logprobs": True}, "logprobs"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"functions": [{"name": "f"}]}, "functions"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await ai.chat.completions.create(model="Main", messages=HELLO, extra_body=more)
            assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("hello", "messages"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}], None),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
                }
            ],
            None,
        ),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}], None),
        ([{"role": "user", "content": [{"type": "text"}]}], None),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "nobody", "content": "x"}], "messages[0].role"),
        ([{"role": "assistant", "content": "x"}], "messages"),
        ([{"role": "system", "content": "x"}], "messages"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": 3}]}, {"role": "user", "content": "x"}], None),
    ],
)
async def test_messages_that_cannot_be_are_refused(config: Config, messages: Any, param: str | None) -> None:
    async with served(config()) as server:
        status, body, _ = await server.ask("POST", "/v1/chat/completions", json={"messages": messages})
        assert (status, server.fails(body)) == (400, "invalid_value")
        assert param is None or body["error"]["param"] == param


async def test_system_messages_are_heard_as_the_config_says(config: Config) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be a pirate."}, *HELLO]
    async with served(config(instructions="refuse")) as server:
        status, body, _ = await server.ask("POST", "/v1/chat/completions", json={"messages": messages})
        assert (status, server.fails(body)) == (400, "invalid_value")
    for instructions, heard in (("ignore", False), ("append", True)):
        whole = config(instructions=instructions, agent={"prompt": "Be kind."})
        whole["models"]["main"]["params"]["replies"] = [
            {"system": "Be kind.\n\nBe a pirate.", "text": "Arr"},
            {"text": "Hello"},
        ]
        async with served(whole) as server:
            _, body, _ = await server.ask("POST", "/v1/chat/completions", json={"messages": messages})
            assert (body["choices"][0]["message"]["content"] == "Arr") is heard


async def test_who_hangs_up_ends_the_run_unless_the_config_says_otherwise(config: Config) -> None:
    for disconnect, status in (("cancel", "cancelled"), ("continue", "completed")):
        async with served(config(disconnect=disconnect)) as server:
            body = {"messages": [{"role": "user", "content": "slow"}]}
            for stream in (True, False):
                name = f"{disconnect}-{stream}"
                asked = server.ask(
                    "POST",
                    "/v1/chat/completions",
                    json={**body, "stream": stream},
                    headers={"X-Session-Id": name},
                )
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(asked, 0.7)
                store: Any = server.server._app.desk.store
                for _ in range(100):
                    if (found := await store.run_status("", name)) not in (None, "running"):
                        break
                    await asyncio.sleep(0.05)
                assert found == status


async def test_a_key_makes_a_chat_once(config: Config) -> None:
    async with served(config()) as server:
        key = {"Idempotency-Key": "order 7"}
        asked = [
            server.ask("POST", "/v1/chat/completions", json={"messages": HELLO}, headers=key)
            for _ in range(4)
        ]
        answers = await asyncio.gather(*asked)
        assert [status for status, _, _ in answers] == [200] * 4
        assert {body["choices"][0]["message"]["content"] for _, body, _ in answers} == {"You said: Hello"}
        store: Any = server.server._app.desk.store
        assert len(await store.runs("")) == 1
        other = {"messages": [{"role": "user", "content": "Bye"}]}
        status, body, headers = await server.ask("POST", "/v1/chat/completions", json=other, headers=key)
        assert (status, server.fails(body)) == (409, "run_id_reused")
        assert headers["x-should-retry"] == "false"
    async with served(config()) as server:  # another process, as it were
        status, body, _ = await server.ask(
            "POST", "/v1/chat/completions", json={"messages": HELLO}, headers=key
        )
        assert (status, body["choices"][0]["message"]["content"]) == (200, "You said: Hello")
        streamed = {"messages": HELLO, "stream": True}
        status, text, _ = await server.ask("POST", "/v1/chat/completions", json=streamed, headers=key)
        assert status == 200
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(deltas) == "You said: Hello"
    async with served(config(store=False)) as server:
        status, body, _ = await server.ask(
            "POST", "/v1/chat/completions", json={"messages": HELLO}, headers=key
        )
        assert (status, server.fails(body)) == (400, "no_store")


async def test_too_many_runs_are_told_to_come_back(config: Config) -> None:
    async with served(config(max_runs=1)) as server:
        slow = {"messages": [{"role": "user", "content": "slow"}]}
        first = asyncio.create_task(server.ask("POST", "/v1/chat/completions", json=slow))
        await asyncio.sleep(0.5)
        status, body, headers = await server.ask("POST", "/v1/chat/completions", json={"messages": HELLO})
        assert (status, server.fails(body), headers["Retry-After"]) == (503, "overloaded", "1")
        assert (await first)[0] == 200
        assert (await server.ask("POST", "/v1/chat/completions", json={"messages": HELLO}))[0] == 200
        server.server.house.is_draining = True
        status, body, _ = await server.ask("POST", "/v1/chat/completions", json={"messages": HELLO})
        assert (status, server.fails(body)) == (503, "draining")


async def test_a_helper_answers_where_the_config_lets_it(config: Config) -> None:
    whole = config(agents=["Main", "Joker"], agent={"helpers": ["Joker"]})
    whole["helpers"] = {"Joker": {"description": "Jokes", "model": "main", "prompt": "Joke."}}
    whole["models"]["main"]["params"]["replies"] = [{"system": "Joke.", "text": "Ha"}, {"text": "Hm"}]
    async with served(whole) as server, client(server) as ai:
        assert [one.id async for one in ai.models.list()] == ["Main", "Joker"]
        for name, words in (("Joker", "Ha"), ("Main", "Hm")):
            answer = await ai.chat.completions.create(model=name, messages=HELLO)
            assert (answer.model, answer.choices[0].message.content) == (name, words)
            stream = await ai.chat.completions.create(model=name, messages=HELLO, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == words
            response = await ai.responses.create(model=name, input="Hello")
            assert (response.model, response.output_text) == (name, words)
            again = await ai.responses.create(model=name, input="Hello", previous_response_id=response.id)
            assert again.output_text == words
            assert (await ai.responses.retrieve(again.id)).model == name
    del whole["serve"]["agents"]
    async with served(whole) as server, client(server) as ai:
        with pytest.raises(openai.NotFoundError):
            await ai.chat.completions.create(model="Joker", messages=HELLO)


async def test_nothing_is_kept_of_a_chat_without_a_session(config: Config) -> None:
    async with served(config()) as server, client(server) as ai:
        await ai.chat.completions.create(model="Main", messages=HELLO)
        assert (await server.ask("GET", "/v1/sessions"))[1]["data"] == []
        assert (await server.ask("GET", "/v1/runs"))[1]["data"] == []


async def test_a_chats_own_tools_are_kept_until_they_are_answered(config: Config) -> None:
    whole = config()
    whole["models"]["main"]["params"]["replies"] = [
        {"when": "7 - 3", "tool_calls": [{"name": "subtract", "args": {"a": 7, "b": 3}}]},
        {"result": "4", "text": "It is {result}."},
    ]
    tools: Any = [{"type": "function", "function": {"name": "subtract", "parameters": {"type": "object"}}}]
    ask: list[Any] = [{"role": "user", "content": "What is 7 - 3?"}]
    async with served(whole) as server, client(server, max_retries=0) as ai:
        first = await ai.chat.completions.create(model="Main", messages=ask, tools=tools)
        assert first.choices[0].finish_reason == "tool_calls"
        calls: Any = first.choices[0].message.tool_calls
    async with served(whole) as server, client(server, max_retries=0) as ai:  # a restart loses nothing
        answered = [*ask, first.choices[0].message.to_dict(), result := {"role": "tool", "content": "4"}]
        result["tool_call_id"] = calls[0].id
        second = await ai.chat.completions.create(model="Main", messages=answered, tools=tools)
        assert second.choices[0].message.content == "It is 4."
        await asyncio.sleep(0.5)
        assert (await server.ask("GET", "/v1/sessions"))[1]["data"] == []
        result["tool_call_id"] = "call_0123456789_nobodys"
        with pytest.raises(openai.NotFoundError):
            await ai.chat.completions.create(model="Main", messages=answered, tools=tools)
    async with served(config(store=False)) as server, client(server, max_retries=0) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.chat.completions.create(model="Main", messages=ask, tools=tools)
        assert refused.value.code == "no_store"
    async with served(config(caller_tools=False)) as server, client(server, max_retries=0) as ai:
        with pytest.raises(openai.BadRequestError) as off:
            await ai.chat.completions.create(model="Main", messages=ask, tools=tools)
        assert off.value.param == "tools"


async def test_what_a_run_cannot_be_given_is_the_callers_mistake(config: Config) -> None:
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}

    odd = {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
    async with served(config()) as server:
        for more, words in (
            ({"tools": [tool("add")]}, "the agent has 'add' already"),
            ({"tools": [tool("f"), tool("f")]}, "two tools 'f'"),
            ({"tools": [tool("not a name")]}, "not a name"),
            ({"tools": [odd]}, "object"),
            ({"metadata": {"session_id": "a\x00b"}}, "metadata.session_id"),
            ({"metadata": {"session_id": "s", "run_id": "a\x00b"}}, "metadata.run_id"),
        ):
            for stream in (False, True):
                asked = {"messages": HELLO, "stream": stream, **more}
                status, body, _ = await server.ask("POST", "/v1/chat/completions", json=asked)
                if status == 200:  # the answer had begun
                    assert "invalid_value" in body
                    assert words in body
                    continue
                assert (status, server.fails(body)) == (400, "invalid_value"), body
                assert words in body["error"]["message"]


async def test_a_silent_stream_shows_that_it_is_alive(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auwgent.serve.sse.PING", 0.02)
    body = {"messages": [{"role": "user", "content": "slow"}], "stream": True}
    async with served(config()) as server:
        status, text, _ = await server.ask("POST", "/v1/chat/completions", json=body)
    assert status == 200
    assert "\n\n: ping\n\n" in text
    assert text.endswith("data: [DONE]\n\n")
