"""The model in process, on its real weights. What it says is its own affair; how it behaves is ours."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import ConfigError, ProviderError
from auwgent.models.base import (
    CallPiece,
    ModelRequest,
    ModelSpec,
    OutputSpec,
    Piece,
    RawCall,
    Reply,
    TextPiece,
    ToolSpec,
)
from auwgent.models.local.engine import LocalModel
from auwgent.session import Media, Text, ToolCall, Turn
from tests.support.weights import smollm2, wheels

pytestmark = pytest.mark.process

__all__ = ["smollm2", "wheels"]

NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
ADD = ToolSpec("add", "Add two numbers.", {**NUMBERS, "required": ["a", "b"], "additionalProperties": False})
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
LONG = "Tell me a very long story about a dragon."


@pytest.fixture(autouse=True)
def _usual_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUWGENT_MODEL", raising=False)


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Iterator[LocalModel]:
    model = LocalModel(spec(smollm2))
    yield model
    asyncio.run(model.aclose())


def spec(path: Path | str, timeout: float = 60, **params: Any) -> ModelSpec:
    return ModelSpec(f"local/{path}", timeout=timeout, params={"temperature": 0, "max_tokens": 24, **params})


def user(text: str) -> Turn:
    return Turn(role="user", content=text)


async def ask(model: LocalModel, *turns: Turn, **more: Any) -> tuple[list[Piece], Reply]:
    pieces: list[Piece] = []
    async for piece in model.ask(ModelRequest("You are a helpful assistant.", turns, **more)):
        if isinstance(piece, Reply):
            return pieces, piece
        pieces.append(piece)
    raise AssertionError("no reply came")


async def refusal(model: LocalModel, *turns: Turn) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await ask(model, *(turns or (user("Hi"),)))
    assert str(caught.value).startswith(f"{model.spec.name}: ")
    assert "\n" not in str(caught.value)
    assert (caught.value.provider, caught.value.model) == ("local", model.spec.name)
    return caught.value


def mappings(path: Path) -> int:
    """How often this process has the file in its memory."""
    return Path("/proc/self/maps").read_text().count(str(path))


async def test_an_answer_streams_and_its_tokens_are_counted(model: LocalModel) -> None:
    pieces, reply = await ask(model, user("Give me three names for a cat."))
    assert len(pieces) > 5
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == reply.text
    assert (reply.model, reply.calls) == (model.spec.name, ())
    assert reply.finish_reason in ("stop", "length")
    assert reply.usage.input_tokens > 10
    assert 5 < reply.usage.output_tokens <= 24
    assert (reply.usage.usd, reply.usage.estimated) == (0.0, False)


async def test_without_streaming_the_reply_is_the_same(model: LocalModel) -> None:
    _, streamed = await ask(model, user("What is the capital of France?"))
    _, whole = await ask(model, user("What is the capital of France?"), stream=False)
    assert whole.text == streamed.text


async def test_the_history_reaches_the_model(model: LocalModel) -> None:
    _, short = await ask(model, user("Hi"))
    _, long = await ask(model, user("Hi"), Turn(role="assistant", content="Hello!"), user("Hi"))
    assert long.usage.input_tokens > short.usage.input_tokens + 5


async def test_a_fitting_tool_is_called_with_arguments_of_its_schema(model: LocalModel) -> None:
    pieces, reply = await ask(model, user("What is 17 plus 25?"), tools=[ADD])
    call = reply.calls[0]
    assert (call.name, reply.text, reply.finish_reason) == ("add", "", "tool_calls")
    assert {key: type(value) for key, value in json.loads(call.arguments).items()} == {"a": int, "b": int}
    assert isinstance(pieces[0], CallPiece)
    assert (pieces[0].index, pieces[0].id, pieces[0].name) == (0, call.id, "add")
    assert "".join(piece.arguments for piece in pieces if isinstance(piece, CallPiece)) == call.arguments
    turn = Turn(role="assistant", tool_calls=[ToolCall(id=call.id, name="add", args={"a": 17, "b": 25})])
    result = Turn(role="tool", content="42", tool_call_id=call.id, name="add")
    _, answer = await ask(model, user("What is 17 plus 25?"), turn, result, tools=[ADD])
    assert answer.text
    assert answer.calls == ()


async def test_arguments_that_were_cut_off_arrive_as_they_are(smollm2: Path) -> None:
    model = LocalModel(spec(smollm2, max_tokens=3))
    _, reply = await ask(model, user("Please add 17 and 25."), tools=[ADD])
    await model.aclose()
    assert reply.finish_reason == "length"
    assert reply.calls == (RawCall(reply.calls[0].id, "add", reply.raw, cut=True),)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(reply.raw)


async def test_a_structured_answer_has_its_shape(model: LocalModel) -> None:
    output = OutputSpec("Person", {**PERSON, "required": ["name", "age"]})
    _, reply = await ask(model, user("Alice is 31 years old."), output=output)
    assert {key: type(value) for key, value in json.loads(reply.text).items()} == {"name": str, "age": int}


async def test_a_conversation_longer_than_the_window_is_refused_in_clear_words(
    smollm2: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = LocalModel(spec(smollm2, n_ctx=256))
    error = await refusal(model, user("word " * 500))
    await model.aclose()
    assert error.fault == "context"
    assert re.search(r"has 5\d\d tokens, but the window is 256; begin a new session", str(error))
    assert capfd.readouterr() == ("", "")  # the engine itself would tell it too


@pytest.mark.parametrize(("params", "why"), [({"temperature": "hot"}, "temperature"), ({"stop": {1}}, "set")])
async def test_parameters_that_the_engine_refuses_are_explained(
    params: dict[str, Any], why: str, smollm2: Path
) -> None:
    model = LocalModel(spec(smollm2, **params))
    error = await refusal(model)
    await model.aclose()
    assert error.fault == "bad_request"
    assert why in str(error)
    assert "json.exception" not in str(error)


def test_engine_parameters_must_be_numbers() -> None:
    with pytest.raises(
        ConfigError, match=r"params\.n_ctx of model 'local/x' must be a whole number, not '4k'"
    ):
        LocalModel(spec("x", n_ctx="4k"))


async def test_silence_ends_with_the_time_out(smollm2: Path) -> None:
    model = LocalModel(spec(smollm2, timeout=0.001))
    error = await refusal(model, user("word " * 100))
    await model.aclose()
    assert (error.fault, error.retryable) == ("timeout", True)


@pytest.mark.clock
async def test_leaving_the_stream_stops_the_engine(smollm2: Path) -> None:
    endless, model = LocalModel(spec(smollm2, max_tokens=5000)), LocalModel(spec(smollm2, max_tokens=1))
    async with aclosing(_stream(endless)) as pieces:
        await anext(pieces)
    began = time.monotonic()
    await ask(model, user("Hi"))
    assert time.monotonic() - began < 10  # 5000 tokens take a minute
    for each in (endless, model):
        await each.aclose()


def _stream(model: LocalModel) -> Any:
    return model.ask(ModelRequest("", [user(LONG)]))


@pytest.mark.clock
@pytest.mark.parametrize("prompt", [LONG, "word " * 6000], ids=["while it speaks", "while it reads"])
async def test_a_cancelled_call_stops_the_engine(prompt: str, smollm2: Path) -> None:
    endless, model = LocalModel(spec(smollm2, max_tokens=5000)), LocalModel(spec(smollm2, max_tokens=1))
    await ask(model, user("Hi"))
    task = asyncio.create_task(ask(endless, user(prompt)))
    await asyncio.sleep(0.5)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.5
    await ask(model, user("Hi"))
    assert time.monotonic() - began < 10
    for each in (endless, model):
        await each.aclose()


async def test_several_at_once_get_an_answer_each(model: LocalModel) -> None:
    answers = await asyncio.gather(*(ask(model, user(f"Count to {number}.")) for number in range(4)))
    assert all(reply.text for _, reply in answers)


async def test_models_of_the_same_file_share_one_engine_until_the_last_is_closed(smollm2: Path) -> None:
    settings = {"n_ctx": 512}
    first, second = LocalModel(spec(smollm2, **settings)), LocalModel(spec(smollm2, seed=1, **settings))
    before = mappings(smollm2)
    await ask(first, user("Hi"))
    one = mappings(smollm2)
    await ask(second, user("Hi"))
    assert mappings(smollm2) == one > before
    await first.aclose()
    await first.aclose()
    await ask(second, user("Hi"))
    await second.aclose()
    assert mappings(smollm2) == before


def test_one_model_serves_one_event_loop_after_another(model: LocalModel) -> None:
    for _ in range(2):
        _, reply = asyncio.run(ask(model, user("Hi")))
        assert reply.text


async def test_no_port_is_opened_and_no_file_is_left(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)  # longer than the address of a socket may be
    for folder in (tmp_path, deep):
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        listening = _listening()
        model = LocalModel(spec(smollm2, n_ctx=512))
        await ask(model, user("Hi"))
        assert _listening() == listening
        with socket.create_server(("127.0.0.1", 0)):
            assert _listening() != listening  # it would have been seen
        assert not list(folder.glob("auwgent-*"))
        await model.aclose()


def _listening() -> set[str]:
    """Inodes of the TCP sockets that listen."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()]
    ours = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder itself was open until now
            ours.add(str(link.readlink()))
    return {columns[9] for columns in lines if columns[3] == "0A" and f"socket:[{columns[9]}]" in ours}


