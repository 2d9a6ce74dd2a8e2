"""Whatever a provider does: a typed outcome, a valid history on disk, and a session that goes on in the next run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime, Session
from auwgent.errors import Fault, ProviderError
from tests.support.alone import alone as alone
from tests.support.raw_server import (
    STREAM_END,
    RawServer,
    Step,
    piece,
    raw_server,
    stream_head,
    unused_port,
    whole,
)
from tests.support.wires import WIRES, Called, Wire

pytestmark = [
    pytest.mark.process,
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

BOTH = [True, False]
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the default database will be."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


def answer(wire: Wire, streams: bool, text: str = "", *calls: Called) -> list[Step]:
    return wire.streamed(text, *calls) if streams else wire.whole(text, *calls)


async def say(
    text: str | None, wire: Wire, url: str, streams: bool, *tools: Callable[..., Any], timeout: float = 5
) -> tuple[Session, Events]:
    """A run of one and the same session on an agent just made, as after a restart.

    And the intents it had, but for each `model_call`.
    """
    model: dict[str, Any] = {"use": wire.model, "via": wire.via, "base_url": url, "api_key": "sk-x"}
    model |= {"retries": 0, "timeout": timeout}
    agent = Runtime({"agent": {"model": "main", "tools": list(tools)}, "models": {"main": model}})
    seen: Events = []
    async with agent, aclosing(agent.stream(text, session_id="s", whole=not streams)) as stream:
        async for intent in stream:
            if not intent.partial and intent.name != "model_call":
                seen.append((intent.name, intent.value))
        assert stream.session is not None
        return stream.session, seen


async def goes_on(wire: Wire, server: RawServer, streams: bool, *tools: Callable[..., Any]) -> Session:
    """The next run: the provider is well again, and takes the history as it is."""
    server.answers = [answer(wire, streams, "Well again.")]
    session, _ = await say("And now?", wire, server.url, streams, *tools)
    assert session.text == "Well again."
    assert_valid(session)
    wire.check(server.requests[-1].body)
    said = json.dumps(server.requests[-1].body)
    assert "How are you?" in said
    assert "And now?" in said
    return session


def assert_valid(session: Session) -> None:
    """Each call has exactly one result, before anybody else speaks; it is what the database gives back, too."""
    turns = Session.model_validate(session.model_dump(mode="json")).turns
    assert turns[0].role == "user"
    assert len({turn.id for turn in turns}) == len(turns)
    called = [call.id for turn in turns for call in turn.tool_calls or ()]
    assert called == [turn.tool_call_id for turn in turns if turn.role == "tool"]
    assert len(set(called)) == len(called)
    for one, other in pairwise(turns):
        assert (other.role == "tool") <= (one.role == "tool" or bool(one.tool_calls))


def refused(status: int, message: str = "no", **headers: str) -> Callable[[Wire], Sequence[Step]]:
    return lambda wire: wire.refusal(status, message, **headers)


PAGE = "<html><body>It works!</body></html>"
Answer = Callable[[Wire], Sequence[Step]]

BEFORE: dict[str, tuple[Answer, Fault, int | None, float | None]] = {
    "429": (refused(429), "rate_limit", 429, None),
    "429 with Retry-After": (refused(429, Retry_After="7"), "rate_limit", 429, 7.0),
    "500": (refused(500), "unavailable", 500, None),
    "502": (refused(502), "unavailable", 502, None),
    "503": (refused(503), "unavailable", 503, None),
    "529": (refused(529), "unavailable", 529, None),
    "400": (refused(400, "tools.0: no"), "bad_request", 400, None),
    "422": (refused(422, "tools.0: no"), "bad_request", 422, None),
    "content policy": (refused(400, "against our content policy"), "filtered", 400, None),
    "quota": (refused(429, "you exceeded your current quota"), "rate_limit", 429, None),
    "402": (refused(402), "auth", 402, None),
    "408": (refused(408), "timeout", 408, None),
    "401": (refused(401), "auth", 401, None),
    "403": (refused(403), "auth", 403, None),
    "404": (refused(404), "not_found", 404, None),
    "context overflow": (refused(400, "prompt is too long: 9 tokens > 8 maximum"), "context", 400, None),
    "reset": (lambda wire: ["reset"], "unavailable", None, None),
    "silence": (lambda wire: [0.001, 60.0], "timeout", None, None),
    "a web page": (lambda wire: [whole(PAGE, content_type="text/html")], "protocol", None, None),
}
IN_THE_STREAM: dict[str, tuple[Answer, Fault, str]] = {
    "reset after the head": (lambda wire: [stream_head(), 0.05, "reset"], "unavailable", ""),
    "reset": (lambda wire: [*wire.begun("Half a"), 0.05, "reset"], "broken_stream", "Half a"),
    "clean end": (lambda wire: [*wire.begun("Half a"), STREAM_END], "broken_stream", "Half a"),
    "half an event": (
        lambda wire: [*wire.begun("Half a"), piece('data: {"id": "c", "cho'), STREAM_END],
        "broken_stream",
        "Half a",
    ),
    "silence": (lambda wire: [*wire.begun("Half a"), 60.0], "timeout", "Half a"),
}


async def fails(wire: Wire, url: str, streams: bool, fault: str = "") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await say("How are you?", wire, url, streams, timeout=0.5 if fault == "silence" else 5)
    error = caught.value
    assert (error.provider, error.model) == (wire.model.partition("/")[0], wire.model)
    assert_valid(error.session)
    return error


@pytest.mark.clock
@pytest.mark.parametrize("streams", BOTH, ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_a_failed_call_is_typed_and_the_session_goes_on(
    here: Path, wire: Wire, fault: str, streams: bool
) -> None:
    make, expected, status, retry_after = BEFORE[fault]
    began = time.monotonic()
    async with raw_server(make(wire)) as server:
        error = await fails(wire, server.url, streams, fault)
        assert (error.fault, error.status, error.retry_after) == (expected, status, retry_after)
        assert time.monotonic() - began < 30, "the silence would have lasted 60 s"
        assert len(server.requests) == 1
        session = await goes_on(wire, server, streams)
    assert [turn.text for turn in session.turns] == ["How are you?", "And now?", "Well again."]
    assert (here / ".auwgent" / "sessions.db").exists()


@pytest.mark.parametrize("streams", BOTH, ids=["streamed", "whole"])
async def test_a_refused_connection_is_typed_and_the_session_goes_on(
    here: Path, wire: Wire, streams: bool
) -> None:
    error = await fails(wire, f"http://127.0.0.1:{unused_port()}", streams)
    assert (error.fault, error.status, error.retryable) == ("unavailable", None, True)
    async with raw_server([]) as server:
        await goes_on(wire, server, streams)


@pytest.mark.parametrize("fault", IN_THE_STREAM)
async def test_a_broken_stream_is_typed_and_what_was_said_is_kept(here: Path, wire: Wire, fault: str) -> None:
    make, expected, heard = IN_THE_STREAM[fault]
    async with raw_server(make(wire)) as server:
        error = await fails(wire, server.url, True, fault)
        assert (error.fault, error.retryable) == (expected, True)
        session = await goes_on(wire, server, True)
    said = [turn.text for turn in session.turns if turn.role == "assistant"]
    assert said == ([heard] if heard else []) + ["Well again."]


@pytest.mark.parametrize("end", ["reset", STREAM_END], ids=["reset", "clean end"])
@pytest.mark.parametrize("arguments", ['{"city": "Par', '{"city": "Paris"}'], ids=["cut off", "whole"])
async def test_a_call_in_a_broken_stream_is_never_made(
    here: Path, wire: Wire, arguments: str, end: Step
) -> None:
    weather = Weather()
    if not wire.can_say(arguments, streams=True):
        return
    steps = wire.streamed("", Called("get_weather", arguments))
    until = next(at for at, step in enumerate(steps) if isinstance(step, bytes) and b"city" in step)
    async with raw_server([*steps[: until + 1], 0.05, end]) as server:
        with pytest.raises(ProviderError) as caught:
            await say("How are you?", wire, server.url, True, weather.get_weather)
        assert caught.value.fault == "broken_stream"
        assert_valid(caught.value.session)
        session = await goes_on(wire, server, True, weather.get_weather)
    assert weather.asked == []
    assert [turn.text for turn in session.turns] == ["How are you?", "And now?", "Well again."]


ARGUMENTS = {
    "unparsable": '{"city": "Par',
    "empty": "",
    "null": "null",
    "a list": '["Paris"]',
    "a number": "7",
    "two unlike": '{"city": "Paris"}{"city": "Rome"}',
    "double-braced": '{{"city": "Paris"}}',
}


class Weather:
    """A tool that counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_weather(self, city: str) -> str:
        """The weather of a city."""
        self.asked.append(city)
        return f"sunny in {city}"


