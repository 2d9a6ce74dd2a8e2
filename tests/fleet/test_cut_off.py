"""A host whose cable is pulled, and put back in: before its claim, in a tool and in a model call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.fleet import Fleet
from tests.support.hosts import Host, hosts
from tests.support.postgres import running

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fleet, list[Host]]]:
    """A fleet without workers yet, and hosts for them."""
    monkeypatch.setenv("TOOL_SECONDS", "8")
    with hosts(2) as (address, found), running(address) as server:
        fleet = Fleet(server.url, tmp_path)
        fleet.path.write_text(fleet.path.read_text().replace("pause = 0.1", "pause = 0.2"))
        try:
            yield fleet, found
        finally:
            fleet.end()


async def test_a_host_that_is_cut_off_loses_and_doubles_nothing(places: tuple[Fleet, list[Host]]) -> None:
    fleet, (first, second) = places
    accepted = {"unclaimed": "s", "tool": "t", "model": "u"}
    async with fleet.agent() as agent:
        await agent.submit("buy", session_id="s", run_id="unclaimed")
        with psycopg.connect(fleet.url) as lock:  # who claims that run waits for its session
            lock.execute("SELECT 1 FROM auwgent_sessions WHERE id = 's' FOR UPDATE")
            cut = fleet.start(before=first.before)
            await agent.submit("buy", session_id="t", run_id="tool")
            await agent.submit("slow", session_id="u", run_id="model")
            fleet.until_begun(1)
            fleet.until(lambda: fleet.runs()["model"] == "running")
            taken = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'"
            fleet.until(lambda: fleet.query(taken) == [(3,)])
            first.cut_off(cut)
        other = fleet.start(before=second.before)
        fleet.until(lambda: set(fleet.runs().values()) == {"completed"})
        assert set(fleet.query("SELECT worker FROM auwgent_runs")) == {(2,)}
        session = await agent.run("slow", session_id="u", run_id="model")
        assert session.text.split() == ["word"] * 40
        first.let_in(cut)
        other.terminate()
        other.wait(timeout=60)
        ticket = await agent.submit("buy", session_id="s", run_id="later")
        fleet.until(lambda: fleet.runs()["later"] == "completed")
        assert fleet.query("SELECT worker FROM auwgent_runs WHERE id = 'later'") == [(1,)]
    assert cut.poll() is None
    fleet.check({**accepted, ticket.id: "s"})
