"""The scripted model: each request finds its reply by itself, and a script's mistakes are explained."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from auwgent.errors import ConfigError, ProviderError
from auwgent.models.base import CallPiece, ModelRequest, ModelSpec, Piece, ReasoningPiece, Reply, TextPiece
from auwgent.models.scripted import ScriptedModel, scripted
from auwgent.session import Turn


def user(text: str) -> Turn:
    return Turn(role="user", content=text)


def said(text: str = "…", model: str = "scripted/test") -> Turn:
    return Turn(role="assistant", content=text, model=model)


def result(text: str) -> Turn:
    return Turn(role="tool", content=text, tool_call_id="c1")


async def ask(
    model: ScriptedModel, *turns: Turn, system: str = "", stream: bool = True
) -> tuple[list[Piece], Reply]:
    pieces: list[Piece] = []
    async for piece in model.ask(ModelRequest(system, turns, stream=stream)):
        if isinstance(piece, Reply):
            return pieces, piece
        pieces.append(piece)
    raise AssertionError("no reply came")


async def text(model: ScriptedModel, *turns: Turn, system: str = "") -> str:
    _, reply = await ask(model, *turns, system=system)
    return reply.text


async def test_echo_repeats_the_user_word_by_word_for_ever() -> None:
    model = ScriptedModel(ModelSpec("scripted/echo"))
    pieces, reply = await ask(model, user("good  day"))
    assert pieces == [TextPiece("You"), TextPiece(" said:"), TextPiece(" good"), TextPiece("  day")]
    assert reply.text == "You said: good  day"
    assert reply.model == "scripted/echo"
    assert await text(model, user("a"), said(model="scripted/echo"), user("b")) == "You said: b"


async def test_replies_come_in_the_order_of_the_models_own_turns() -> None:
    model = scripted("one", "two")
    assert await text(model, user("a")) == "one"
    assert await text(model, user("a"), said("one"), user("b")) == "two"
    assert await text(model, user("a")) == "one"  # nothing is remembered: another run is not disturbed


async def test_turns_of_other_models_and_examples_do_not_count() -> None:
    example = Turn(role="assistant", content="example")
    assert await text(scripted("one"), user("a"), example, said("b", model="openai/gpt"), user("c")) == "one"


async def test_a_script_may_restart_with_each_input_or_repeat() -> None:
    history = (user("a"), said(), result("x"), said(), user("b"))
    assert await text(scripted("one", "two", restart=True), *history) == "one"
    assert await text(scripted("one", "two", repeat=True), *history) == "one"
    assert await text(scripted("one", "two", repeat=True), *history, said(), user("c")) == "two"


async def test_a_script_that_is_used_up_says_which_request_had_no_reply() -> None:
    with pytest.raises(
        ProviderError, match=r"no reply for request 2: it has 1 .* last text is 'and now\?'"
    ) as e:
        await text(scripted("one"), user("a"), said(), user("and now?"))
    assert (e.value.provider, e.value.model, e.value.fault) == ("scripted", "scripted/test", "bad_request")


async def test_conditions_make_a_script_without_positions() -> None:
    model = scripted(
        {"when": "Weather", "text": "I look it up.", "tool_calls": [{"name": "weather"}]},
        {"when": "weather", "result": "rain", "text": "Take an umbrella."},
        {"result": True, "text": "It is {result}."},
        {"system": "pirate", "text": "Arr!"},
        {"when": "again", "result": False, "text": "Again: {user}"},
        "Hello.",
    )
    asked = user("the weather, please")
    assert await text(model, asked) == "I look it up."
    assert await text(model, asked, said(), result("rain")) == "Take an umbrella."
    assert await text(model, asked, said(), result("fog"), result("sun")) == "It is sun."
    assert await text(model, user("hi"), system="You are a pirate.") == "Arr!"
    assert await text(model, user("again")) == "Again: again"
    assert await text(model, user("hi")) == "Hello."


async def test_tool_calls_stream_side_by_side_with_reasoning_first() -> None:
    calls = [{"name": "add", "args": {"a": 1, "b": "ü"}}, {"name": "add", "args": '{"a": ', "id": "mine"}]
    pieces, reply = await ask(
        scripted({"reasoning": "so so", "text": "Well.", "tool_calls": calls}), user("x")
    )
    assert pieces[:3] == [ReasoningPiece("so"), ReasoningPiece(" so"), TextPiece("Well.")]
    fragments = [piece for piece in pieces if isinstance(piece, CallPiece)]
    for index, call in enumerate(reply.calls):
        own = [piece for piece in fragments if piece.index == index]
        assert (own[0].id, own[0].name) == (call.id, call.name)
        assert "".join(piece.arguments for piece in own) == call.arguments
    assert json.loads(reply.calls[0].arguments) == {"a": 1, "b": "ü"}
    assert (reply.calls[1].id, reply.calls[1].arguments) == ("mine", '{"a": ')
    assert reply.finish_reason == "tool_calls"


async def test_call_ids_differ_between_the_messages_of_a_conversation() -> None:
    model = scripted({"tool_calls": [{"name": "f"}, {"name": "f"}]}, repeat=True)
    _, first = await ask(model, user("a"))
    _, second = await ask(model, user("b"))
    assert len({call.id for call in (*first.calls, *second.calls)}) == 4


@pytest.mark.parametrize("chunk", [1, 3, 100])
async def test_pieces_have_the_asked_size_and_make_up_the_text(chunk: int) -> None:
    words = "Two lines,\nand  spaces. "
    pieces, reply = await ask(scripted(words, chunk=chunk), user("x"))
    texts = [piece.text for piece in pieces if isinstance(piece, TextPiece)]
    assert "".join(texts) == reply.text == words
    assert all(len(piece) == chunk for piece in texts[:-1])


async def test_words_make_up_the_text_too() -> None:
    words = " Two lines,\nand  spaces. \n"
    pieces, reply = await ask(scripted(words), user("x"))
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == reply.text == words


async def test_without_streaming_there_is_the_reply_alone() -> None:
    pieces, reply = await ask(scripted("one two"), user("x"), stream=False)
    assert (pieces, reply.text) == ([], "one two")


async def test_braces_of_the_user_are_not_filled_in_again() -> None:
    assert await text(scripted("{user}"), user("{result}")) == "{result}"


async def test_usage_is_as_given_or_counted_and_priced() -> None:
    _, reply = await ask(scripted({"text": "x", "usage": {"input_tokens": 7, "usd": 0.5}}), user("x"))
    assert (reply.usage.input_tokens, reply.usage.usd, reply.usage.estimated) == (7, 0.5, False)
    spec = ModelSpec("scripted/x", params={"replies": ["y" * 8]}, price={"input": 1.0, "output": 2.0})
    _, reply = await ask(ScriptedModel(spec), user("z" * 40), system="s" * 40)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (20, 2)
    assert reply.usage.usd == pytest.approx(24e-6)
    assert reply.usage.estimated


@pytest.mark.parametrize(
    ("error", "fault", "retryable"),
    [
        ({"status": 401}, "auth", False),
        ({"status": 404}, "not_found", False),
        ({"status": 413}, "context", False),
        ({"status": 422}, "bad_request", False),
        ({"status": 429, "retry_after": 1.5}, "rate_limit", True),
        ({"status": 529}, "unavailable", True),
        ({}, "unavailable", True),
        ({"after": 1}, "broken_stream", True),
        ({"fault": "filtered"}, "filtered", False),
        ({"status": 500, "retryable": False}, "unavailable", False),
    ],
)
async def test_an_error_is_of_the_kind_its_status_says(
    error: dict[str, Any], fault: str, retryable: bool
) -> None:
    with pytest.raises(ProviderError, match="scripted/test: no luck") as caught:
        await text(scripted({"text": "x", "error": {"message": "no luck", **error}}), user("x"))
    found = caught.value
    assert (found.fault, found.retryable, found.status) == (fault, retryable, error.get("status"))
    assert found.retry_after == error.get("retry_after")


async def test_an_error_may_come_after_some_pieces() -> None:
    model = scripted({"text": "a b c", "error": {"after": 2}})
    stream = model.ask(ModelRequest("", [user("x")]))
    assert [await anext(stream), await anext(stream)] == [TextPiece("a"), TextPiece(" b")]
    with pytest.raises(ProviderError):
        await anext(stream)


async def test_an_error_may_pass_when_the_same_turns_are_asked_about_again() -> None:
    model = scripted({"text": "at last", "error": {"times": 2}}, repeat=True)
    one, other = user("x"), user("x")
    for turn in (one, other, one, other):
        with pytest.raises(ProviderError):
            await text(model, turn)
    assert await text(model, one) == "at last"
    assert await text(model, other) == "at last"


@pytest.mark.parametrize(
    "reply",
    [
        {"text": "a b", "delay": 5},
        {"text": "a b", "pause": float("inf")},
        {"text": "a b", "error": {"fault": "timeout", "after": 1}},
    ],
)
async def test_silence_ends_with_the_models_timeout(reply: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match="silent") as caught:
        await text(scripted(reply, timeout=0.02), user("x"))
    assert (caught.value.fault, caught.value.retryable) == ("timeout", True)


async def test_delay_and_pause_are_seconds() -> None:
    model = scripted({"text": "a b", "delay": 0.05, "pause": 0.05})
    began = monotonic()
    times = [began, *[monotonic() async for _ in model.ask(ModelRequest("", [user("x")]))]]
    first, second, _ = (after - before for before, after in pairwise(times))
    assert first >= 0.049
    assert second >= 0.049


async def test_a_silent_model_can_be_cancelled() -> None:
    task = asyncio.create_task(text(scripted({"text": "x", "delay": 50}), user("x")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_requests_are_kept_as_they_were() -> None:
    model = scripted("one")
    turns = [user("x")]
    async for _ in model.ask(ModelRequest("be kind", turns)):
        pass
    turns.append(said())
    assert [(request.system, len(request.turns)) for request in model.requests] == [("be kind", 1)]
    await model.aclose()


TOML = '[[replies]]\nwhen = "hi"\ntext = "Hello."\n'
JSON = json.dumps({"replies": [{"when": "hi", "text": "Hello."}]})


@pytest.mark.parametrize(("name", "content"), [("script.toml", TOML), ("script.json", JSON)])
async def test_a_script_may_be_a_file(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert await text(ScriptedModel(ModelSpec(f"scripted/{tmp_path / name}")), user("hi")) == "Hello."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_file_is_looked_for_in_the_working_directory_or_the_home(home: Path) -> None:
    (home / "script.toml").write_text(TOML)
    for name in ("script.toml", "~/script.toml"):
        assert await text(ScriptedModel(ModelSpec(f"scripted/{name}")), user("hi")) == "Hello."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read script\.toml: No such file"),
        ("replies = [", r"script\.toml is not valid toml"),
        ("answers = []", r"`replies` is missing"),
        ('replies = [{ tex = "x" }]', r"`replies\[0\]\.tex` is unknown"),
        ("replies = [{ error = { state = 1 } }]", r"`replies\[0\]\.error\.state` is unknown"),
    ],
)
def test_what_is_wrong_with_a_script_is_a_config_error(home: Path, content: str | None, message: str) -> None:
    if content is not None:
        (home / "script.toml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        ScriptedModel(ModelSpec("scripted/script.toml"))


def test_params_that_mean_nothing_to_a_script_do_no_harm() -> None:
    ScriptedModel(ModelSpec("scripted/echo", params={"temperature": 0.2}))
