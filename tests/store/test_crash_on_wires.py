"""A session whose process was killed in a tool call goes on with every wire format: what providers are then sent."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.models.peers import Peer, before
from tests.models.test_portability import BY_NAME, WIRES
from tests.support import killed
from tests.support.aimock import Aimock
from tests.support.aimock import aimock as aimock
from tests.support.alone import alone as alone

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

PROMPT = "Say hello, and pay"  # the provider server knows an answer to the first part
POINTS = {
    "tool:pay": ["unknown after a crash"],
    "tool:look": ["pay: done", "look: done"],  # idempotent: made again
}


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database for each point, whose owner is gone, and a log of what the tools did."""
    folder = tmp_path_factory.mktemp("crashed")
    for number, point in enumerate(POINTS):
        file = folder / f"{number}.db"
        killed.die_at(f"sqlite:///{file}", point, folder / f"{number}.log", "s", PROMPT)
        with closing(sqlite3.connect(file)) as connection:  # what it wrote is in that one file then
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.mark.parametrize("text", [None, "Say hello"], ids=["resumed", "next run"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", [name for name in WIRES if not name.startswith("deepseek")])
async def test_an_interrupted_session_goes_on(
    aimock: Aimock, crashed: Path, tmp_path: Path, name: str, point: str, text: str | None
) -> None:
    for kind in ("db", "log"):
        shutil.copy(crashed / f"{list(POINTS).index(point)}.{kind}", tmp_path / f"sessions.{kind}")
    peer, log = BY_NAME[name], tmp_path / "sessions.log"
    async with before(aimock, peer) as proxy:
        url = f"sqlite:///{tmp_path / 'sessions.db'}"
        async with killed.agent_on(url, "nowhere", log, model(peer, proxy.url)) as agent:
            session = await agent.run(text, session_id="s")
    assert session.text.startswith("Hello!")
    assert len(proxy.requests) == 1
    check(name, proxy.requests[0].body, POINTS[point])
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == [
        "unknown" if result.startswith("unknown") else "ok" for result in POINTS[point]
    ]
    assert log.read_text().split().count("pay") == 1


def model(peer: Peer, url: str) -> dict[str, Any]:
    """The peer as a table of [models]."""
    table = {
        "use": peer.model,
        "base_url": url,
        "api_key": peer.api_key,
        "params": dict(peer.params),
        "via": peer.via,
    }
    return {key: value for key, value in table.items() if value is not None}


def check(name: str, body: Any, results: list[str]) -> None:
    """Each call has exactly one result, of a form that this provider takes, and says what became of it."""
    wire, text = WIRES[name], json.dumps(body)
    assert len(wire.calls(body)) == len(wire.results(body)) == len(results)
    if wire.ids is not None:
        assert wire.calls(body) == wire.results(body)
        assert all(re.fullmatch(wire.ids, one) for one in wire.calls(body))
    assert wire.roles(body)[0] == "user"
    for result in results:
        assert text.count(result) == 1
