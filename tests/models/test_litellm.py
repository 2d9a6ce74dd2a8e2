"""Models over real sockets, through LiteLLM and directly: what servers do wrong, what is sent, what is left."""

import asyncio
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import ConfigError, Fault, ProviderError
from auwgent.models.base import CallPiece, ModelRequest, ModelSpec, TextPiece
from auwgent.models.wire import OUTPUT_TOKENS
from tests.models.asking import REPORT, WEATHER, asked, hear, model_of, user
from tests.support.raw_server import (
    STREAM_END,
    Step,
    event,
    piece,
    raw_server,
    stream_head,
    unused_port,
    whole,
)
from tests.support.wires import Anthropic

pytestmark = [
    pytest.mark.process,
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

WIRES = (
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "ollama_chat/llama3.1",
    "mistral/mistral-small-latest",
    "openrouter/some/model",
)
DIRECT = "direct "  # what a name begins with in these tests that is asked without LiteLLM
OPENAI = ("openai/gpt-4o-mini", DIRECT + "openai/gpt-4o-mini")
ALL = (
    *WIRES,
    *(
        DIRECT + name
        for name in (
            "openai/gpt-4o-mini",
            "anthropic/claude-sonnet-4-5",
            "gemini/gemini-2.5-flash",
            "mistral/mistral-small-latest",
            "openrouter/some/model",
            "ollama_chat/llama3.1",
        )
    ),
)
KEY = "sk-canary-0123456789"
HEADER = "canary-header-value"


def spec(name: str = "openai/gpt-4o-mini", url: str = "", **settings: Any) -> ModelSpec:
    via = "direct" if name.startswith(DIRECT) else "litellm"
    own = {"api_key": KEY, "headers": {"X-Secret": HEADER}, "timeout": 5.0, **settings}
    return ModelSpec(name=name.removeprefix(DIRECT), base_url=url, via=via, **own)


def delta(content: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """A chunk of OpenAI's stream."""
    choice = {"index": 0, "delta": content, "finish_reason": finish_reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return event(chunk | more)


def streamed(*chunks: bytes) -> list[Step]:
    return [stream_head(), *chunks, event("[DONE]"), STREAM_END]


def call(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


def refusal(status: int, message: str = "no", **headers: str) -> list[Step]:
    """An error that echoes what was sent, as some gateways do."""
    echoed = f"{message} [{KEY} {HEADER}]"
    return [whole(json.dumps({"error": {"message": echoed, "type": "t"}}), status=status, **headers)]


HELLO = delta({"role": "assistant", "content": "Hello"})
STOP = delta({}, "stop")

BEFORE: dict[str, tuple[Sequence[Step], Fault, int | None]] = {
    "401": (refusal(401), "auth", 401),
    "403": (refusal(403), "auth", 403),
    "404": (refusal(404), "not_found", 404),
    "429": (refusal(429), "rate_limit", 429),
    "500": (refusal(500), "unavailable", 500),
    "502": (refusal(502), "unavailable", 502),
    "503": (refusal(503), "unavailable", 503),
    "529": (refusal(529), "unavailable", 529),
    "context overflow": (refusal(400, "maximum context length is 8 tokens"), "context", 400),
    "reset": (["reset"], "unavailable", None),
    "reset in the stream": ([stream_head(), 0.05, "reset"], "unavailable", None),
    "a web page": ([whole("<html>Hi</html>", content_type="text/html")], "protocol", None),
    "other JSON": ([whole('{"hello": 1}')], "protocol", None),
    "half of JSON": ([whole('{"id": "x", "cho')], "protocol", None),
    "nothing": ([stream_head(), STREAM_END], "protocol", None),
}


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize("name", ALL)
async def test_every_failure_is_typed_and_tells_no_secret(
    name: str,
    fault: str,
    streams: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    answer, expected, status = BEFORE[fault]
    async with raw_server(answer) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model_of(spec(name, server.url)), asked(user("Hi"), stream=streams))
    error = caught.value
    if (fault, streams) != (
        "reset in the stream",
        False,
    ):  # a stream's head before a whole answer is odd enough
        assert (error.fault, error.status) == (expected, status)
    output = "".join(capfd.readouterr())
    for place in (all_of(error), caplog.text, output):
        assert KEY not in place
        assert HEADER not in place
    assert output == ""


def all_of(error: BaseException) -> str:
    """Everything that a report of an error may show, our own functions' variables included."""
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if str(frame.f_globals["__name__"]).startswith("auwgent.")]
    assert ours
    return repr(error) + "".join(traceback.format_exception(error)) + repr([frame.f_locals for frame in ours])


@pytest.mark.parametrize("name", ALL)
async def test_secrets_of_an_address_are_not_told(name: str) -> None:
    url = f"http://canary-user:canary-password@127.0.0.1:{unused_port()}/v1?key=canary-query"
    with pytest.raises(ProviderError) as caught:
        await hear(model_of(spec(name, url)), asked(user("Hi")))
    assert "canary" not in all_of(caught.value)


@pytest.mark.parametrize("name", ALL)
async def test_a_refused_connection_is_unavailable(name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await hear(model_of(spec(name, f"http://127.0.0.1:{unused_port()}")), asked(user("Hi")))
    assert (caught.value.fault, caught.value.retryable, caught.value.status) == ("unavailable", True, None)


@pytest.mark.parametrize("name", ALL)
async def test_retry_after_is_passed_on(name: str) -> None:
    async with raw_server(refusal(429, Retry_After="7")) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model_of(spec(name, server.url)), asked(user("Hi")))
    assert caught.value.retry_after == 7.0
    assert len(server.requests) == 1, "repeating is for others to decide"


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize(
    "rest",
    [
        [0.05, "reset"],
        [STREAM_END],
        [piece('data: {"id": "c", "choi'), STREAM_END],
        [piece("data: {{{\n\n"), STREAM_END],
        [event({"error": {"message": "overloaded", "type": "server_error"}}), STREAM_END],
    ],
    ids=["reset", "clean end", "half an event", "garbage", "an error event"],
)
@pytest.mark.parametrize("shown", [True, False])
async def test_what_breaks_off_in_the_middle_says_so(name: str, rest: list[Step], shown: bool) -> None:
    async with raw_server([stream_head(), HELLO, 0.05, *rest]) as server:
        stream = model_of(spec(name, server.url)).ask(asked(user("Hi"), shown=shown))
        assert await anext(stream) == TextPiece("Hello")
        with pytest.raises(ProviderError) as caught:
            await anext(stream)
    assert (caught.value.fault, caught.value.retryable) == ("broken_stream", True)


@pytest.mark.clock
@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize(
    "answer",
    [[0.0001, 30.0], [stream_head(), 30.0], [stream_head(), HELLO, 30.0]],
    ids=["before the first byte", "after the head", "in the middle"],
)
@pytest.mark.parametrize("shown", [True, False])
async def test_silence_ends_with_the_timeout(name: str, answer: list[Step], shown: bool) -> None:
    async with raw_server(answer) as server:
        began = time.monotonic()
        with pytest.raises(ProviderError) as caught:
            await hear(model_of(spec(name, server.url, timeout=0.3)), asked(user("Hi"), shown=shown))
        # The first call of a process has LiteLLM import more, for seconds; the server would be silent for 30.
        assert time.monotonic() - began < 20
    assert (caught.value.fault, caught.value.retryable) == ("timeout", True)


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("shown", [True, False])
async def test_a_slow_drip_is_no_silence(name: str, shown: bool) -> None:
    drip: list[Step] = [step for _ in range(6) for step in (delta({"content": "a"}), 0.2)]
    async with raw_server([stream_head(), *drip, STOP, event("[DONE]"), STREAM_END]) as server:
        heard = await hear(model_of(spec(name, server.url, timeout=0.6)), asked(user("Hi"), shown=shown))
    assert heard.reply.text == "aaaaaa"


async def test_an_answer_that_nobody_watches_comes_as_a_stream_and_is_given_to_litellm_once() -> None:
    async with raw_server(streamed(delta({"content": "Hel"}), delta({"content": "lo"}), STOP)) as server:
        heard = await hear(model_of(spec(url=server.url)), asked(user("Hi"), shown=False))
        body = server.requests[0].body
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert (heard.pieces, heard.reply.text) == ([], "Hello")


@pytest.mark.parametrize("name", OPENAI)
async def test_ten_megabytes_arrive_whole(name: str) -> None:
    part = "x" * 100_000
    chunks = [delta({"content": part}) for _ in range(100)]
    async with raw_server(streamed(*chunks, STOP)) as server:
        heard = await hear(model_of(spec(name, server.url, timeout=30)), asked(user("Hi")))
    assert len(heard.reply.text) == 10_000_000


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize(
    "arguments",
    ["", "null", "[1]", '{"city": "Par', "{{}}", '{"a": 1}{"a": 1}'],
    ids=lambda text: text or "empty",
)
async def test_odd_arguments_are_passed_on_as_they_are(name: str, arguments: str) -> None:
    chunks = [delta(call(0, "call_1", "get_weather", arguments)), delta({}, "tool_calls")]
    async with raw_server(streamed(*chunks)) as server:
        heard = await hear(model_of(spec(name, server.url)), asked(user("Hi"), tools=[WEATHER]))
    assert [call.arguments for call in heard.reply.calls] == [arguments]


@pytest.mark.parametrize("name", OPENAI)
async def test_calls_with_one_id_or_none_are_told_apart(name: str) -> None:
    chunks = [
        delta(call(0, "same", "get_weather", '{"city":')),
        delta(call(0, None, None, ' "Paris"}')),
        delta(call(1, "same", "get_weather", '{"city": "Rome"}')),
        delta(call(2, None, "no_such_tool", "{}")),
        delta({}, "tool_calls"),
    ]
    async with raw_server(streamed(*chunks)) as server:
        heard = await hear(model_of(spec(name, server.url)), asked(user("Hi"), tools=[WEATHER]))
    calls = heard.reply.calls
    assert [call.name for call in calls] == ["get_weather", "get_weather", "no_such_tool"]
    assert [call.arguments for call in calls] == ['{"city": "Paris"}', '{"city": "Rome"}', "{}"]
    ids = [call.id for call in calls if call.id]
    assert len(ids) == len(set(ids))
    assert {one.index for one in heard.of(CallPiece)} == {0, 1, 2}


@pytest.mark.parametrize("name", [*OPENAI, "mistral/mistral-small-latest", "openrouter/some/model"])
async def test_closing_the_iterator_ends_the_request(name: str) -> None:
    drip: list[Step] = [step for _ in range(100) for step in (delta({"content": "a"}), 0.1)]
    async with raw_server([stream_head(), *drip]) as server:
        stream = model_of(spec(name, server.url)).ask(asked(user("Hi")))
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(server.disconnected.wait(), 2)


async def test_a_failure_in_the_middle_ends_the_request() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    alive: list[Step] = [0.1, piece(": ping\n\n")] * 100
    async with raw_server([*Anthropic().begun("Hello"), event(overloaded), *alive]) as server:
        with pytest.raises(ProviderError) as caught:
            await hear(model_of(spec("anthropic/claude-sonnet-4-5", server.url)), asked(user("Hi")))
        assert caught.value.fault == "broken_stream"
        await asyncio.wait_for(server.disconnected.wait(), 2)


@pytest.mark.parametrize("name", OPENAI)
async def test_a_piece_may_come_as_often_as_it_likes(name: str) -> None:
    async with raw_server(streamed(*[delta({"content": "tick "})] * 300, STOP)) as server:
        heard = await hear(model_of(spec(name, server.url)), asked(user("Hi")))
    assert heard.reply.text == "tick " * 300


@pytest.mark.parametrize("name", ALL)
async def test_nothing_is_tried_twice_on_the_quiet(name: str) -> None:
    async with raw_server(["reset"]) as server:
        with pytest.raises(ProviderError):
            await hear(model_of(spec(name, server.url)), asked(user("Hi")))
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", OPENAI)
async def test_a_cancelled_call_ends_the_request(name: str) -> None:
    async with raw_server([stream_head(), HELLO, 30.0]) as server:
        task = asyncio.ensure_future(hear(model_of(spec(name, server.url)), asked(user("Hi"))))
        await asyncio.wait_for(server.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.disconnected.wait(), 2)


async def sent(name: str, request: ModelRequest, **settings: Any) -> Any:
    """The body of the request that the provider gets."""
    async with raw_server(refusal(400)) as server:
        with pytest.raises(ProviderError):
            await hear(model_of(spec(name, server.url, **settings)), request)
        return server.requests[0]


@pytest.mark.parametrize("name", OPENAI)
async def test_key_headers_and_params_are_sent(name: str) -> None:
    request = await sent(name, asked(user("Hi")), params={"temperature": 0.5, "top_k": 3})
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-secret"] == HEADER
    assert request.body["temperature"] == 0.5
    assert request.body["top_k"] == 3
    assert request.body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai/gpt-4o-mini", "/v1/chat/completions"),
        ("anthropic/claude-sonnet-4-5", "/v1/messages"),
        ("gemini/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("ollama_chat/llama3.1", "/api/chat"),
        ("mistral/mistral-small-latest", "/v1/chat/completions"),
        ("cohere_chat/command-r", "/v2/chat"),
        ("deepseek/deepseek-chat", "/v1/chat/completions"),
        ("hosted_vllm/qwen3", "/v1/chat/completions"),
        *(
            (DIRECT + f"{name}/m", "/v1/chat/completions")
            for name in ("openai", "mistral", "ollama_chat", "mine")
        ),
    ],
)
async def test_a_trailing_v1_is_optional(name: str, path: str, base: str) -> None:
    async with raw_server(refusal(400)) as server:
        with pytest.raises(ProviderError):
            await hear(model_of(spec(name, server.url + base)), asked(user("Hi")))
        assert server.requests[0].path == path


async def test_claude_always_gets_max_tokens() -> None:
    name = "anthropic/claude-sonnet-4-5"
    assert (await sent(name, asked(user("Hi")))).body["max_tokens"] == OUTPUT_TOKENS
    assert (await sent(name, asked(user("Hi")), params={"max_tokens": 7})).body["max_tokens"] == 7
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 5000}}
    assert (await sent(name, asked(user("Hi")), params=thinking)).body["max_tokens"] > 5000