async def reads_of(wire: Wire, streams: bool, *calls: Called) -> tuple[Weather, Events, list[str], Session]:
    """A run in which the model calls so: the tool, the intents, what the model then read, and the session."""
    weather = Weather()
    turns = answer(wire, streams, "", *calls), answer(wire, streams, "I see.")
    async with raw_server(*turns) as server:
        session, seen = await say("How are you?", wire, server.url, streams, weather.get_weather)
        assert session.text == "I see."
        assert_valid(session)
        assert len(server.requests) == 2
        wire.check(server.requests[1].body)
        read = wire.results(server.requests[1].body)
        await goes_on(wire, server, streams, weather.get_weather)
    return weather, seen, read, session


def called_with(arguments: dict[str, str]) -> list[Any]:
    """Each wire, streamed and whole; in a whole answer of Anthropic's, arguments are JSON by its form."""
    return [
        pytest.param(wire, streams, text, id=f"{wire}-{how}-{name}")
        for wire in WIRES
        for streams, how in ((True, "streamed"), (False, "whole"))
        for name, text in arguments.items()
        if wire.can_say(text, streams=streams)
    ]


@pytest.mark.parametrize(("wire", "streams", "arguments"), called_with(ARGUMENTS))
async def test_odd_arguments_are_told_to_the_model_and_never_run(
    here: Path, wire: Wire, streams: bool, arguments: str
) -> None:
    weather, seen, read, _ = await reads_of(wire, streams, Called("get_weather", arguments))
    assert weather.asked == []
    assert [name for name, _ in seen] == ["tool_error", "response_text"]
    [told] = read
    assert seen[0][1]["tool"] == "get_weather"
    assert json.dumps(seen[0][1]["message"])[1:-1] in json.dumps(told) + told


