"""How an answer ended, in every provider's words: as the engine reads it, on both routes, streamed and whole."""

import json
from typing import Any

import pytest

from auwgent.errors import ProviderError
from auwgent.models.base import ModelSpec, Route, TextPiece
from auwgent.models.direct import DirectModel
from auwgent.models.ends import ProviderEnd, end_of
from auwgent.models.litellm import LiteLLMModel
from tests.models.asking import asked, hear, user
from tests.support.raw_server import STREAM_END, Step, piece, raw_server, stream_head, whole

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ROUTES = ("direct", "litellm")


def openai(word: str | None, streams: bool, text: str | None = "Hello", **more: Any) -> list[Step]:
    said: dict[str, Any] = {"role": "assistant", "content": text, **more}
    head = {"id": "c1", "created": 1, "model": "m", "usage": USAGE}
    if not streams:
        choice = {"index": 0, "message": said, "finish_reason": word}
        return [whole(json.dumps({**head, "object": "chat.completion", "choices": [choice]}))]
    chunks = [
        {"index": 0, "delta": said, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": word},
    ]
    made = [{**head, "object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
    return [stream_head(), *(event(one) for one in made), event("[DONE]"), STREAM_END]


def event(value: Any, name: str = "") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return piece((f"event: {name}\n" if name else "") + f"data: {text}\n\n")


def claude(word: str, streams: bool, text: str = "Hello", **more: Any) -> list[Step]:
    content = [{"type": "text", "text": text}] if text else []
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "c", "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 7}
    if not streams:
        body = {**head, "content": content, "stop_reason": word, "usage": usage, **more}
        return [whole(json.dumps(body))]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": usage}}
    ]
    for index, block in enumerate(content):
        events += [
            {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
            {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "text_delta", "text": block["text"]},
            },
            {"type": "content_block_stop", "index": index},
        ]
    events += [
        {"type": "message_delta", "delta": {"stop_reason": word, **more}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return [stream_head(), *(event(one, one["type"]) for one in events), STREAM_END]


def gemini(word: str | None, streams: bool, text: str = "Hello", **more: Any) -> list[Step]:
    candidate: dict[str, Any] = {"index": 0}
    if text:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if word:
        candidate["finishReason"] = word
    body = {
        "candidates": [candidate] if word or text else [],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
        **more,
    }
    return [stream_head(), event(body), STREAM_END] if streams else [whole(json.dumps(body))]


def model(name: str, via: str, url: str) -> Route:
    spec = ModelSpec(name=name, base_url=url, via=via, api_key="k-test-123456", timeout=60.0)
    return DirectModel(spec) if via == "direct" else LiteLLMModel(spec)


async def ending(name: str, via: str, streams: bool, steps: list[Step]) -> tuple[str, str, str]:
    """The end, the text, and what the provider said of it; or the fault of the failure."""
    async with raw_server(steps) as server:
        try:
            heard = await hear(model(name, via, server.url), asked(user("Hi"), stream=streams))
        except ProviderError as error:
            return error.fault, "retryable" if error.retryable else "", str(error)
    shown = "".join(one.text for one in heard.of(TextPiece))
    assert not streams or shown == heard.reply.text
    return heard.reply.finish_reason, heard.reply.text, heard.reply.said


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "word",
    [
        "stop",
        "eos",
        "length",
        "model_length",
        "content_filter",
        "safety",
        "sensitive",
        "refusal",
        "max_tokens",
    ],
)
async def test_words_of_those_who_speak_openais_format(word: str, streams: bool, via: str) -> None:
    end, text, said = await ending("openai/gpt-4o-mini", via, streams, openai(word, streams))
    assert (end, text, said) == (end_of(word), "Hello", word)


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("word", ["error", "insufficient_system_resource", "network_error", "abort"])
@pytest.mark.parametrize("text", ["Hello", ""], ids=["begun", "empty"])
async def test_an_error_as_the_end_is_a_broken_stream(word: str, text: str, streams: bool, via: str) -> None:
    end, retry, words = await ending("openai/gpt-4o-mini", via, streams, openai(word, streams, text))
    assert (end, retry) == ("broken_stream", "retryable")
    assert word in words


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
async def test_openais_refusal_is_shown_as_what_was_said(streams: bool, via: str) -> None:
    steps = openai("stop", streams, None, refusal="I cannot help with that.")
    end, text, _ = await ending("openai/gpt-4o-mini", via, streams, steps)
    assert (end, text) == ("refused", "I cannot help with that.")


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("word", "is_"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refused"),
    ],
)
@pytest.mark.parametrize("text", ["Hello", ""], ids=["text", "empty"])
@pytest.mark.parametrize("via", ROUTES)
async def test_words_of_anthropic(via: str, word: str, is_: str, text: str, streams: bool) -> None:
    end, heard, said = await ending("anthropic/claude-sonnet-4-5", via, streams, claude(word, streams, text))
    assert (end, heard, said) == (is_, text, word)


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("via", ROUTES)
async def test_anthropic_says_why_it_refuses(via: str, streams: bool) -> None:
    why = {"type": "refusal", "category": "cyber", "explanation": "This looks like malware."}
    steps = claude("refusal", streams, "", stop_details=why)
    end, _, said = await ending("anthropic/claude-sonnet-4-5", via, streams, steps)
    assert (end, said) == ("refused", "refusal: This looks like malware.")


FLAGGED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "NO_IMAGE", "IMAGE_RECITATION", "IMAGE_OTHER"),
)


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("word", ["STOP", "MAX_TOKENS", *FLAGGED])
async def test_words_of_gemini(word: str, streams: bool) -> None:
    for text in ("Hello", ""):
        end, _, said = await ending(
            "gemini/gemini-2.5-flash", "litellm", streams, gemini(word, streams, text)
        )
        assert end == {"STOP": "stop", "MAX_TOKENS": "length"}.get(word, "filtered")
        assert word in said


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "MODEL_ARMOR"])
async def test_a_prompt_that_gemini_blocks_is_filtered(reason: str, streams: bool) -> None:
    steps = gemini(None, streams, "", promptFeedback={"blockReason": reason})
    end, _, said = await ending("gemini/gemini-2.5-flash", "litellm", streams, steps)
    assert end == "filtered"
    assert reason in said


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "word",
    ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"],
)
async def test_a_call_that_gemini_could_not_read_is_worth_another_try(word: str, streams: bool) -> None:
    name = "gemini/gemini-2.5-flash"
    end, retry, words = await ending(name, "litellm", streams, gemini(word, streams, ""))
    assert (end, retry) == ("broken_stream", "retryable")
    assert word in words
    assert (await ending(name, "litellm", streams, gemini(word, streams)))[0] == "malformed"