async def test_a_server_without_a_key_gets_none_of_ours() -> None:
    request = await sent("openai/local-model", asked(user("Hi")), api_key=None)
    assert request.headers["authorization"] == "Bearer none"
    request = await sent(DIRECT + "openai/local-model", asked(user("Hi")), api_key=None)
    assert "authorization" not in request.headers


@pytest.mark.parametrize("name", OPENAI)
async def test_the_schema_of_an_answer_is_sent_where_the_provider_keeps_it(name: str) -> None:
    request = await sent(name, asked(user("Hi"), output=REPORT))
    assert request.body["response_format"]["json_schema"]["schema"] == REPORT.schema


@pytest.mark.parametrize(
    "param", ["api_key", "num_retries", "fallbacks", "timeout", "stream", "mock_response"]
)
@pytest.mark.parametrize("via", ["litellm", "direct"])
async def test_params_cannot_undo_what_is_decided_here(param: str, via: str) -> None:
    with pytest.raises(ConfigError, match=param):
        model_of(ModelSpec(name="openai/gpt-4o-mini", label="main", via=via, params={param: 1}))


@pytest.mark.parametrize("name", OPENAI)
async def test_usage_that_is_not_reported_is_estimated(name: str) -> None:
    async with raw_server(streamed(HELLO, STOP)) as server:
        usage = (await hear(model_of(spec(name, server.url)), asked(user("Hi")))).reply.usage
    assert usage.estimated
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0