@pytest.mark.parametrize(
    ("wire", "streams", "arguments"), called_with({"doubled": '{"city": "Paris"}{"city": "Paris"}'})
)
async def test_arguments_written_twice_are_read_and_the_call_is_made_once(
    here: Path, wire: Wire, streams: bool, arguments: str
) -> None:
    weather, seen, read, session = await reads_of(wire, streams, Called("get_weather", arguments))
    assert weather.asked == ["Paris"]
    assert [name for name, _ in seen] == ["tool_call", "tool_result", "response_text"]
    [told] = read
    assert "sunny in Paris" in told
    [call] = [call for turn in session.turns for call in turn.tool_calls or ()]
    assert call.args == {"city": "Paris"}


@pytest.mark.parametrize("streams", BOTH, ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "ids", [("same", "same"), (None, None), ("", "")], ids=["duplicate", "missing", "empty"]
)
async def test_calls_with_one_id_or_none_have_a_result_each(
    here: Path, wire: Wire, ids: tuple[str | None, str | None], streams: bool
) -> None:
    calls = [
        Called("get_weather", json.dumps({"city": city}), one)
        for city, one in zip(("Paris", "Rome"), ids, strict=True)
    ]
    if ids == (None, None) and str(wire) == "anthropic":
        async with raw_server(answer(wire, streams, "", *calls)) as server:
            error = await fails(wire, server.url, streams)
            assert error.fault == "protocol", "LiteLLM cannot read it"
            await goes_on(wire, server, streams)
        return
    weather, _, read, session = await reads_of(wire, streams, *calls)
    is_old = tuple(map(int, version("litellm").split(".")[:2])) < (1, 110)
    if is_old and str(wire) == "responses" and ids == ("same", "same") and not streams:
        # These LiteLLMs put the two together: what comes out is no call's arguments, so nothing is run.
        assert weather.asked == []
        assert "the arguments are not a JSON object" in read[0]
        return
    assert sorted(weather.asked) == ["Paris", "Rome"]
    assert len(read) == 2
    assert "sunny in Paris" in read[0]
    assert "sunny in Rome" in read[1]
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == ["ok", "ok"]


@pytest.mark.parametrize("streams", BOTH, ids=["streamed", "whole"])
async def test_a_tool_that_does_not_exist_is_told_to_the_model(here: Path, wire: Wire, streams: bool) -> None:
    weather, seen, read, _ = await reads_of(wire, streams, Called("get_wether", '{"city": "Paris"}'))
    assert weather.asked == []
    assert [name for name, _ in seen] == ["tool_error", "response_text"]
    assert "did you mean `get_weather`" in read[0]


@pytest.mark.filterwarnings(
    "ignore:Sending a large body:ResourceWarning"
)  # by LiteLLM, and not usually shown
@pytest.mark.parametrize("streams", BOTH, ids=["streamed", "whole"])
async def test_ten_megabytes_are_said_kept_and_sent_again(here: Path, wire: Wire, streams: bool) -> None:
    text = "It was a dark and stormy night. " * (10 * 2**20 // 32)
    async with raw_server(answer(wire, streams, text)) as server:
        session, _ = await say("How are you?", wire, server.url, streams, timeout=30)
        assert session.text == text
        session = await goes_on(wire, server, streams)
    assert session.turns[1].text == text


@pytest.mark.clock
async def test_a_slow_drip_is_no_silence(here: Path, wire: Wire) -> None:
    parts = wire.streamed("Slow.")
    drip: list[Step] = [step for part in parts for step in (part, 1.2 / len(parts))]
    async with raw_server(drip) as server:
        began = time.monotonic()
        session, _ = await say("How are you?", wire, server.url, True, timeout=0.8)
        assert time.monotonic() - began > 0.8
        assert session.text == "Slow."
        await goes_on(wire, server, True)


@pytest.mark.parametrize("fault", ["429", "401", "context overflow"])
async def test_what_fails_behind_a_tool_leaves_the_tool_done(here: Path, wire: Wire, fault: str) -> None:
    weather = Weather()
    calls = wire.streamed("", Called("get_weather", '{"city": "Paris"}'))
    async with raw_server(calls, BEFORE[fault][0](wire)) as server:
        with pytest.raises(ProviderError):
            await say("How are you?", wire, server.url, True, weather.get_weather)
        server.answers = [wire.streamed("It is sunny.")]
        session, _ = await say(None, wire, server.url, True, weather.get_weather)
        assert session.text == "It is sunny."
        wire.check(server.requests[-1].body)
        assert "sunny in Paris" in wire.results(server.requests[-1].body)[0]
        await goes_on(wire, server, True, weather.get_weather)
    assert weather.asked == ["Paris"]
