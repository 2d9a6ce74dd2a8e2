"""What a run sets aside is written down before the request is sent: a run that died has spent it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from auwgent import LimitExceeded, Runtime
from tests.support.answering import Answer, provider
from tests.support.bench import Hook

PROGRAM = """
import asyncio, json, sys
from auwgent import auwgent
asyncio.run(auwgent(json.loads(sys.argv[1])).run("Hello", session_id="s", run_id="r"))
"""


def config(url: str, server: Any, **limits: float) -> dict[str, Any]:
    model = server.model(
        "openai/test", via="direct", price={"input": 2.0, "output": 10.0}, params={"max_tokens": 1000}
    )
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": url}
    return {"middleware": [store], "agent": {"model": "main"}, "models": {"main": model}, "limits": limits}


@pytest.mark.process
async def test_a_killed_run_has_spent_what_it_had_set_aside(tmp_path: Path) -> None:
    """A thousand tokens at ten dollars a million, and the input."""
    killed: list[Any] = []

    def reply(body: dict[str, Any]) -> Answer:
        killed.pop().kill()
        return Answer("Too late")

    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with provider(lambda body: reply(body) if killed else Answer("Here I am.")) as server:
        made = config(url, server, usd=0.0125)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, json.dumps(made))
        killed.append(process)
        assert await process.wait() == -9
        with connect(tmp_path / "sessions.db") as file:
            (progress,) = file.execute("SELECT progress FROM auwgent_runs").fetchone()
        assert 0.01 < json.loads(progress)["usd"] < 0.0125
        async with Runtime(made) as agent:
            with pytest.raises(LimitExceeded, match=r"`limits.usd` = 0.0125"):
                await agent.run("Hello", session_id="s", run_id="r")
        assert len(server.bodies) == 1


async def test_a_middleware_that_asks_while_it_saves_is_not_asked_to_save_again(tmp_path: Path) -> None:
    moments: list[str] = []

    async def save(session: Any, ctx: Any) -> None:
        moments.append(ctx["checkpoint"]["at"])
        if moments == ["llm_start"]:
            await ctx.ask("Is it fine?")

    async with provider(lambda body: Answer("Fine.")) as server:
        made = config(f"sqlite:///{tmp_path / 'sessions.db'}", server, usd=1.0)
        made["middleware"].append(Hook(onCheckpoint=save))
        async with Runtime(made) as agent:
            await asyncio.wait_for(agent.run("Hello"), 20)
    assert moments == ["llm_start", "set_aside"]
