"""Budgets: what a run, a session, a user, a day or a month may cost, in US dollars, tokens or calls."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from auwgent.errors import LimitExceeded
from auwgent.hooks.context import Context
from auwgent.hooks.metering import Meter, Outlay
from auwgent.middleware.kept import Amount, Count, Given, Kept, Options, option
from auwgent.models.quotes import Quote
from auwgent.session import Usage, new_id
from auwgent.store.side import limits
from auwgent.store.side.limits import Spent, What

Scope = Literal["run", "session", "user", "user_day", "user_month", "day", "month"]

log = logging.getLogger("auwgent.middleware")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks at what others have set aside
ROUNDING = 1e-9  # a sum of cents may be that much less than it is
KEPT = timedelta(days=30)  # what a run has used up, after its end
UNITS = {"calls": "model calls", "tool_calls": "tool calls", "tokens": "tokens", "usd": "USD"}


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError('must be a time zone such as "UTC" or "Europe/Berlin"') from None
    return name


class Cap(Options):
    """What may be used up. None: no limit."""

    usd: Amount | None = None
    tokens: Count | None = None
    calls: Count | None = None
    tool_calls: Count | None = None


Capped = Given[Mapping[str, Any] | None, Cap | None]


class Budget(Kept, Meter):
    """Refuses a request where a budget would be crossed, with `LimitExceeded`.

    `run`, `session`, `user` (all its days), `user_day`, `user_month`, `day` and `month` (all users) each take `usd`,
    `tokens`, `calls` and `tool_calls`. Before each request (retries, fallbacks, embeddings and those of other
    middleware, too) the most that it may use is set aside in a database that all processes share (`url`;
    `.auwgent/limits.db` beside the config file unless it is given), and its output is limited to what is left. What
    it has not used is given back; a request that broke off keeps what was set aside.

    Entries without a `target` count together, and so do those with the same one. Days and months are those of
    `timezone`. Where a price is not known, budgets in USD cannot be kept: `unpriced = "refuse"` refuses the next
    call, for a user's until the day is over, and `"free"` takes such calls as free.
    """

    name = "budget"
    tables = limits.TABLES
    DEFAULT_FILE = ".auwgent/limits.db"

    run: Capped = option(default=None)
    session: Capped = option(default=None)
    user: Capped = option(default=None)
    user_day: Capped = option(default=None)
    user_month: Capped = option(default=None)
    day: Capped = option(default=None)
    month: Capped = option(default=None)
    unpriced: Literal["refuse", "free"] = "refuse"
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    url: str | None = None

    def __post_init__(self) -> None:
        self._caps: dict[Scope, Cap] = {
            scope: cap for scope in get_args(Scope) if (cap := getattr(self, scope)) is not None
        }
        if not self._caps:
            raise ValueError(f"give at least one budget: {', '.join(get_args(Scope))}")
        self._ending: set[asyncio.Task[None]] = set()
        self._targets = ""  # the agents that it is for, as text; known from the first request on
        super().__post_init__()

    async def open(self) -> None:
        """Open the database, and forget runs that are long over."""
        await super().open()
        await self.carry_out(limits.forget, "run", self.clock() - KEPT)

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        await super().close()

    async def reserve(self, outlay: Outlay, ctx: Context) -> HeldBudget:
        """Set aside what the request may use, in every scope; `LimitExceeded` where one has not enough left.

        Where others have set aside what is missing, they are waited for.
        """
        self._targets = ",".join(sorted(outlay.targets or ()))
        quote, whose = outlay.quote, self._whose(ctx)
        counted: dict[What, Spent] = quote.counted.setdefault(("budget", self._place), {})
        name = quote.counted.setdefault(("budget's request", self._place), new_id())
        request = limits.Request(name, str(ctx.runId), nested=bool(outlay.by))
        pause, until = FIRST_PAUSE, time.monotonic() + limits.UNDER_WAY.total_seconds()

        def decide(
            stands: Mapping[What, Spent], others: Mapping[What, Spent]
        ) -> tuple[Any, Mapping[What, Spent]]:
            before = {scope: stands[what] - counted.get(what, Spent()) for scope, what in whose.items()}
            within = self._granted(quote, before, int(outlay.call))
            if within is not quote and time.monotonic() < until:
                later = {scope: before[scope] - others[what] for scope, what in whose.items()}
                granted = self._granted(quote, later, int(outlay.call))
                if isinstance(granted, Quote) and not (isinstance(within, Quote) and within == granted):
                    return None, {}
            if isinstance(within, LimitExceeded):
                return within, {}
            amount = Spent(int(outlay.call), 0, within.tokens, within.usd, int(quote.rates is None))
            return (within, amount), {what: amount - counted.get(what, Spent()) for what in whose.values()}

        first = await self._first(whose, ctx)
        while (decided := await self.carry_out(limits.reserve, first, decide, self.clock(), request)) is None:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        if isinstance(decided, LimitExceeded):
            raise decided
        within, amount = decided
        own = [what for what in whose.values() if what not in counted]
        counted.update(dict.fromkeys(whose.values(), amount))
        is_bounded = any(cap.usd is not None or cap.tokens is not None for cap in self._caps.values())
        return HeldBudget(self, name, counted, own, within.output_tokens if is_bounded else None)

    def end(self, request: str, more: Mapping[What, Spent]) -> None:
        """Note what became of a request, while nobody can wait for that."""
        task = asyncio.get_running_loop().create_task(self.carry_out(limits.add, more, self.clock(), request))
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("that a request is over could not be noted: %s", error)

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        """Count a tool call before it is made; one that was answered in a later leg was counted when it was asked."""
        if name != "tool_call" or ctx.answered or all(cap.tool_calls is None for cap in self._caps.values()):
            return
        whose = self._whose(ctx)
        counted: set[Any] = ctx.setdefault("budget tool calls", set())
        more = {
            what: Spent(tool_calls=1)
            for what in whose.values()
            if (self._place, what, value.get("id")) not in counted
        }

        def decide(stands: Mapping[What, Spent], _: object) -> tuple[Any, Mapping[What, Spent]]:
            before = {
                scope: stands[what] if what in more else stands[what] - Spent(tool_calls=1)
                for scope, what in whose.items()
            }
            refused = self._refusal(before, tool_calls=1)
            return refused, {} if refused else more

        if refused := await self.carry_out(
            limits.reserve, await self._first(whose, ctx), decide, self.clock()
        ):
            raise refused
        counted |= {(self._place, what, value.get("id")) for what in more}

    @property
    def _place(self) -> str:
        """Which database it is; entries that share one count once."""
        return self.url or str(self.beside(self.DEFAULT_FILE))

    def _whose(self, ctx: Context) -> dict[Scope, What]:
        """Return what is counted together in each scope. A user's requests without a price are those of the day."""
        user, day = str(ctx.userId or ""), self.clock().astimezone(ZoneInfo(self.timezone)).date().isoformat()
        zone = "" if self.timezone == "UTC" else self.timezone
        keys: dict[Scope, What] = {
            "run": ("run", self._targets, user, ctx.runId),
            "session": ("session", self._targets, user, ctx.sessionId),
            "user": ("user", self._targets, user),
            "user_day": ("day", self._targets, zone, day, user),
            "user_month": ("month", self._targets, zone, day[:7], user),
            "day": ("day", self._targets, zone, day),
            "month": ("month", self._targets, zone, day[:7]),
        }
        wanted = {*self._caps, *(("user_day",) if "user" in self._caps else ())}
        return {scope: keys[scope] for scope in get_args(Scope) if scope in wanted}

    async def _first(self, whose: Mapping[Scope, What], ctx: Context) -> dict[What, Spent]:
        """Return what is to be seen; of a session that is new here, what its turns have used up."""
        first = dict.fromkeys(whose.values(), Spent())
        if "session" in whose:
            if (known := ctx.get(self.run_key)) is None:
                known = await _unread(ctx) + _earlier(ctx, self._targets)
                if ctx.session.turns:
                    ctx[self.run_key] = known
            first[whose["session"]] = known
        return first

    def _refusal(self, before: Mapping[Scope, Spent], **more: int) -> LimitExceeded | None:
        """Return why nothing more may be used, or not so many calls more."""
        for scope, cap in self._caps.items():
            spent = before[scope]
            unpriced = before["user_day"].unpriced if scope == "user" else spent.unpriced
            if cap.usd is not None and unpriced and self.unpriced == "refuse":
                return LimitExceeded(
                    f"the budget of {self._of(scope)} is {cap.usd:g} USD, but a model without a known price was "
                    "asked; give it one with `price` under [models]",
                    key=f"Budget.{scope}.usd",
                )
            for unit in UNITS:
                allowed, used = getattr(cap, unit), getattr(spent, unit)
                is_counted = unit in ("calls", "tool_calls")
                if allowed is None or (is_counted and used + more.get(unit, 0) <= allowed):
                    continue
                if is_counted or ("calls" in more and used >= allowed - ROUNDING):
                    return self._used_up(scope, unit, used, allowed)
        return None

    def _granted(self, quote: Quote, before: Mapping[Scope, Spent], calls: int) -> Quote | LimitExceeded:
        """Return as much of the request as may be made, with that used up before; or why nothing of it may."""
        return self._refusal(before, calls=calls) or self._within(quote, before)

    def _within(self, quote: Quote, before: Mapping[Scope, Spent]) -> Quote | LimitExceeded:
        """Return as much of the request as every scope has left."""
        within = quote
        for scope, cap in self._caps.items():
            for unit, allowed in (("tokens", cap.tokens), ("usd", cap.usd)):
                if allowed is None:
                    continue
                used = getattr(before[scope], unit)
                left = allowed - used + ROUNDING
                fits = within.within(*((left, float("inf")) if unit == "tokens" else (float("inf"), left)))
                if fits is None:
                    needs = (
                        f"; the next request needs up to {getattr(quote.at_least, unit):.6g}. What requests under way "
                        "have set aside is counted, too, until they are over"
                    )
                    return self._used_up(scope, unit, used, allowed, needs)
                within = fits
        return within

    def _used_up(self, scope: Scope, unit: str, used: float, allowed: float, more: str = "") -> LimitExceeded:
        return LimitExceeded(
            f"the budget of {self._of(scope)} is used up: {used:.6g} of {allowed:g} {UNITS[unit]}{more}",
            key=f"Budget.{scope}.{unit}",
        )

    def _of(self, scope: Scope) -> str:
        time = f"{'today' if scope.endswith('day') else 'this month'} ({self.timezone})"
        match scope:
            case "run" | "session" | "user":
                return f"this {scope}"
            case "user_day" | "user_month":
                return f"this user for {time}"
            case "day" | "month":
                return f"all users for {time}"


