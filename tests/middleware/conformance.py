"""What every bundled middleware must do besides its own work. Its tests subclass `Conformance`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auwgent import AuwgentError, ConfigError, Runtime, auwgent
from auwgent.session import Session
from tests.support.aimock import Aimock, missing, running_aimock
from tests.support.bench import Bench, bench, calls, check_history, short

HELPER = {"Clerk": {"description": "Looks things up", "model": "clerk", "prompt": "You look things up."}}

SCRIPTS: dict[str, list[Any]] = {
    "main": [
        {"when": "ask the clerk", **calls("add", ("Clerk", {"input": "Look it up"}))},
        {"when": "ask the clerk", "result": "Found", "text": "The clerk: {result}"},
        {"when": "ask the clerk", "result": True, "text": "The clerk said nothing of use."},
        {"when": "", "text": "You said: {user}"},
    ],
    "clerk": [{"when": "", "text": "Found: forty-two."}, {"when": "", "result": True, "text": "Found it."}],
}


def add(a: int = 40, b: int = 2) -> int:
    """The sum."""
    return a + b


def at_work(*middleware: Any) -> Bench:
    """An agent with a tool and a helper. "Please ask the clerk" makes it use both; all else is echoed."""
    return bench(SCRIPTS, middleware=middleware, tools=[add], helpers=HELPER)


@asynccontextmanager
async def closing(*middleware: Any) -> AsyncIterator[None]:
    """Closes middleware that has opened itself."""
    try:
        yield
    finally:
        for one in middleware:
            if hasattr(one, "close"):
                await one.close()


class Conformance:
    """Streaming is like not streaming, helpers are included, failures are told, runs at once do not mix."""

    path: str  # as a config names it
    wrong: Sequence[tuple[Mapping[str, Any], str]]  # options, and a part of what is said of them

    def make(self, folder: Path) -> Any:
        """One that is at work."""
        raise NotImplementedError

    def make_failing(self, folder: Path) -> Any:
        """One whose hooks fail, since what it needs is not there."""
        raise NotImplementedError

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        """Each middleware has its own way to show it."""
        raise NotImplementedError

    def test_a_wrong_option_is_a_config_error_that_says_what_is_right(self) -> None:
        for options, words in self.wrong:
            with pytest.raises(ConfigError) as caught:
                auwgent({"middleware": [{"use": self.path, **options}], "agent": {"model": "scripted/echo"}})
            assert words in str(caught.value), options
            assert "middleware" in str(caught.value.problems[0].key), options
            assert "pydantic" not in str(caught.value)

    async def test_streaming_is_like_not_streaming(self, tmp_path: Path) -> None:
        shown = []
        for stream in (True, False):
            one = self.make(tmp_path / str(stream))
            async with closing(one):
                agent = at_work(one)
                session = Session()
                names: list[str] = []
                for words in ("Hello", "Please ask the clerk", "Please ask the clerk", "Bye"):
                    session = await agent.ask(words, stream=stream, session=session)
                    names += sorted(agent.names)  # calls of one message run side by side
                requests = [short(request.turns) for request in agent.requests()]
                said = [short(session.turns, name) for name in ("Main", "Clerk")]
                shown.append((said, names, requests))
                assert bool(agent.partials) is stream
        assert shown[0] == shown[1]

    async def test_a_failing_hook_ends_the_run_with_an_error_of_ours(self, tmp_path: Path) -> None:
        one = self.make_failing(tmp_path)
        async with closing(one):
            with pytest.raises(AuwgentError) as caught:
                await self._until_it_fails(at_work(one))
        check_history(caught.value.session.turns)

    async def test_a_failure_that_is_only_a_warning_lets_the_run_go_on(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = self.make_failing(tmp_path)
        async with closing(one):
            session = await self._until_it_fails(at_work({"use": one, "on_error": "warn"}))
        assert session.text == "You said: Last"
        assert "failed in" in caplog.text

    async def test_runs_at_once_do_not_mix(self, tmp_path: Path) -> None:
        one = self.make(tmp_path)
        async with closing(one):
            agent = at_work(one)
            words = [f"I am number {number}. Please ask the clerk" for number in range(8)]
            sessions = await asyncio.gather(
                *(agent.ask(said, user_id=f"user {number}") for number, said in enumerate(words))
            )
        for said, session in zip(words, sessions, strict=True):
            assert [turn.text for turn in session.turns if turn.role == "user" and turn.agent == "Main"] == [
                said
            ]
            assert session.text == "The clerk: Found: forty-two."
            check_history(session.turns)

    async def _until_it_fails(self, agent: Bench) -> Session:
        session = Session()
        for words in ("First", "Second", "Third", "Last"):
            session = await agent.ask(words, session=session)
        return session


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """A provider over HTTP."""
    if reason := missing():
        pytest.skip(reason)
    with running_aimock(tmp_path_factory.mktemp("aimock")) as server:
        yield server


def over_http(server: Aimock, test_id: str, *middleware: Any, **agent: Any) -> Any:
    """An agent whose model is asked over HTTP."""
    model = {
        "use": "openai/gpt-4o-mini",
        "base_url": server.url,
        "api_key": "a-key",
        "retries": 0,
        "headers": {"X-Test-Id": test_id},
    }
    return Runtime(
        {"middleware": list(middleware), "agent": {"model": "main", **agent}, "models": {"main": model}}
    )
