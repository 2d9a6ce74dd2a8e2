"""Runs are queued, and workers in other processes carry them out."""

from __future__ import annotations

import pytest

from tests.support.fleet import Fleet

pytestmark = pytest.mark.process


async def test_workers_carry_out_what_is_submitted(fleet: Fleet) -> None:
    fleet.start()
    accepted = {}
    async with fleet.agent() as agent:
        for number in range(12):
            ticket = await agent.submit("buy", session_id=f"s{number % 4}", run_id=f"r{number}")
            accepted[ticket.id] = ticket.session_id
        for run_id in accepted:
            session = await agent.run("buy", run_id=run_id, session_id=accepted[run_id])
            assert session.text == "All done: charged"
    fleet.check(accepted)
    assert set(fleet.starts()) == set(accepted)
