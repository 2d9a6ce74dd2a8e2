"""Rate limits: how many runs or model calls there may be in a length of time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Literal

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import Context
from auwgent.hooks.metering import Meter, Outlay
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware.kept import Count, Kept, Time, option
from auwgent.session import Session
from auwgent.store.side import limits

By = Literal["user", "session", "agent", "everybody"]


class RateLimit(Kept, Meter):
    """Lets so many `calls` of models, or `runs`, begin in any length of time `per` ("30s", "1m", "1h", "1d").

    They are counted `by` user, session, agent or for everybody together, in a database that all processes share
    (`url`; `.auwgent/limits.db` beside the config file unless it is given; `sqlite://` counts in this process
    alone). What comes too early waits for as long as `wait`, and is refused with `LimitExceeded` if that is not
    enough. It limits how often calls begin, not how many are under way or how long they are. Calls of other
    middleware count, and so does a call with all its retries: once.
    """

    name = "rate limit"
    tables = limits.TABLES
    DEFAULT_FILE = ".auwgent/limits.db"

    calls: Count | None = None
    runs: Count | None = None
    per: Time = option(default="1m")
    by: By = "user"
    wait: Time = option(default=0)
    url: str | None = None

    def __post_init__(self) -> None:
        if self.calls is None and self.runs is None:
            raise ValueError("give `calls`, `runs` or both")
        if not self.per:
            raise ValueError("`per` must be longer than nothing")
        if self.by == "agent" and self.runs is not None:
            raise ValueError('`runs` cannot be counted by "agent": a run may have several')
        super().__post_init__()

    @leaves_input
    async def onRunStart(self, session: Session, ctx: Context) -> None:
        """Count the run, once for all its legs, and wait for a place."""
        if self.runs is not None and ctx.leg == 1:
            await self._let_pass("runs", self.runs, "", ctx, ctx.setdefault("rate limits", {}))

    async def reserve(self, outlay: Outlay, ctx: Context) -> None:
        """Count a model call, also one of other middleware; its retries belong to it."""
        if self.calls is not None and outlay.call and not outlay.retry:
            targets = ",".join(sorted(outlay.targets or ()))
            await self._let_pass("calls", self.calls, targets, ctx, outlay.quote.counted)

    async def _let_pass(
        self, what: Literal["runs", "calls"], limit: int, targets: str, ctx: Context, passed: dict[Any, Any]
    ) -> None:
        """Wait for a place, for as long as may be waited. Entries that are the same count once."""
        key = f"{what} {limit}/{self.per.total_seconds():g}s {self.by} {targets} {self._counted(ctx)}"
        place = self.url or str(self.beside(self.DEFAULT_FILE))
        if passed.setdefault(("rate limit", place, key), self) is not self:
            return
        patience: timedelta = self.wait
        while wait := await self.carry_out(limits.let_pass, key, limit, self.per, self.clock()):
            if wait > patience:
                raise LimitExceeded(
                    f"more than {limit} {_NAMES[what]} in {self.per}{_BY[self.by]}; "
                    f"try again in {max(1, round(wait.total_seconds()))} s",
                    key=f"RateLimit.{what}",
                )
            patience -= wait
            await asyncio.sleep(wait.total_seconds())

    def _counted(self, ctx: Context) -> str:
        """Return the key under which runs or calls are counted together."""
        match self.by:
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
