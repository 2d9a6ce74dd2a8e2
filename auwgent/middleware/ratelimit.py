"""Rate limits: how many runs or model calls there may be in a length of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import Context
from auwgent.middleware.options import Count, Options, Span, checked
from auwgent.session import Session, now
from auwgent.store.side import SideDatabase, limits

DEFAULT_FILE = ".auwgent/limits.db"

By = Literal["user", "session", "agent", "everybody"]


class RateLimitOptions(Options):
    calls: Count | None
    runs: Count | None
    per: Span
    by: By
    wait: Span


class RateLimit:
    """Lets so many `calls` of models, or `runs`, begin in any length of time `per` ("30s", "1m", "1h", "1d").

    They are counted `by` user, session, agent or for everybody together, in a database that all processes share
    (`url`; `.auwgent/limits.db` beside the config file unless it is given; `sqlite://` counts in this process
    alone). What comes too early waits for as long as `wait`, and is refused with `LimitExceeded` if that is not
    enough. It limits how often calls begin, not how many are under way or how long they are; repeats that a
    model's `retries` makes are not seen here.
    """

    name = "rate limit"
    folder: Path | None = None  # the config file's; the runtime sets it before `open`

    def __init__(
        self,
        calls: int | None = None,
        runs: int | None = None,
        per: str | float = "1m",
        by: By = "user",
        wait: str | float = 0,
        url: str | None = None,
    ) -> None:
        options = checked(RateLimitOptions, calls=calls, runs=runs, per=per, by=by, wait=wait)
        if calls is None and runs is None:
            raise ValueError("give `calls`, `runs` or both")
        if not options.per:
            raise ValueError("`per` must be longer than nothing")
        if options.by == "agent" and runs is not None:
            raise ValueError('`runs` cannot be counted by "agent": a run may have several')
        self._limits = {"runs": options.runs, "calls": options.calls}
        self._per, self._by, self._wait = options.per, options.by, options.wait
        self._shown = per if isinstance(per, str) else f"{per:g}s"
        self._database = SideDatabase(url, limits.tables, default=DEFAULT_FILE)
        self.clock: Callable[[], datetime] = now

    async def open(self) -> None:
        """Open the database."""
        await self._database.open(self.folder)

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        await self._database.close()

    async def onRunStart(self, session: Session, ctx: Context) -> None:
        await self._let_pass("runs", ctx)

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        await self._let_pass("calls", ctx)

    async def _let_pass(self, what: Literal["runs", "calls"], ctx: Context) -> None:
        """Wait for a place, for as long as may be waited."""
        limit = self._limits[what]
        if limit is None:
            return
        key = f"{what} {limit}/{self._per.total_seconds():g}s {self._by} {self._counted(ctx)}"
        patience = self._wait
        while wait := await self._try(key, limit):
            if wait > patience:
                raise LimitExceeded(
                    f"more than {limit} {_NAMES[what]} in {self._shown}{_BY[self._by]}; "
                    f"try again in {max(1, round(wait.total_seconds()))} s",
                    key=f"RateLimit.{what}",
                )
            patience -= wait
            await asyncio.sleep(wait.total_seconds())

    async def _try(self, key: str, limit: int) -> timedelta:
        return await self._database.run(self.folder, limits.let_pass, key, limit, self._per, self.clock())

    def _counted(self, ctx: Context) -> str:
        """Whose runs or calls are counted together."""
        match self._by:
            case "user":
                return str(ctx.userId or "")
            case "session":
                return f"{ctx.userId or ''}\n{ctx.sessionId}"
            case "agent":
                return str(ctx.activeAgent)
            case "everybody":
                return ""


_NAMES = {"runs": "runs", "calls": "model calls"}
_BY = {"user": " by one user", "session": " in one session", "agent": " by one agent", "everybody": ""}
