"""Models of the user's own: by dotted path, as a class or an instance, with all that the table says beside it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auwgent import (
    AuwgentError,
    CallPiece,
    ConfigError,
    Model,
    ModelRequest,
    ProviderError,
    RawCall,
    ReasoningPiece,
    Reply,
    Runtime,
    TextPiece,
    Usage,
    auwgent,
)
from auwgent.models.scripted import ScriptedModel, scripted

CONFIG: dict[str, Any] = {"middleware": [], "agent": {"model": "main"}}


class Parrot(Model):
    """Says what it is told, a word at a time."""

    def __init__(self, greeting: str = "You said:") -> None:
        self.greeting = greeting
        self.asked: list[ModelRequest] = []
        self.closed = 0

    async def ask(self, request: ModelRequest) -> AsyncIterator[str]:
        self.asked.append(request)
        yield self.greeting
        for word in request.turns[-1].text.split():
            yield f" {word}"

    async def aclose(self) -> None:
        self.closed += 1


class Plain:
    """Without the base, and without a stream."""

    async def ask(self, request: ModelRequest) -> str:
        return request.turns[-1].text.upper()


def agent_with(use: Any, more: dict[str, Any] | None = None, **settings: Any) -> Any:
    return Runtime({**CONFIG, "models": {"main": {"use": use, **settings}}, **(more or {})})


@pytest.mark.parametrize(
    ("use", "settings", "said"),
    [
        (Parrot, {}, "You said: Hi there"),
        (Parrot, {"params": {"greeting": "So"}}, "So Hi there"),
        (Parrot("Well"), {}, "Well Hi there"),
        (Plain, {}, "HI THERE"),
        (Plain(), {}, "HI THERE"),
        (scripted("From a script"), {}, "From a script"),
        (ScriptedModel, {"params": {"replies": ["From params"]}}, "From params"),
    ],
)
async def test_a_class_or_an_instance_answers(use: Any, settings: dict[str, Any], said: str) -> None:
    async with agent_with(use, **settings) as agent:
        session = await agent.run("Hi there")
    assert session.text == said
    assert session.turns[-1].usage.estimated == (use is not Parrot or True)


async def test_an_agent_or_a_helper_may_hold_the_model_itself() -> None:
    parrot = Parrot()
    config = {
        "middleware": [],
        "agent": {"model": parrot},
        "helpers": {
            "Other": {"description": "Another", "model": parrot},
            "Third": {"description": "x", "model": Plain},
        },
    }
    async with Runtime(config) as agent:
        assert (await agent.run("Hi")).turns[-1].model == "Parrot/Parrot"
        assert sorted(agent.config.models) == ["Parrot", "Plain"]
    assert parrot.closed == 1
    async with Runtime({"middleware": [], "agent": {"model": Plain}}) as agent:
        assert (await agent.run("Hi")).text == "HI"


async def test_a_dotted_path_names_a_class(tmp_path: Path) -> None:
    (tmp_path / "mine_by_path.py").write_text(
        "class Mine:\n    def __init__(self, word='x'):\n        self.word = word\n"
        "    async def ask(self, request):\n        yield self.word\n"
    )
    file = tmp_path / "auwgent.toml"
    file.write_text(
        'middleware = []\n[agent]\nmodel = "m"\n[models.m]\nuse = "mine_by_path:Mine"\nparams = { word = "mine" }\n'
    )
    async with auwgent(file) as agent:
        session = await agent.run("Hi")
    assert (session.text, session.turns[-1].model) == ("mine", "Mine/m")


WRONG = """
class Mine:
    def __init__(self, word): pass
    async def ask(self, request): yield ""
class Breaks(Mine):
    def __init__(self, word): raise RuntimeError("out of words")
