"""What other models wrote, and what other providers refused, in a request that the one at hand accepts."""

import base64
import json
from typing import Any

import pytest

from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.direct import DirectModel
from auwgent.models.litellm import LiteLLMModel
from auwgent.models.media import text_of, type_of
from auwgent.models.wire import messages
from auwgent.session import Media, Part, Text, ToolCall, Turn
from tests.models.asking import answered, asked, hear, user
from tests.support.raw_server import STREAM_END, Step, event, raw_server, stream_head, whole

OPENAI = ModelSpec(name="openai/gpt-4o-mini")
CLAUDE = ModelSpec(name="anthropic/claude-sonnet-4-5", cache=False)
DEEPSEEK = ModelSpec(name="deepseek/deepseek-reasoner")
MISTRAL = ModelSpec(name="mistral/mistral-small-latest")
GROQ = ModelSpec(name="groq/qwen3")
ALL = (OPENAI, CLAUDE, DEEPSEEK, MISTRAL, ModelSpec(name="gemini/gemini-2.5-flash"))
PIXEL = "iVBORw0KGgo="


def wired(spec: ModelSpec, *turns: Turn) -> list[dict[str, Any]]:
    return messages(spec, ModelRequest(system="", turns=turns))


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def called(*names: str, **more: Any) -> list[Turn]:
    calls = [ToolCall(id=f"c{index}", name=name) for index, name in enumerate(names)]
    results = [Turn(role="tool", tool_call_id=call.id, name=call.name, content="ok") for call in calls]
    return [Turn(role="assistant", tool_calls=calls, **more), *results]


@pytest.mark.parametrize(
    "name", ["get weather", "mcp:time/now", "über", "a" * 200, "9lives", "-x", "a.b", "🦆"]
)
def test_a_made_up_name_of_a_tool_is_sent_in_a_form_that_all_take(name: str) -> None:
    for spec in ALL:
        _, said, _ = wired(spec, user("Hi"), *called(name))
        sent = said["tool_calls"][0]["function"]["name"]
        assert sent.isascii()
        assert 0 < len(sent) <= 64
        assert sent.replace("_", "a").replace("-", "a").isalnum()
        assert sent[0].isalpha() or sent[0] == "_"


def test_a_good_name_of_a_tool_stays() -> None:
    _, said, _ = wired(OPENAI, user("Hi"), *called("get_weather-2"))
    assert said["tool_calls"][0]["function"]["name"] == "get_weather-2"


@pytest.mark.parametrize("words", [" ", "\n\t ", ""])
def test_nothing_blank_is_sent(words: str) -> None:
    turns = [user(words), user("Hi"), *called("a"), Turn(role="assistant", content=words), user("Bye")]
    turns[3] = turns[3].model_copy(update={"content": words})
    for spec in ALL:
        assert all(
            message.get("content") is None or message["content"].strip() for message in wired(spec, *turns)
        )


# Thoughts


def thoughts_in(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if "think" in key or "reason" in key}


def test_thoughts_go_back_beside_calls_to_the_model_they_came_from_and_to_no_other() -> None:
    kept = {"reasoning_content": "I should."}
    turns = [user("Hi"), *called("a", model=DEEPSEEK.name, provider_data=kept)]
    assert wired(DEEPSEEK, *turns)[1]["reasoning_content"] == "I should."
    for spec in ALL:
        if spec is not DEEPSEEK:
            assert thoughts_in(wired(spec, *turns)[1]) == {}


def test_thoughts_do_not_go_back_to_who_refuses_them() -> None:
    for spec in (MISTRAL, GROQ):
        turns = called("a", model=spec.name, provider_data={"reasoning_content": "I should."})
        assert thoughts_in(wired(spec, user("Hi"), *turns)[1]) == {}


