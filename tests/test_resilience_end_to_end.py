"""Two providers, of which one fails: who answers, who is told of it, and what is never done twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime, Session
from auwgent.errors import ProviderError
from tests.support.alone import alone as alone
from tests.support.command import Command
from tests.support.raw_server import RawServer, Step, raw_server
from tests.support.wires import Anthropic, Called, OpenAI

pytestmark = [
    pytest.mark.process,
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

ONE, OTHER = OpenAI(), Anthropic()
DOWN = ONE.refusal(503, "overloaded")
CALL = Called("count", "{}")


class Counter:
    """A tool that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        """Count one on."""
        self.calls += 1
        return self.calls


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """The tool, and an empty folder, in which the default database will be."""
    monkeypatch.chdir(tmp_path)
    return Counter()


@asynccontextmanager
async def servers(
    one: list[list[Step]], other: list[list[Step]]
) -> AsyncIterator[tuple[RawServer, RawServer]]:
    """OpenAI's with these answers, and Anthropic's."""
    async with raw_server(*one) as first, raw_server(*other) as second:
        yield first, second


def config(one: RawServer, other: RawServer | None, retries: int = 0, **more: Any) -> dict[str, Any]:
    """An agent on the first; the second one, if there is one, stands in for it."""
    main = {"use": ONE.model, "base_url": one.url, "api_key": "sk-one", "retries": retries}
    models = {"main": main}
    if other is not None:
        models["spare"] = {"use": OTHER.model, "base_url": other.url, "api_key": "sk-other", "retries": 0}
        main["fallbacks"] = ["spare"]
    return {"agent": {"model": "main", **more}, "models": models}


async def heard(agent: Any, text: str) -> tuple[Session, list[tuple[str, Any]]]:
    """A run of one and the same session, and its whole intents but for each `model_call`."""
    async with aclosing(agent.stream(text, session_id="s")) as stream:
        whole = [(intent.name, intent.value) async for intent in stream if not intent.partial]
        return stream.session, [(name, value) for name, value in whole if name != "model_call"]


@pytest.mark.parametrize("status", [429, 503])
async def test_it_is_told_who_failed_and_who_has_answered(counter: Counter, status: int) -> None:
    async with servers([ONE.refusal(status, "busy")], [OTHER.streamed("Hello.")]) as (one, other):
        async with Runtime(config(one, other)) as agent:
            session, seen = await heard(agent, "Hi")
        [(name, told), answer] = seen
        assert name == "model_retry"
        assert (told["failed"], told["model"], told["wait"]) == (ONE.model, OTHER.model, 0.0)
        assert f"(HTTP {status}) The provider says: busy" in told["reason"]
        assert answer == ("response_text", {"text": "Hello."})
        assert [turn.model for turn in session.turns] == [None, OTHER.model]
        assert (len(one.requests), len(other.requests)) == (1, 1)
        assert one.requests[0].headers["authorization"] == "Bearer sk-one"
        assert other.requests[0].headers["x-api-key"] == "sk-other"


async def test_a_failed_model_is_passed_over_in_the_next_run(counter: Counter) -> None:
    async with servers([DOWN], [OTHER.streamed("Hello.")]) as (one, other):
        async with Runtime(config(one, other)) as agent:
            await heard(agent, "Hi")
            session, seen = await heard(agent, "And again")
        assert [name for name, _ in seen] == ["response_text"]
        assert (len(one.requests), len(other.requests)) == (1, 2)
        assert session.turns[-1].model == OTHER.model


async def test_it_is_asked_again_when_its_cooldown_is_over(counter: Counter) -> None:
    async with servers([DOWN, ONE.streamed("Back.")], [OTHER.streamed("Hello.")]) as (one, other):
        parts = config(one, other)
        parts["models"]["main"]["cooldown"] = 0.1
        async with Runtime(parts) as agent:
            await heard(agent, "Hi")
            await asyncio.sleep(0.15)
            session, _ = await heard(agent, "And again")
    assert [turn.model for turn in session.turns] == [None, OTHER.model, None, ONE.model]


async def test_a_retry_is_told_with_its_wait(counter: Counter) -> None:
    busy = ONE.refusal(429, "busy", Retry_After="0.4")
    async with (
        raw_server(busy, ONE.streamed("Hello.")) as one,
        Runtime(config(one, None, retries=1)) as agent,
    ):
        session, seen = await heard(agent, "Hi")
    assert [name for name, _ in seen] == ["model_retry", "response_text"]
    assert (seen[0][1]["failed"], seen[0][1]["model"]) == (ONE.model, ONE.model)
    assert seen[0][1]["wait"] >= 0.4
    assert session.text == "Hello."


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_would_fail_again_is_neither_repeated_nor_handed_on(counter: Counter, status: int) -> None:
    async with servers([ONE.refusal(status, "no")], [OTHER.streamed("Hello.")]) as (one, other):
        async with Runtime(config(one, other, retries=2)) as agent:
            with pytest.raises(ProviderError):
                await heard(agent, "Hi")
        assert (len(one.requests), len(other.requests)) == (1, 0)


