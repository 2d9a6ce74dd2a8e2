"""The vault of Redact goes with its sessions: copied, renamed and deleted with them, in Python and by commands."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import auwgent
from auwgent.errors import SessionNotFound
from auwgent.middleware import Redact, SQLModelSessions
from auwgent.session import now
from auwgent.store.side import vault

MAIL = "ada@example.com"
CALL = {"when": "Write", "tool_calls": [{"name": "send", "args": {"to": "[EMAIL_1]"}}]}
REPLIES = [CALL, {"result": True, "text": "Done."}, {"when": "", "text": "Noted."}]


def agent_on(url: str, sent: list[str], **options: Any) -> Any:
    """As another process would: with names of its own, and the same databases."""

    def send(to: str) -> str:
        """Send a mail."""
        sent.append(to)
        return "sent"

    redact = Redact(restore=["send"], vault=url)
    return auwgent(
        {
            "middleware": [SQLModelSessions(url, **options), redact],
            "agent": {"model": "main", "tools": [send]},
            "models": {"main": {"use": "scripted/main", "params": {"replies": REPLIES}}},
        }
    )


async def written(url: str, session_id: str, **options: Any) -> list[str]:
    """Whom another process writes to in that session."""
    sent: list[str] = []
    async with agent_on(url, sent, **options) as agent:
        await agent.run("Write to me", session_id=session_id)
    return sent


async def kept(url: str, session_id: str) -> dict[str, str]:
    redact = Redact(vault=url)
    await redact.open()
    assert redact._vault is not None
    try:
        return await redact._vault.run(None, vault.read, "", session_id)
    finally:
        await redact.close()


async def test_a_copy_knows_what_the_placeholders_of_the_original_stand_for(url: str) -> None:
    async with agent_on(url, []) as agent:
        session = await agent.run(f"I am {MAIL}", session_id="s")
        await agent.run("Hello", session_id="s")
        await agent.store.fork("", "s", "copy")
        await agent.store.fork("", "s", "early", at=session.turns[0].id)
        await agent.run("And eve@example.com", session_id="copy")
    assert await kept(url, "s") == {"[EMAIL_1]": MAIL}
    assert await kept(url, "copy") == {"[EMAIL_1]": MAIL, "[EMAIL_2]": "eve@example.com"}
    assert [await written(url, name) for name in ("copy", "early", "s")] == [[MAIL]] * 3


async def test_a_session_that_is_renamed_takes_them_along(url: str) -> None:
    async with agent_on(url, []) as agent:
        await agent.run(f"I am {MAIL}", session_id="s")
        await agent.store.rename("", "s", "new")
    assert await kept(url, "s") == {}
    assert await written(url, "new") == [MAIL]


@pytest.mark.parametrize("way", ["delete", "prune", "retention"])
async def test_nothing_is_kept_of_a_session_that_is_gone(url: str, way: str) -> None:
    async with agent_on(url, []) as agent:
        await agent.run(f"I am {MAIL}", session_id="s")
        await agent.run(f"I am {MAIL}", session_id="other")
        if way == "delete":
            await agent.store.delete("", "s")
        elif way == "prune":
            assert await agent.store.prune("", keep=1) == 1
        else:
            assert await agent.store.prune(None, before=now()) == 2
    assert await kept(url, "s") == {}
    assert await kept(url, "other") == ({} if way == "retention" else {"[EMAIL_1]": MAIL})


async def test_what_is_too_old_when_the_store_opens_takes_them_along(url: str) -> None:
    async with agent_on(url, []) as agent:
        await agent.run(f"I am {MAIL}", session_id="s")
    async with agent_on(url, [], retention="0s") as agent:
        with pytest.raises(SessionNotFound):
            await agent.store.get("", "s")
    assert await kept(url, "s") == {}


async def test_of_a_session_that_a_busy_one_was_copied_to(url: str) -> None:
    sent: list[str] = []
    async with agent_on(url, sent, on_busy="fork") as agent:
        await agent.run(f"I am {MAIL}", session_id="s")
        async for _ in agent.stream("Hello", session_id="s"):
            session = await agent_once(url, sent)
            break
    assert session.id != "s"
    assert sent == [MAIL]


async def agent_once(url: str, sent: list[str]) -> Any:
    async with agent_on(url, sent, on_busy="fork") as agent:
        return await agent.run("Write to me", session_id="s")