def delta(finish: str | None = None, **content: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": content, "finish_reason": finish}]})


def call(arguments: str = "{}") -> dict[str, Any]:
    return {"index": 0, "id": "c1", "type": "function", "function": {"name": "a", "arguments": arguments}}


async def test_details_of_reasoning_that_come_in_fragments_go_back_whole() -> None:
    def piece(**block: Any) -> bytes:
        return delta(reasoning_details=[{"index": 0, "format": "anthropic-claude-v1", **block}])

    steps: list[Step] = [
        stream_head(),
        piece(type="reasoning.text", text="I "),
        piece(type="reasoning.text", text="should."),
        piece(type="reasoning.text", signature="SIG"),
        delta(reasoning_details=[{"index": 1, "type": "reasoning.encrypted", "data": "E1", "id": "r1"}]),
        delta(reasoning_details=[{"index": 2, "type": "reasoning.encrypted", "data": "E2", "id": "r2"}]),
        delta(tool_calls=[call()]),
        delta("tool_calls"),
        STREAM_END,
    ]
    async with raw_server(steps) as server:
        spec = ModelSpec(name="openrouter/a/b", base_url=server.url, via="direct")
        reply = (await hear(DirectModel(spec), asked(user("Hi")))).reply
    [said] = [one for one in wired(spec, user("Hi"), *answered(reply, "ok")) if one["role"] == "assistant"]
    assert thoughts_in(said) == {
        "reasoning_details": [
            {
                "index": 0,
                "format": "anthropic-claude-v1",
                "type": "reasoning.text",
                "text": "I should.",
                "signature": "SIG",
            },
            {"index": 1, "type": "reasoning.encrypted", "data": "E1", "id": "r1"},
            {"index": 2, "type": "reasoning.encrypted", "data": "E2", "id": "r2"},
        ]
    }


# Files


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic"),
        (b"%PDF-1.7", "application/pdf"),
        (b"BMW is a car", None),
        (b"<svg/>", None),
        (b"", None),
    ],
)
def test_the_first_bytes_say_what_a_file_is(content: bytes, kind: str | None) -> None:
    assert type_of(content) == kind


@pytest.mark.parametrize(
    ("content", "declared", "text"),
    [
        (b"a,b\n1,2", None, "a,b\n1,2"),
        ("\ufeffé".encode(), None, "é"),
        ("é".encode("utf-16"), None, "é"),
        ("é".encode("cp1252"), "text/csv", "é"),
        ("é".encode("cp1252"), None, None),
        (b"PK\x03\x04\x00", "application/zip", None),
        (b"%PDF-1.7", "text/plain", None),
    ],
)
def test_a_file_is_a_text_by_its_content(content: bytes, declared: str | None, text: str | None) -> None:
    assert text_of(content, declared) == text


@pytest.mark.parametrize("mime_type", ["text/csv", "application/octet-stream", "application/json", None])
def test_the_file_of_a_text_is_sent_as_its_text_on_every_wire(mime_type: str | None) -> None:
    table = Media(type="file", data=b64(b"a,b\n1,2"), mime_type=mime_type, name="table.csv")
    for spec in ALL:
        [message] = wired(spec, Turn(role="user", content=[Text(text="Read."), table]))
        assert message["content"] == "Read.\ntable.csv:\n\na,b\n1,2"


def test_what_a_provider_refused_is_told_in_words() -> None:
    broken = Media(type="image", data=PIXEL, name="broken.png", refused="Could not process image")
    for spec in ALL:
        [message] = wired(spec, Turn(role="user", content=[Text(text="Look"), broken]))
        assert "image_url" not in json.dumps(message)
        assert "broken.png" in message["content"]
        assert "Could not process image" in message["content"]


def test_what_no_model_reads_is_told_in_words() -> None:
    for content, kind in ((b"PK\x03\x04\x00", "application/zip"), (b"\xd0\xcf\x11\xe0\x00", None)):
        archive = Media(type="file", data=b64(content), mime_type=kind, name="data.bin")
        for spec in ALL:
            [message] = wired(spec, Turn(role="user", content=[Text(text="Read."), archive]))
            assert isinstance(message["content"], str)
            assert "data.bin" in message["content"]