async def test_a_stream_of_gemini_without_an_end_is_broken_off() -> None:
    end, _, _ = await ending("gemini/gemini-2.5-flash", "litellm", True, gemini(None, True))
    assert end == "broken_stream"


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("word", "arguments", "cut"),
    [
        ("tool_calls", '{"city": "Rome"}', False),
        ("tool_calls", "", False),
        ("length", '{"city": "Ro', True),
        ("length", "", True),
        ("length", "{}", True),
        ("length", "null", True),
        ("length", '{"city": "Rome"}', False),
        ("content_filter", "{}", True),
        ("refusal", '{"city": "Rome"}', True),
    ],
)
async def test_a_call_whose_arguments_were_cut_off_is_told_from_others(
    word: str, arguments: str, cut: bool, streams: bool, via: str
) -> None:
    function = {"name": "get_weather", "arguments": arguments}
    calls = [{"index": 0, "id": "c1", "type": "function", "function": function}]
    async with raw_server(openai(word, streams, None, tool_calls=calls)) as server:
        heard = await hear(model("openai/gpt-4o-mini", via, server.url), asked(user("Hi"), stream=streams))
    assert [call.cut for call in heard.reply.calls] == [cut]
    assert heard.reply.finish_reason == end_of(word)


def test_words_of_others() -> None:
    for sent, word in (
        ({"type": "message-end", "delta": {"finish_reason": "ERROR_TOXIC"}}, "filtered"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"stopReason": "guardrail_intervened"}, "filtered"),
        ({"done": True, "done_reason": "length"}, "length"),
        (
            {
                "object": "response",
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
            },
            "filtered",
        ),
        ({"type": "response.failed", "response": {"status": "failed", "error": {"message": "x"}}}, "broken"),
        (
            {"choices": [{"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}]},
            "malformed",
        ),
        ({"choices": [{"finish_reason": "stop", "native_finish_reason": "completed"}]}, "stop"),
    ):
        found = ProviderEnd()
        found.hear(sent)
        assert found.end == word, sent


@pytest.mark.parametrize(
    "sent", [None, 3, [], {"choices": 3}, {"candidates": [None]}, {"type": "message_delta"}, {}]
)
def test_what_is_no_answer_has_no_end(sent: Any) -> None:
    found = ProviderEnd()
    found.hear(sent)
    assert (found.end, found.said) == (None, "")


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("via", ROUTES)
async def test_an_answer_that_anthropic_paused_goes_on_by_itself(via: str, streams: bool) -> None:
    first, second = claude("pause_turn", streams, "Hel"), claude("end_turn", streams, "lo")
    async with raw_server(first, second) as server:
        spec_of = model("anthropic/claude-sonnet-4-5", via, server.url)
        heard = await hear(spec_of, asked(user("Hi"), stream=streams))
        assert [one.body["messages"][-1]["role"] for one in server.requests] == ["user", "assistant"]
    assert (heard.reply.text, heard.reply.finish_reason) == ("Hello", "stop")
    assert heard.reply.usage.output_tokens == 14
