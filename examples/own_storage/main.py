"""Sessions in a storage of your own: two hooks, here with a dict for a database."""

import asyncio
from typing import Any

from auwgent import Session, auwgent


class Table:
    """Stands for a document store, a key-value cache, a folder of files: anything that keeps JSON by a key."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    async def get(self, key: str) -> dict[str, Any] | None:
        return self.rows.get(key)

    async def save(self, key: str, session: Session) -> None:
        self.rows[key] = session.model_dump(mode="json")


sessions = Table()


class PersistenceMiddleware:
    name = "session-persistence"

    async def onRunStart(self, session: Session, ctx: Any) -> Any:
        saved = await sessions.get(ctx.get("userId"))
        return saved or session

    async def onRunComplete(self, finalSession: Session, ctx: Any) -> None:
        await sessions.save(ctx.get("userId"), finalSession)


agent = auwgent(
    {
        "apiKeys": {"geminiApiKey": "YOUR_API_KEY"},
        "middleware": [PersistenceMiddleware],
        "agent": {"model": "main"},
        # For a real answer: "use": "gemini/gemini-2.5-flash", without params.
        "models": {"main": {"use": "scripted/main", "params": {"replies": ["Hello, Ada.", "You are Ada."]}}},
    }
)


async def main() -> None:
    async with agent:
        await agent.run("Hello, I am Ada.", context={"userId": "u1"})
        session = await agent.run("Who am I?", context={"userId": "u1"})
        stranger = await agent.run("Who am I?", context={"userId": "u2"})
    for turn in session.turns:
        print(f"{turn.role}: {turn.text}")
    print(f"The other user has {len(stranger.turns)} turns.")


if __name__ == "__main__":
    asyncio.run(main())