async def test_attached_media_is_refused_and_older_media_is_not(model: LocalModel) -> None:
    image = Turn(
        role="user", content=[Text(text="Hi"), Media(type="image", url="https://example.com/cat.png")]
    )
    error = await refusal(model, image)
    assert (error.fault, "text only" in str(error)) == ("bad_request", True)
    _, reply = await ask(model, image, Turn(role="assistant", content="A cat."), user("Hi"))
    assert reply.text


async def test_missing_weights_name_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUWGENT_CACHE", str(tmp_path))
    error = await refusal(LocalModel(spec("smollm2")))
    assert "`auwgent model pull` gets them (93 MB, once)" in str(error)
    assert (error.fault, error.retryable) == ("not_found", False)
    monkeypatch.setenv("AUWGENT_MODEL", str(tmp_path / "own.gguf"))
    error = await refusal(LocalModel(spec("smollm2")))
    assert f"AUWGENT_MODEL names {tmp_path / 'own.gguf'}, which is not a file" in str(error)


async def test_a_file_that_is_no_weights_is_named(tmp_path: Path, smollm2: Path) -> None:
    path = tmp_path / "x.gguf"
    assert "there is no file" in str(await refusal(LocalModel(spec(path))))
    path.write_text("<html>Not found</html>")
    assert f"{path} is not a GGUF file" in str(await refusal(LocalModel(spec(path))))
    with smollm2.open("rb") as whole:
        path.write_bytes(whole.read(3_000_000))
    error = await refusal(LocalModel(spec(path)))
    assert (error.fault, f"{path} cannot be loaded: it is not whole" in str(error)) == ("not_found", True)