REPORTED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.mark.parametrize(
    ("name", "price", "usd"),
    [
        ("openai/gpt-4o-mini", None, 1000 * 0.15e-6 + 100 * 0.6e-6),
        ("openai/gpt-4o-mini", {"input": 3.0, "output": 15.0}, 1000 * 3e-6 + 100 * 15e-6),
        ("openai/unheard-of", None, None),
        ("openrouter/un/heard-of", None, None),
        ("openai/unheard-of", {"input": 0.0, "output": 0.0}, 0.0),
        (DIRECT + "openai/gpt-4o-mini", None, 1000 * 0.15e-6 + 100 * 0.6e-6),
        (DIRECT + "openai/gpt-4o-mini", {"input": 3.0, "output": 15.0}, 1000 * 3e-6 + 100 * 15e-6),
        (DIRECT + "openai/unheard-of", None, None),
    ],
)
async def test_a_price_is_known_or_none(name: str, price: dict[str, float] | None, usd: float | None) -> None:
    async with raw_server(streamed(HELLO, STOP, delta({}, usage=REPORTED))) as server:
        usage = (await hear(model_of(spec(name, server.url, price=price)), asked(user("Hi")))).reply.usage
    assert not usage.estimated
    assert usage.usd == (usd if usd is None else pytest.approx(usd))


