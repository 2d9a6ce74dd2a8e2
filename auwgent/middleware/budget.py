"""Budgets: what a run, a session, a user or a day may cost, in US dollars, tokens or model calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import Context
from auwgent.middleware.options import Amount, Count, Options, checked
from auwgent.session import Session, Usage, new_id, now
from auwgent.store.side import SideDatabase, limits
from auwgent.store.side.limits import Spent, Totals

DEFAULT_FILE = ".auwgent/limits.db"

Scope = Literal["run", "session", "user", "user_day", "day"]
SHARED: tuple[Scope, ...] = (
    "user",
    "user_day",
    "day",
)  # these need more than a run and its session to be known

ROUNDING = 1e-9  # a sum of cents may be that much less than it is

OF: Mapping[Scope, str] = {
    "run": "this run",
    "session": "this session",
    "user": "this user",
    "user_day": "this user for today (UTC)",
    "day": "all users for today (UTC)",
}


class Cap(Options):
    """What may be used up. None: no limit."""

    usd: Amount | None = None
    tokens: Count | None = None
    calls: Count | None = None


class BudgetOptions(Options):
    run: Cap | None
    session: Cap | None
    user: Cap | None
    user_day: Cap | None
    day: Cap | None
    unpriced: Literal["refuse", "free"]


@dataclass(slots=True)
class Bill:
    """What one run has used up, and how much of that stands in the database."""

    calls: int = 0
    unpriced: int = 0
    usd: float = 0.0  # of the calls before one without a price
    noted: Spent = field(default_factory=Spent)
    last: Usage | None = None  # of the run, when its calls without a price were counted
    unread: Spent | None = None  # by turns of the session that are not in it here; None until that is asked

    def so_far(self, usage: Usage) -> Spent:
        """What the run has spent by now."""
        if usage.usd is not None:
            self.usd = usage.usd
        return Spent(self.calls, usage.input_tokens + usage.output_tokens, self.usd, self.unpriced)


class Budget:
    """Refuses a model call where a budget is used up, with `LimitExceeded`.

    `run`, `session`, `user` (all its days), `user_day` and `day` (all users) each take `usd`, `tokens` and
    `calls`. They are looked at before each model call, helpers' included. Calls are counted exactly, also by
    several processes on one database. What a call costs is known only when it is over: each run that is under
    way may go over by what its calls under way cost, and calls that broke off without a report of their usage
    are not in the sum. Only what was used up while `Budget` was in the config counts; what was used up once
    stays so when a session is deleted.

    `url` is a database for what is to be known beyond a session: `.auwgent/limits.db` beside the config file
    unless it is given. Where a price is not known, budgets in USD cannot be kept: `unpriced = "refuse"` refuses
    the next call, for a user's until the day is over, and `"free"` takes such calls as free.
    """

    name = "budget"
    folder: Path | None = None  # the config file's; the runtime sets it before `open`

    def __init__(
        self,
        run: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        user_day: Mapping[str, Any] | None = None,
        day: Mapping[str, Any] | None = None,
        unpriced: Literal["refuse", "free"] = "refuse",
        url: str | None = None,
    ) -> None:
        given = {"run": run, "session": session, "user": user, "user_day": user_day, "day": day}
        options = checked(BudgetOptions, **given, unpriced=unpriced)
        self._caps: dict[Scope, Cap] = {
            scope: cap for scope in get_args(Scope) if (cap := getattr(options, scope)) is not None
        }
        if not self._caps:
            raise ValueError(f"give at least one budget: {', '.join(get_args(Scope))}")
        self._refuse = options.unpriced == "refuse"
        self._database = SideDatabase(url, limits.tables, default=DEFAULT_FILE)
        self._note = f"budget {new_id()}"  # of a run on its ctx; each instance has its own
        self.clock: Callable[[], datetime] = now

    @property
    def _is_shared(self) -> bool:
        return any(scope in self._caps for scope in SHARED)

    async def open(self) -> None:
        """Open the database, where one is needed."""
        if self._is_shared:
            await self._database.open(self.folder)

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        await self._database.close()

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """Look at every budget, and count the call."""
        bill = self._bill(ctx)
        sums: dict[Scope, Spent] = {"run": bill.so_far(ctx.usage)}
        if "session" in self._caps:
            if bill.unread is None:
                bill.unread = await unread(ctx)
            sums["session"] = bill.unread + earlier(ctx) + sums["run"]
        self._check(sums)
        if self._is_shared:
            await self._count_shared(ctx, bill)
        bill.calls += 1

    async def onCheckpoint(self, session: Session, ctx: Context) -> None:
        """Note what was used up, so that other runs learn of it while this one's tools are at work."""
        await self._note_rest(ctx)

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        """Note what the last call has used up."""
        await self._note_rest(ctx)

    def _bill(self, ctx: Context) -> Bill:
        """The run's bill, with its calls so far."""
        bill: Bill = ctx.get(self._note) or Bill()
        ctx[self._note] = bill
        if ctx.usage.usd is None and ctx.usage != bill.last:
            bill.unpriced, bill.last = bill.unpriced + 1, ctx.usage
        return bill

    async def _count_shared(self, ctx: Context, bill: Bill) -> None:
        """Note what was used up since last time; then look at the budgets, and count one more call if it may be."""
        refused = await self._job(limits.count_call, bill, ctx, self._refusal)
        if refused is not None:
            raise refused
        bill.noted += Spent(calls=1)

    async def _note_rest(self, ctx: Context) -> None:
        bill: Bill | None = ctx.get(self._note)
        if bill is None or not self._is_shared:
            return
        await self._job(limits.add, self._bill(ctx), ctx)

    async def _job(self, work: Callable[..., Any], bill: Bill, ctx: Context, *args: Any) -> Any:
        """Do something with what was used up since last time."""
        more = bill.so_far(ctx.usage) - bill.noted
        if more == Spent() and not args:
            return None
        bill.noted += more  # at once: helpers of one run do this side by side
        try:
            day = self.clock().date().isoformat()
            return await self._database.run(self.folder, work, str(ctx.userId or ""), day, more, *args)
        except Exception:
            bill.noted -= more
            raise

    def _refusal(self, found: Totals) -> LimitExceeded | None:
        sums: dict[Scope, Spent] = {scope: getattr(found, scope) for scope in SHARED}
        # One call without a price must not close a user's budget for ever.
        sums["user"] = replace(found.user, unpriced=found.user_day.unpriced)
        try:
            self._check(sums)
        except LimitExceeded as error:
            return error
        return None

    def _check(self, sums: Mapping[Scope, Spent]) -> None:
        """`LimitExceeded` where one of the budgets is used up."""
        for scope, spent in sums.items():
            cap = self._caps.get(scope)
            if cap is None:
                continue
            if cap.usd is not None and spent.unpriced and self._refuse:
                raise LimitExceeded(
                    f"the budget of {OF[scope]} is {cap.usd:g} USD, but a model without a known price was asked; "
                    "give it one with `price` under [models]",
                    key=f"Budget.{scope}.usd",
                )
            for unit in ("usd", "tokens", "calls"):
                allowed, used = getattr(cap, unit), getattr(spent, unit)
                if allowed is not None and used >= allowed - ROUNDING:
                    raise LimitExceeded(
                        f"the budget of {OF[scope]} is used up: {used:.6g} of {allowed:g} {UNITS[unit]}",
                        key=f"Budget.{scope}.{unit}",
                    )


UNITS = {"usd": "USD", "tokens": "tokens", "calls": "model calls"}


async def unread(ctx: Context) -> Spent:
    """What those turns of the session have used up that its store did not read."""
    ask = ctx.get("unreadUsage")
    if ask is None:
        return Spent()
    row = await ask()
    used = row.usage
    return Spent(row.calls, used.input_tokens + used.output_tokens, used.usd or 0.0, row.unpriced)


def earlier(ctx: Context) -> Spent:
    """What the session's turns of earlier runs have used up."""
    total = Spent()
    for turn in ctx.session.turns:
        if turn.usage is not None and turn.run_id != ctx.runId:
            used = turn.usage
            tokens = used.input_tokens + used.output_tokens
            total += Spent(1, tokens, used.usd or 0.0, int(used.usd is None))
    return total