class NoModel: pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, as a process holds one module of a name."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "wrong_models.py").write_text(WRONG)
    return folder


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("foo", "`models.m.use` should be `provider/model`, not 'foo'"),
        ("no_such_module.Mine", "no such module"),
        ("wrong_models.Nine", "Mine"),
        ("wrong_models.NoModel", "'NoModel' is not a model: it has no method `ask`"),
        (
            "wrong_models.Mine",
            "'Mine' does not take these `params`: missing a required argument: 'word'; it takes word",
        ),
        (
            'wrong_models.Breaks"\nparams = { word = "a" }#',
            "'Breaks' could not be made: RuntimeError: out of words",
        ),
        ('wrong_models.Mine"\nparams = { wort = "a" }#', "it takes word"),
        ('wrong_models.Mine"\nword = "a"#', "unknown key `word`"),
        ("os.Mine", "standard library"),
        (
            'wrong_models.Mine"\nvia = "direct"\nparams = { word = "a" }#',
            "runs in this process: `via` means nothing",
        ),
    ],
)
def test_what_cannot_be_a_model_is_told_at_its_place(use: str, told: str, folder: Path) -> None:
    file = folder / "auwgent.toml"
    file.write_text(f'[agent]\nmodel = "m"\n[models.m]\nuse = "{use}"\n')
    with pytest.raises(ConfigError) as caught:
        auwgent(file).run_sync("Hi")
    [problem] = caught.value.problems
    assert told in f"{problem.message} {problem.hint}"
    assert problem.line in (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (5, "should be `provider/model`, or the dotted path of a class"),
        (None, "should be `provider/model`, or the dotted path of a class"),
        (object(), "'object' is not a model"),
        ({"a": 1}, "should be `provider/model`"),
    ],
)
def test_what_a_dict_holds_in_place_of_a_model_is_told(use: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        agent_with(use).run_sync("Hi")
    with pytest.raises(ConfigError):
        auwgent({"agent": {"model": use}}).run_sync("Hi")


def test_an_instance_takes_no_params() -> None:
    with pytest.raises(ConfigError, match="'Parrot' is an instance already"):
        agent_with(Parrot(), params={"greeting": "x"}).run_sync("Hi")


OBJECT: Any = {"a": 1, "b": 2}  # in place of a text: people write that


class Caller(Model):
    """Calls a tool, then tells its result, with a usage and a thought."""

    async def ask(self, request: ModelRequest) -> AsyncIterator[Any]:
        if request.turns[-1].role == "tool":
            yield ReasoningPiece("Hm.")
            yield Reply(
                text=f"It is {request.turns[-1].text}", usage=Usage(input_tokens=1000, output_tokens=10)
            )
        else:
            yield TextPiece("Let me see. ")
            yield Reply(calls=(RawCall("c1", "add", OBJECT), RawCall("c2", "add", '{"a": 3, "b": 4}')))


class Streamer(Model):
    """Streams two calls side by side."""

    async def ask(self, request: ModelRequest) -> AsyncIterator[Any]:
        if request.turns[-1].role == "tool":
            yield "done"
            return
        yield CallPiece(0, "a", "add", '{"a": 1')
        yield CallPiece(1, "b", "add")
        yield CallPiece(0, arguments=', "b": 1}')
        yield CallPiece(1, arguments='{"a": 2, "b": 2}')


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def test_calls_usage_and_price_count() -> None:
    more = {"agent": {"model": "main", "tools": [add]}}
    async with agent_with(Caller, more, price={"input": 2.0, "output": 0.0}) as agent:
        session = await agent.run("Hi")
    assert [turn.text for turn in session.turns if turn.role == "tool"] == ["3", "7"]
    assert session.turns[1].text == "Let me see. "
    last = session.turns[-1].usage
    assert (last.input_tokens, last.estimated, last.usd) == (1000, False, 0.002)


async def test_calls_may_be_streamed_in_pieces() -> None:
    async with agent_with(Streamer, {"agent": {"model": "main", "tools": [add]}}) as agent:
        session = await agent.run("Hi")
    assert [turn.text for turn in session.turns if turn.role == "tool"] == ["2", "4"]


class Failing(Model):
    """Fails as it is told to."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def ask(self, request: ModelRequest) -> AsyncIterator[Any]:
        if self.how == "slow":
            await asyncio.sleep(30)
        if self.how == "connection":
            raise ConnectionRefusedError("nobody is there")
        if self.how == "bug":
            json.loads("{")
        if self.how == "late":
            yield "Some words"
            raise ConnectionResetError("gone")
        if self.how == "odd":
            yield {"text": "x"}
        if self.how == "own":
            raise ProviderError(
                "Too busy", provider="mine", model="mine/x", fault="rate_limit", retryable=True
            )
        yield None


@pytest.mark.parametrize(
    ("how", "fault", "told"),
    [
        ("slow", "timeout", "Failing/main said nothing for 0.05 s"),
        ("connection", "unavailable", "could not be reached: ConnectionRefusedError: nobody is there"),
        ("bug", "protocol", "failed in `ask`: JSONDecodeError"),
        ("late", "broken_stream", "ConnectionResetError"),
        ("odd", "protocol", "it gave a dict; it may yield texts"),
        ("own", "rate_limit", "Too busy"),
    ],
)
async def test_every_failure_is_a_provider_error_with_its_session(how: str, fault: str, told: str) -> None:
    async with agent_with(Failing, params={"how": how}, timeout=0.05, retries=0) as agent:
        with pytest.raises(ProviderError) as caught:
            await agent.run("Hi")
    assert (caught.value.fault, caught.value.session.turns[0].text) == (fault, "Hi")
    assert told in str(caught.value)


async def test_a_fallback_is_asked_where_it_cannot_be_reached() -> None:
    models = {
        "main": {"use": Failing("connection"), "retries": 0, "fallbacks": ["spare"]},
        "spare": {"use": Parrot},
    }
    async with Runtime({**CONFIG, "models": models}) as agent:
        assert (await agent.run("Hi")).turns[-1].model == "Parrot/spare"


class Settings:
    """Puts settings on ctx for each call."""

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        ctx.config = {"temperature": 1}
        ctx.headers = {"X-A": "b"}


async def test_what_a_hook_sets_for_a_call_reaches_the_model() -> None:
    parrot = Parrot()
    async with agent_with(
        parrot, {"middleware": [Settings()]}, api_key="k-1234567", base_url="http://x"
    ) as agent:
        await agent.run("Hi")
    spec = parrot.asked[0].spec
    assert spec is not None
    assert (spec.params, spec.headers, spec.api_key, spec.base_url) == (
        {"temperature": 1},
        {"X-A": "b"},
        "k-1234567",
        "http://x",
    )


async def test_no_key_of_the_environment_goes_to_a_class_that_is_called_like_a_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class openai(Parrot):  # noqa: N801
        pass

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-another")
    model = openai()
    async with agent_with(model) as agent:
        await agent.run("Hi")
    assert model.asked[0].spec is not None
    assert model.asked[0].spec.api_key is None


async def test_a_model_without_a_price_cannot_keep_a_limit_of_money() -> None:
    with pytest.raises(ConfigError, match="no price is known for Parrot/main"):
        await agent_with(Parrot, {"limits": {"usd": 1.0}}).run("Hi")


async def test_a_structured_answer_comes_as_it_can() -> None:
    class Shaped(Model):
        keeps_schema = True

        async def ask(self, request: ModelRequest) -> AsyncIterator[str]:
            assert request.output is not None
            yield '{"sum": 42}'

    output = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    async with agent_with(Shaped, {"agent": {"model": "main", "output": output}}) as agent:
        assert json.loads((await agent.run("Hi")).text) == {"sum": 42}


async def test_leaving_early_stops_the_model() -> None:
    stopped = asyncio.Event()

    class Endless(Model):
        async def ask(self, request: ModelRequest) -> AsyncIterator[str]:
            try:
                while True:
                    yield "more "
                    await asyncio.sleep(0)
            finally:
                stopped.set()

    async with agent_with(Endless) as agent:
        async for _ in agent.stream("Hi"):
            break
        async with asyncio.timeout(5):
            await stopped.wait()


def test_a_bug_shows_the_users_own_traceback_as_the_cause() -> None:
    with pytest.raises(AuwgentError) as caught:
        agent_with(Failing, params={"how": "bug"}).run_sync("Hi")
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)