async def test_after_a_failure_the_file_may_be_put_right(tmp_path: Path, smollm2: Path) -> None:
    model = LocalModel(spec(tmp_path / "x.gguf"))
    await refusal(model)
    (tmp_path / "x.gguf").symlink_to(smollm2)
    _, reply = await ask(model, user("Hi"))
    assert reply.text
    await model.aclose()


def test_check_tells_what_is_missing_without_loading_it(tmp_path: Path, smollm2: Path) -> None:
    before = mappings(smollm2)
    LocalModel(spec(smollm2)).check()
    assert mappings(smollm2) == before
    with pytest.raises(ProviderError, match="there is no file"):
        LocalModel(spec(tmp_path / "x.gguf")).check()


ASK = """
import asyncio, sys
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.local.engine import LocalModel
from auwgent.session import Turn

async def main():
    model = LocalModel(ModelSpec(f"local/{sys.argv[1]}", params={"max_tokens": 5000}))
    async for piece in model.ask(ModelRequest("", [Turn(role="user", content=sys.argv[2])])):
        print("piece", flush=True)

asyncio.run(main())
"""


def process(smollm2: Path, prompt: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK, str(smollm2), prompt],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.clock
def test_ctrl_c_stops_it_at_once(smollm2: Path) -> None:
    with process(smollm2, LONG) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "piece\n"
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert child.returncode == -signal.SIGINT
    assert told.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        ("ModuleNotFoundError('No module', name='xllamacpp')", "pip install 'auwgent[local]'"),
        ("ImportError('libgomp.so.1: cannot open shared object file')", "apt-get install libgomp1"),
        ("ImportError('bad ELF header')", "its engine cannot be loaded: bad ELF header"),
    ],
)
def test_an_engine_that_cannot_be_imported_says_what_helps(
    failure: str, advice: str, smollm2: Path, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"raise {failure}")
    with process(smollm2, "Hi", PYTHONPATH=str(tmp_path)) as child:
        _, told = child.communicate(timeout=30)
    last = told.rstrip().splitlines()[-1]
    assert last.startswith("auwgent.errors.ProviderError: local/")
    assert last.endswith(advice)
