"""Sessions in Redis or another server that speaks its protocol: `pip install redis`."""

import json
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import WatchError

from auwgent import Session, SessionConflict


class RedisSessions:
    """Keeps each session under one key. Of two runs at once on one session, the second fails.

    How much a crash of the server can lose is the server's setting `appendfsync`.
    """

    def __init__(self, url: str = "redis://localhost", prefix: str = "auwgent:") -> None:
        self.url, self.prefix = url, prefix

    async def open(self) -> None:
        self.redis = Redis.from_url(self.url)

    async def close(self) -> None:
        await self.redis.aclose()

    async def onRunStart(self, session: Session, ctx: Any) -> dict[str, Any] | None:
        stored = await self.redis.get(self.key(ctx.userId, ctx.sessionId))
        ctx["redis_found"] = stored
        return None if stored is None else json.loads(stored)

    async def onRunComplete(self, session: Session, ctx: Any) -> None:
        key = self.key(ctx.userId, session.id)
        async with self.redis.pipeline(transaction=True) as transaction:
            await transaction.watch(key)
            unchanged = await transaction.get(key) == ctx.get("redis_found")
            transaction.multi()  # type: ignore[no-untyped-call]  # the client has no types there
            transaction.set(key, json.dumps(session.model_dump(mode="json")))
            try:
                if not unchanged:
                    raise WatchError
                await transaction.execute()
            except WatchError:
                raise SessionConflict(f"another run saved session {session.id!r} meanwhile") from None

    def key(self, user_id: str, session_id: str) -> str:
        """A key that no two sessions share, whatever the ids hold."""
        return self.prefix + json.dumps([user_id, session_id])