@dataclass(slots=True, eq=False)
class HeldBudget:
    """What is set aside for one request. Of several entries that count together, the first holds it."""

    budget: Budget
    request: str
    counted: dict[What, Spent]
    own: list[What]
    output_tokens: int | None
    is_open: bool = field(default=True)

    async def settle(self, usage: Usage) -> None:
        tokens = usage.input_tokens + usage.output_tokens
        await self._end(Spent(0, 0, tokens, usage.usd or 0.0, int(usage.usd is None)))

    async def release(self) -> None:
        await self._end(None)

    def keep(self) -> None:
        if self.is_open:
            self.is_open = False
            self.budget.end(self.request, dict.fromkeys(self.own, Spent()))

    async def _end(self, used: Spent | None) -> None:
        """Put what was used in the place of what was set aside; None: not even the call."""
        if self.is_open:
            self.is_open = False
            more = {
                what: (Spent() if used is None else replace(used, calls=self.counted[what].calls))
                - self.counted[what]
                for what in self.own
            }
            await self.budget.carry_out(limits.add, more, self.budget.clock(), self.request)


async def _unread(ctx: Context) -> Spent:
    """Return what those turns of the session have used up that its store did not read."""
    ask = ctx.get("unreadUsage")
    if ask is None:
        return Spent()
    row = await ask()
    used = row.usage
    return Spent(row.calls, 0, used.input_tokens + used.output_tokens, used.usd or 0.0, row.unpriced)


def _earlier(ctx: Context, targets: str) -> Spent:
    """Return what the session's turns of earlier runs have used up."""
    agents = targets.split(",") if targets else None
    total = Spent()
    for turn in ctx.session.turns:
        is_meant = agents is None or turn.agent in agents
        if turn.usage is not None and turn.run_id != ctx.runId and is_meant:
            used = turn.usage
            tokens = used.input_tokens + used.output_tokens
            total += Spent(1, 0, tokens, used.usd or 0.0, int(used.usd is None))
    return total
