"""What a session tells after a run beside its data: the answer as an object, what it used, how the run stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from auwgent import ProviderError, RunFailed, Runtime, Session, auwgent
from auwgent.middleware import SQLModelSessions
from tests.support.bench import asks_helper


class Report(BaseModel):
    title: str
    score: int


class Refusal(BaseModel):
    reason: str


GOOD = json.dumps({"title": "T", "score": 3})
COST = {"input": 1_000_000.0, "output": 0.0}


def config(output: Any, *replies: Any, store: str | None = None, **more: Any) -> Any:
    """A config on the scripted model, with a store where a URL is given."""
    model = {"use": "scripted/main", "retries": 0, "price": COST, "params": {"replies": list(replies)}}
    agent = {"model": "main"} | ({} if output is None else {"output": output}) | more.pop("agent", {})
    middleware = [] if store is None else [SQLModelSessions(store)]
    return {"middleware": middleware, "agent": agent, "models": {"main": model}, **more}


async def test_the_output_of_a_session_is_an_instance_of_the_agents_model() -> None:
    session = await Runtime(config(Report, GOOD)).run("Hi")
    assert session.output == Report(title="T", score=3)
    assert session.text == GOOD


async def test_of_several_models_the_output_is_of_the_one_that_fits() -> None:
    answer = json.dumps({"type": "Refusal", "response": {"reason": "no"}})
    assert (await Runtime(config([Report, Refusal], answer)).run("Hi")).output == Refusal(reason="no")


@pytest.mark.parametrize(
    ("output", "answer"),
    [(None, "Hello"), ({"type": "object", "properties": {"title": {"type": "string"}}}, '{"title": "T"}')],
)
async def test_without_a_model_there_is_no_output(output: Any, answer: str) -> None:
    session = await Runtime(config(output, answer)).run("Hi")
    assert session.output is None
    assert session.text == answer


async def test_a_run_that_failed_has_no_output_and_tells_so(url: str) -> None:
    failing = {"error": {"status": 401, "message": "wrong key"}}
    agent = Runtime(config(Report, {"when": "again", **failing}, GOOD, store=url))
    async with agent:
        first = await agent.run("Hi", session_id="s")
        with pytest.raises(ProviderError) as failure:
            await agent.run("again", session_id="s")
        stored = await agent.store.get("", "s") if agent.store else None
    assert (first.status, first.output) == ("completed", Report(title="T", score=3))
    assert failure.value.session.status == "failed"
    assert (failure.value.session.output, failure.value.session.text) == (None, "")
    assert stored is not None
    assert (stored.status, stored.output, stored.pending) == ("failed", None, [])


async def test_a_run_that_is_known_by_its_id_tells_the_same_again(url: str) -> None:
    agent = auwgent(
        config(Report, {"when": "fail", "error": {"status": 401, "message": "k"}}, GOOD, store=url)
    )
    async with agent:
        first = await agent.run("Hi", session_id="s", run_id="r1")
        again = await agent.run("Hi", session_id="s", run_id="r1")
        with pytest.raises(ProviderError):
            await agent.run("fail", session_id="s", run_id="r2")
        with pytest.raises(RunFailed) as failure:
            await agent.run("fail", session_id="s", run_id="r2")
    assert again == first
    assert (again.output, again.status) == (first.output, "completed")
    assert failure.value.session.status == "failed"


async def test_without_a_store_the_status_is_empty() -> None:
    session = await Runtime(config(None, "Hello")).run("Hi")
    assert (session.status, session.pending) == ("", [])


async def test_a_session_tells_what_it_and_each_of_its_runs_used(url: str) -> None:
    agent = Runtime(config(None, "one", "two", store=url))
    async with agent:
        first = await agent.run("Hi", session_id="s", run_id="r1")
        second = await agent.run("Hi", session_id="s", run_id="r2")
    assert first.usage == first.usage_of("r1") == second.usage_of("r1")
    assert second.usage == second.usage_of("r1") + second.usage_of("r2")
    assert second.usage.usd is not None
    assert second.usage.usd > 0


async def test_a_helper_that_has_the_word_gives_its_own_output() -> None:
    clerk = {"description": "Reports", "model": "clerk", "output": Report, "handoff": "user"}
    models = {"clerk": {"use": "scripted/clerk", "params": {"replies": [GOOD]}}}
    model = {"use": "scripted/main", "params": {"replies": [asks_helper("Clerk")]}}
    given: Any = {
        "middleware": [],
        "agent": {"name": "Main", "model": "main", "helpers": ["Clerk"]},
        "helpers": {"Clerk": clerk},
        "models": {**models, "main": model},
    }
    session = await auwgent(given).run("Hi")
    assert session.stack in (["Main"], ["Main", "Clerk"])
    assert session.output in (None, Report(title="T", score=3))


async def test_a_session_that_goes_on_forgets_what_was_told_of_it() -> None:
    class Looks:
        seen: list[tuple[str, Any]]

        def onLLMStart(self, prompt: str, ctx: Any) -> None:
            self.seen = [(ctx.session.status, ctx.session.output)]

    looks = Looks()
    agent = Runtime(config(Report, GOOD, GOOD) | {"middleware": [looks]})
    first = await agent.run("Hi")
    await agent.run("Hi", session=first)
    assert looks.seen == [("", None)]
    assert first.output == Report(title="T", score=3)


async def test_a_notebook_shows_the_page_in_a_frame() -> None:
    session = await Runtime(config(None, 'Say "hi" & <b>bye</b>')).run("Hi")
    html = session._repr_html_() or ""
    assert html.startswith("<iframe")
    assert "<!doctype html>" in html.lower()
    inside = html.partition('srcdoc="')[2].partition('"')[0]
    assert "&amp;lt;b&amp;gt;" in inside
    assert len(repr(session)) < 80


INTERRUPTED = """
import asyncio, os, signal, sys, threading
from auwgent import auwgent

class Bell:
    def onLLMStart(self, prompt, ctx):
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()

async def main():
    agent = auwgent({config}, middleware=[Bell])
    try:
        agent.run_sync("Hi", session_id="s")
    except KeyboardInterrupt:
        print("stopped")

loop = asyncio.new_event_loop()  # as a kernel has it: one that does not handle SIGINT itself
loop.run_until_complete(main())
"""


@pytest.mark.process
def test_ctrl_c_in_a_notebook_ends_the_run_and_saves_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    slow = {"use": "scripted/main", "params": {"replies": [{"text": "never", "delay": 60}]}}
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": url}
    given: Any = {"middleware": [store], "agent": {"model": "main"}, "models": {"main": slow}}
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.replace("{config}", repr(given))],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr
    given |= {"models": {"main": {"use": "scripted/echo"}}}
    stored = auwgent(given).run_sync("and", session_id="s")
    assert isinstance(stored, Session)
    assert [turn.text for turn in stored.turns if turn.role == "user"] == ["Hi", "and"]
