"""What the direct route alone has to do: events, odd servers, addresses, connections. The rest is in test_litellm."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from auwgent.assembly import build
from auwgent.config import load
from auwgent.errors import ConfigError, ProviderError
from auwgent.models.base import ModelSpec, ReasoningPiece, TextPiece
from auwgent.models.direct import DirectModel
from auwgent.models.events import EventReader
from auwgent.models.formats import anthropic, chat, gemini
from auwgent.models.http import proxy_for
from auwgent.models.litellm import preload
from auwgent.models.providers import PROVIDERS
from tests.models.asking import asked, hear, user
from tests.support.raw_server import STREAM_END, Step, event, piece, raw_server, stream_head, whole

pytestmark = pytest.mark.usefixtures("alone")

HELLO = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def model(url: str, name: str = "openai/gpt-4o-mini", **settings: Any) -> DirectModel:
    return DirectModel(ModelSpec(name=name, base_url=url, via="direct", **{"timeout": 5.0, **settings}))


def answer(**choice: Any) -> list[Step]:
    return [whole(json.dumps({"choices": [{"index": 0, **choice}]}))]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_found_however_they_are_cut(size: int) -> None:
    sent = b": a comment\r\n\r\nid: 1\ndata: one\n\ndata:two\r\ndata: three\r\n\r\n\n\ndata: half"
    events = EventReader()
    parts = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert [found for part in parts for found in events.feed(part)] == [b"one", b"two\nthree"]
    assert list(events.feed(b"\n\n")) == [b"half"]


async def test_a_last_event_without_its_blank_line_counts() -> None:
    last = piece("data: " + json.dumps(STOP))
    async with raw_server([stream_head(), event(HELLO), last, STREAM_END]) as server:
        assert (await hear(model(server.url), asked(user("Hi")))).reply.text == "Hello"


async def test_a_connection_that_stays_open_after_the_answer_is_not_waited_for() -> None:
    async with raw_server([stream_head(), event(HELLO), event(STOP), event("[DONE]"), 30.0]) as server:
        async with asyncio.timeout(3):
            assert (await hear(model(server.url), asked(user("Hi")))).reply.text == "Hello"


async def test_whoever_was_asked_for_a_stream_may_answer_at_once_and_the_other_way_round() -> None:
    at_once = answer(message={"role": "assistant", "content": "Hello"}, finish_reason="stop")
    async with raw_server(at_once) as server:
        assert (await hear(model(server.url), asked(user("Hi")))).reply.text == "Hello"
    async with raw_server([stream_head(), event(HELLO), event(STOP), STREAM_END]) as server:
        assert (await hear(model(server.url), asked(user("Hi"), stream=False))).reply.text == "Hello"


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("safety", "filtered"),
    ],
)
async def test_the_words_for_the_end_are_made_one(said: str, is_: str) -> None:
    async with raw_server(answer(message={"content": "Hello"}, finish_reason=said)) as server:
        assert (await hear(model(server.url), asked(user("Hi")))).reply.finish_reason == is_


@pytest.mark.parametrize("said", ["error", "insufficient_system_resource", None])
async def test_an_answer_without_a_real_end_is_broken_off(said: str | None) -> None:
    async with raw_server(answer(message={"content": "Hello"}, finish_reason=said)) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model(server.url), asked(user("Hi")))
    assert caught.value.fault == "broken_stream"


@pytest.mark.parametrize(
    ("code", "fault"), [(429, "rate_limit"), (502, "unavailable"), ("odd", "unavailable")]
)
async def test_an_error_with_status_200_is_an_error(code: Any, fault: str) -> None:
    async with raw_server([whole(json.dumps({"error": {"code": code, "message": "Too busy"}}))]) as server:
        with pytest.raises(ProviderError, match="Too busy") as caught:
            await hear(model(server.url), asked(user("Hi")))
    assert caught.value.fault == fault


async def test_a_redirect_is_not_followed() -> None:
    async with raw_server([whole("", status=307, Location="http://127.0.0.1:9/")]) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model(server.url), asked(user("Hi")))
    assert (caught.value.fault, len(server.requests)) == ("protocol", 1)


@pytest.mark.parametrize("body", ["[1]", "7", '{"choices": 5}', '{"choices": [{"message": 3}]}', "null"])
async def test_json_of_any_other_form_is_no_endpoint(body: str) -> None:
    async with raw_server([whole(body)]) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model(server.url), asked(user("Hi")))
    assert caught.value.fault == "protocol"


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
async def test_reasoning_has_two_names(key: str) -> None:
    async with raw_server(
        answer(message={"content": "42", key: "Six times seven"}, finish_reason="stop")
    ) as server:
        heard = await hear(model(server.url), asked(user("Hi")))
    assert heard.pieces == [ReasoningPiece("Six times seven"), TextPiece("42")]


async def test_a_content_of_parts_is_read() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "42"},
    ]
    async with raw_server(answer(message={"content": content}, finish_reason="stop")) as server:
        heard = await hear(model(server.url), asked(user("Hi")))
    assert heard.pieces == [ReasoningPiece("Hm."), TextPiece("42")]


async def test_headers_of_the_user_go_before_ours() -> None:
    async with raw_server(answer(message={"content": "Hi"}, finish_reason="stop")) as server:
        headers = {"authorization": "Basic mine", "user-agent": "me"}
        params = {"extra_headers": {"X-One": "1"}, "extra_body": {"top_k": 3}}
        await hear(model(server.url, api_key="sk-x", headers=headers, params=params), asked(user("Hi")))
    [request] = server.requests
    assert request.headers["authorization"] == "Basic mine"
    assert (request.headers["user-agent"], request.headers["x-one"]) == ("me", "1")
    assert request.body["top_k"] == 3
    assert not {"extra_headers", "extra_body"} & request.body.keys()


async def test_credentials_in_an_address_are_sent() -> None:
    async with raw_server(answer(message={"content": "Hi"}, finish_reason="stop")) as server:
        url = server.url.replace("http://", "http://me:secret@")
        await hear(model(url, api_key="sk-x"), asked(user("Hi")))
    assert server.requests[0].headers["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.process
def test_the_addresses_are_those_that_litellm_uses() -> None:
    litellm = preload().result()
    for name, provider in PROVIDERS.items():
        if provider.chat and not provider.exact and name not in ("openai", "openrouter", "deepseek"):
            assert litellm.get_llm_provider(f"{name}/m")[3] == provider.chat


def test_an_address_may_be_in_the_environment() -> None:
    spec = ModelSpec(name="openai/m")
    assert chat.url(spec, {}) == "https://api.openai.com/v1/chat/completions"
    assert chat.url(spec, {"OPENAI_BASE_URL": "http://x"}) == "http://x/v1/chat/completions"
    assert chat.url(spec, {"OPENAI_API_BASE": "http://x/v1"}) == "http://x/v1/chat/completions"


def test_anthropics_address_may_be_in_the_environment_or_end_in_v1() -> None:
    spec = ModelSpec(name="anthropic/m")
    assert anthropic.url(spec, {}) == "https://api.anthropic.com/v1/messages"
    assert anthropic.url(spec, {"ANTHROPIC_BASE_URL": "http://x/y"}) == "http://x/y/v1/messages"
    for base_url in ("http://x/y", "http://x/y/", "http://x/y/v1", "http://x/y/v1/messages"):
        assert anthropic.url(spec.changed(base_url=base_url), {}) == "http://x/y/v1/messages"


def test_anthropics_token_of_the_environment_stands_for_a_key() -> None:
    spec, environ = ModelSpec(name="anthropic/m"), {"ANTHROPIC_AUTH_TOKEN": "t-1"}
    assert anthropic.headers(spec, "", environ)["Authorization"] == "Bearer t-1"
    keyed = anthropic.headers(spec.changed(api_key="k-1"), "", environ)
    assert keyed["x-api-key"] == "k-1"
    assert "Authorization" not in keyed


def test_geminis_address_holds_the_model_and_the_version() -> None:
    spec, home = ModelSpec(name="gemini/gemini-2.5-flash"), "https://generativelanguage.googleapis.com"
    assert gemini.url(spec, {}) == f"{home}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    newer = spec.changed(name="gemini/gemini-3-pro-preview")
    assert (
        gemini.url(newer, {}, streams=False) == f"{home}/v1alpha/models/gemini-3-pro-preview:generateContent"
    )
    for base_url in ("http://x", "http://x/", "http://x/v1beta"):
        own = gemini.url(spec.changed(base_url=base_url), {}, streams=False)
        assert own == "http://x/v1beta/models/gemini-2.5-flash:generateContent"


def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1,inside.example")
    assert proxy_for("https://api.openai.com/v1") == "http://proxy.example:3128"
    assert proxy_for("https://llm.inside.example/v1") is None


def test_each_loop_has_its_own_connections_and_none_is_left() -> None:
    async def talk() -> list[asyncio.Task[Any]]:
        streamed: list[Step] = [stream_head(), event(HELLO), event(STOP), event("[DONE]"), STREAM_END]
        async with raw_server(streamed) as server:
            asking = model(server.url)
            await asyncio.gather(*(hear(asking, asked(user("Hi"))) for _ in range(20)))
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    for _ in range(3):
        assert asyncio.run(talk()) == []
        gc.collect()  # what was not closed would warn now, and warnings are errors


def test_a_config_that_asks_for_this_way_in_vain_is_told_where(tmp_path: Path) -> None:
    file = tmp_path / "auwgent.toml"
    file.write_text('[agent]\nmodel = "main"\n[models.main]\nuse = "cohere_chat/command-r"\nvia = "direct"\n')
    with pytest.raises(ConfigError, match="does not speak OpenAI's chat wire format") as caught:
        build(load(file))
    [problem] = caught.value.problems
    assert (problem.line, problem.text) == (5, 'via = "direct"')