async def test_nothing_is_repeated_once_something_was_shown(counter: Counter) -> None:
    broken = [*ONE.begun("Half a"), 0.05, "reset"]
    async with servers([broken], [OTHER.streamed("Hello.")]) as (one, other):
        async with Runtime(config(one, other, retries=2)) as agent:
            with pytest.raises(ProviderError) as caught:
                await heard(agent, "Hi")
        assert caught.value.fault == "broken_stream"
        assert (len(one.requests), len(other.requests)) == (1, 0)
    assert caught.value.session.text == "Half a"


async def test_a_finished_tool_is_not_repeated_by_a_retry(counter: Counter) -> None:
    async with servers([ONE.streamed("", CALL), DOWN, ONE.streamed("One.")], []) as (one, _):
        async with Runtime(config(one, None, retries=1, tools=[counter.count])) as agent:
            session, seen = await heard(agent, "Count")
        ONE.check(one.requests[-1].body)
        assert ONE.results(one.requests[-1].body) == ["1"]
    assert [name for name, _ in seen] == ["tool_call", "tool_result", "model_retry", "response_text"]
    assert (session.text, counter.calls) == ("One.", 1)


async def test_a_finished_tool_is_not_repeated_by_a_fallback(counter: Counter) -> None:
    async with servers([ONE.streamed("", CALL), DOWN], [OTHER.streamed("One.")]) as (one, other):
        async with Runtime(config(one, other, tools=[counter.count])) as agent:
            session, _ = await heard(agent, "Count")
        OTHER.check(other.requests[0].body)
        assert len(OTHER.results(other.requests[0].body)) == 1
    assert [turn.model for turn in session.turns] == [None, ONE.model, None, OTHER.model]
    assert (session.text, counter.calls) == ("One.", 1)


class Force:
    """Forces another start, once."""

    def __init__(self, start: str, on_ctx: Callable[[Any], None] = lambda ctx: None) -> None:
        self.start, self.on_ctx = start, on_ctx

    def onError(self, error: Exception, session: Session, ctx: Any) -> dict[str, str] | None:
        if ctx.get("forced"):
            return None
        ctx["forced"] = True
        self.on_ctx(ctx)
        return {"forceStart": self.start}


@pytest.mark.parametrize("start", ["llm_start", "run_start"])
async def test_a_finished_tool_is_not_repeated_by_a_forced_start(counter: Counter, start: str) -> None:
    def move(ctx: Any) -> None:
        ctx.model, ctx.url, ctx.apiKey = OTHER.model, other.url, "sk-hook"

    answers = [ONE.streamed("", CALL), ONE.refusal(401, "no")]
    async with servers(answers, [OTHER.streamed("One.")]) as (one, other):
        parts = config(one, None, tools=[counter.count])
        parts["middleware"] = ["auwgent.middleware.SQLModelSessions", Force(start, move)]
        async with Runtime(parts) as agent:
            session, _ = await heard(agent, "Count")
        OTHER.check(other.requests[0].body)
        assert len(OTHER.results(other.requests[0].body)) == 1
        assert other.requests[0].headers["x-api-key"] == "sk-hook"
        assert "sk-one" not in json.dumps(other.requests[0].headers)
    assert (session.text, counter.calls) == ("One.", 1)


FILE = """
[agent]
model = "main"

[models.main]
use = "{one}"
base_url = "{one_url}"
api_key = "sk-one"
retries = 0
fallbacks = ["spare"]

[models.spare]
use = "{other}"
base_url = "{other_url}"
api_key = "sk-other"
"""


async def test_the_command_tells_it_on_one_quiet_line_and_as_json(tmp_path: Path) -> None:
    command = Command(tmp_path, litellm=True)
    async with servers([DOWN], [OTHER.streamed("Hello.")]) as (one, other):
        text = FILE.format(one=ONE.model, one_url=one.url, other=OTHER.model, other_url=other.url)
        (tmp_path / "auwgent.toml").write_text(text)
        plain, quiet, lines = await asyncio.gather(
            asyncio.to_thread(command, "run", "-s", "plain", "Hi"),
            asyncio.to_thread(command, "run", "-s", "quiet", "-q", "Hi"),
            asyncio.to_thread(command, "run", "-s", "json", "--json", "Hi"),
        )
        stored = await asyncio.to_thread(command, "sessions", "show", "json", "--json")
    assert (plain.returncode, plain.stdout) == (0, "Hello.\n")
    [note] = plain.stderr.splitlines()
    assert note.startswith(f"↻ {ONE.model} failed, asking {OTHER.model}: ")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "Hello.\n", "")
    events = [json.loads(line) for line in lines.stdout.splitlines()]
    [told] = [event for event in events if event.get("name") == "model_retry"]
    assert (told["value"]["failed"], told["value"]["model"]) == (ONE.model, OTHER.model)
    assert (events[-1]["event"], events[-1]["text"]) == ("run", "Hello.")
    assert [turn.get("model") for turn in json.loads(stored.stdout)["turns"]] == [None, OTHER.model]