@pytest.mark.parametrize("name", OPENAI)
async def test_cached_and_reasoning_tokens_are_told(name: str) -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    async with raw_server(streamed(HELLO, STOP, delta({}, usage=REPORTED | details))) as server:
        usage = (await hear(model_of(spec(name, server.url)), asked(user("Hi")))).reply.usage
    assert (usage.cached_tokens, usage.reasoning_tokens) == (400, 60)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in its strictest mode, as a process of its own."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=root, check=False)


TWO_LOOPS = """
import asyncio, logging, sys, threading, warnings
warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
from auwgent.errors import ProviderError
from auwgent.models.base import ModelSpec
from tests.models.asking import asked, hear, model_of, user

ROUTES = [
    ("openai/gpt-4o-mini", "litellm"),
    ("openai/gpt-4o-mini", "direct"),
    ("anthropic/claude-sonnet-4-5", "litellm"),
    ("ollama_chat/llama3.1", "litellm"),
]

async def talk():
    for name, via in ROUTES:
        model = model_of(ModelSpec(name=name, api_key="sk-x", base_url=sys.argv[1], via=via))
        for stream in (True, False):
            heard = await hear(model, asked(user("Say hello"), stream=stream))
            assert heard.reply.text.startswith("Hello"), heard
            try:
                await hear(model, asked(user("Fail with 401"), stream=stream))
            except ProviderError as error:
                assert error.fault == "auth", error
        left = model.ask(asked(user("Say hello")))
        await anext(left)
        await left.aclose()

asyncio.run(talk())
asyncio.run(talk())
threads = [threading.Thread(target=lambda: asyncio.run(talk())) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
print("done")
"""


async def test_nothing_is_left_behind_by_several_loops_and_threads(aimock: Any) -> None:
    done = await asyncio.to_thread(run, TWO_LOOPS, aimock.url)
    assert (done.stdout, done.stderr) == ("done\n", "")


async def test_importing_the_model_does_not_import_litellm() -> None:
    code = "import sys, auwgent.models.catalog; print('litellm' in sys.modules, 'openai' in sys.modules)"
    assert (await asyncio.to_thread(run, code)).stdout == "False False\n"