def test_an_image_for_a_model_that_reads_text_alone_is_told_in_words() -> None:
    image = Media(type="image", data=PIXEL, mime_type="image/png", name="cat.png")
    turn = Turn(role="user", content=[Text(text="Look"), image])
    [message] = wired(ModelSpec(name="openai/o3-mini"), turn)
    assert "cat.png" in message["content"]
    for name in ("openai/gpt-5-mini", "openai/nobody-knows", "ollama/llava"):
        [message] = wired(ModelSpec(name=name), turn)
        assert shown(message["content"]) == ["text", "image_url"]


def shown(content: Any) -> list[str]:
    return [part["type"] for part in content] if isinstance(content, list) else ["text"]


def test_an_image_in_a_result_is_shown_where_the_provider_takes_it() -> None:
    image = Media(type="image", data=PIXEL, mime_type="image/png")
    parts: list[Part] = [Text(text="Here:"), image]
    calls = [ToolCall(id="c1", name="shoot"), ToolCall(id="c2", name="other")]
    turns = [
        user("Hi"),
        Turn(role="assistant", tool_calls=calls),
        Turn(role="tool", tool_call_id="c1", name="shoot", content=parts),
        Turn(role="tool", tool_call_id="c2", name="other", content="ok"),
    ]
    in_claude = wired(CLAUDE, *turns)
    assert [message["role"] for message in in_claude] == ["user", "assistant", "tool", "tool"]
    assert shown(in_claude[2]["content"]) == ["text", "image_url"]
    behind = wired(OPENAI, *turns)
    assert [message["role"] for message in behind] == ["user", "assistant", "tool", "tool", "user"]
    assert behind[2]["content"] == "Here:\n[image: image/png]"
    assert shown(behind[4]["content"]) == ["text", "image_url"]
    assert [message["role"] for message in wired(MISTRAL, *turns)][-2:] == ["assistant", "user"]
    assert wired(DEEPSEEK, *turns)[-1]["role"] == "tool"
    followed = wired(CLAUDE, *turns, user("Bye"))
    assert followed[-1]["content"] == "Bye"


# Tools that the provider runs itself


def search(streams: bool) -> list[Step]:
    used = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "oslo"}}
    hit = {"type": "web_search_result", "url": "https://x.example", "title": "t", "encrypted_content": "E"}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [hit]}
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "c", "usage": usage}
    if not streams:
        content = [used, found, {"type": "text", "text": "Sunny."}]
        return [whole(json.dumps({**head, "content": content, "stop_reason": "end_turn"}))]
    starts = [{**used, "input": {}}, found, {"type": "text", "text": ""}]
    deltas = [
        {"type": "input_json_delta", "partial_json": '{"query": "oslo"}'},
        None,
        {"type": "text_delta", "text": "Sunny."},
    ]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None}}
    ]
    for index, (start, piece) in enumerate(zip(starts, deltas, strict=True)):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        if piece:
            events.append({"type": "content_block_delta", "index": index, "delta": piece})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    events.append({"type": "message_stop"})
    return [stream_head(), *map(event, events), STREAM_END]


@pytest.mark.process
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
async def test_what_the_provider_searched_for_is_not_a_call_but_goes_back_to_it(streams: bool) -> None:
    async with raw_server(search(streams), search(streams)) as server:
        spec = ModelSpec(name=CLAUDE.name, base_url=server.url, api_key="k-test-123456")
        heard = await hear(LiteLLMModel(spec), asked(user("Weather?"), stream=streams))
        assert (heard.reply.calls, heard.reply.text) == ((), "Sunny.")
        turns = [user("Weather?"), *answered(heard.reply), user("Sure?")]
        await hear(LiteLLMModel(spec), asked(*turns, stream=streams))
        sent = server.requests[-1].body["messages"][1]["content"]
    kinds = [block["type"] for block in sent]
    assert {"server_tool_use", "web_search_tool_result", "text"} == set(kinds)
    assert thoughts_in(wired(OPENAI, *turns)[1]) == {}
    assert "tool_calls" not in wired(OPENAI, *turns)[1]
