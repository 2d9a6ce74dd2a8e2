"""Sessions kept in a database: the default persistence, made of the hooks alone, as a user's own would be."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Literal

from auwgent import store
from auwgent.errors import ConfigError, RunPaused, SessionConflict, SessionNotFound, kind_of
from auwgent.hooks.context import Context
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware.kept import InFolder
from auwgent.pairing import closed, paired
from auwgent.secrecy import scrubbed
from auwgent.session import Session, new_id
from auwgent.store.base import OnBusy
from auwgent.store.hold import End, Hold, Mark, Stored
from auwgent.store.sessions import Sessions

if TYPE_CHECKING:
    from auwgent.store.journal import Journal
    from auwgent.store.notices import Board

    Held = tuple[Journal, Hold]  # what a run writes with, and its right to write

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two looks at a session that another run holds


class SQLModelSessions(Sessions, InFolder):
    """Keeps sessions in SQLite or PostgreSQL, each turn once, as soon as it is there.

    `url` is `sqlite:///file.db` (relative to the config file) or `postgresql://…`; the default is
    `.auwgent/sessions.db` beside the config file. Sessions not used for as long as `retention` ("90d",
    "12h", "8w") are deleted when the store opens. `on_busy` says what becomes of a run whose session another
    run holds: it waits, it fails with `SessionConflict`, or it goes on with a copy. With `durability="full"`
    SQLite waits for the disk at each write, so that not even a power cut loses one. A run reads the whole
    history, or the newest `window` turns and what belongs to them: from the words that began the run they are of.
    To PostgreSQL a process has up to `connections`, 4 by default, opened when they are needed.
    A SQLite file is encrypted with the `encryption_key`; `keyring:NAME` is one of the system's keyring.
    """

    name = "sessions"
    hands_over = True  # what `onRunStart` returns was made for that run

    def __init__(
        self,
        url: str | None = None,
        retention: str | None = None,
        on_busy: OnBusy = "queue",
        durability: Literal["normal", "full"] = "normal",
        window: int | None = None,
        encryption_key: str | None = None,
        connections: int | None = None,
    ) -> None:
        super().__init__(
            url and url.strip(),
            retention=retention,
            durability=durability,
            window=window,
            encryption_key=encryption_key,
            connections=connections,
        )
        if on_busy not in ("queue", "reject", "fork"):
            raise ConfigError(f'on_busy must be "queue", "reject" or "fork", not {on_busy!r}')
        self.on_busy: OnBusy = on_busy  # the runtime lets runs of one session wait only where this says so
        self._note = f"sessions {new_id()}"  # of a run on its ctx; each instance has its own
        self._waiting = Waiting()

    def elsewhere(self, url: str) -> SQLModelSessions:
        """Return one that keeps sessions in another database, and reads them as this one does."""
        return SQLModelSessions(url, on_busy=self.on_busy, window=self._window)

    async def board(self) -> Board | None:
        """Where processes tell one another of runs under way; None where the database cannot carry that."""
        return (await self.journal()).database.board

    @leaves_input
    async def onRunStart(self, session: Session, ctx: Context) -> Session | None:
        """The session as it is stored, as far as it is read; None where there is none yet.

        Where calls have no result because their run died, `ctx["interrupted"]` holds them by their ids, with whether
        they had `begun`; only those may be made. `ctx["runAttempt"]` says that the run is in the store, and how often
        it was taken up; `ctx["resumed"]` holds the `answers`, `pending` calls and `progress` of earlier legs and
        attempts. Where there are turns before the window, `ctx["unreadUsage"]` is an async function that tells what
        they have used up. `RunPaused` where another run of the session waits for answers. A run with `keep=False` only
        reads.
        """
        if not ctx.keep:
            return await self._as_stored(user_of(ctx), session.id)
        as_key = store.tables.as_key
        journal = await self.journal()
        hold = Hold(
            as_key("user_id", user_of(ctx)),
            as_key("session id", session.id),
            as_key("run id", ctx.runId),
            leg=ctx.leg,
            asked=ctx.runAsked,
            behind=ctx.runBehind,
            job=ctx.runJob,
            cancel=ctx.cancelRun,
            input=store.tables.input_json(ctx.input) if ctx.inputIsFinal else None,
            says=ctx.input is not None,
            settings=store.tables.to_json({"agent": ctx.rootAgent, **ctx.runSettings}),
        )
        try:
            stored = await self._acquire(journal, hold)
        except RunPaused as error:
            error.session = await self.get(*hold.key)
            raise
        ctx[self._note], ctx["runAttempt"] = (journal, hold), hold.attempt
        if stored.interrupted is not None:
            ctx["interrupted"] = {call.call_id: asdict(call) for call in stored.interrupted}
        if stored.resumed is not None:
            ctx["resumed"] = asdict(stored.resumed)
        if hold.first_seat:
            ctx["unreadUsage"] = partial(journal.database.run, journal.unread, hold)
        return stored.session

    async def _as_stored(self, user_id: str, session_id: str) -> Session | None:
        """Return the session for a run that keeps nothing: with a result for each call, and held by nobody."""
        try:
            found = await self.get(user_id, session_id)
        except SessionNotFound:
            return None
        found.turns = paired(found.turns, closed(found.turns), where_said=True)
        return found.tell()

    async def onCheckpoint(self, session: Session, ctx: Context) -> None:
        """Store what is new."""
        held: Held | None = ctx.get(self._note)
        if held is not None:
            journal, hold = held
            ctx[f"{self._note} as it is"] = session
            note_progress(hold, ctx)
            mark = mark_of(ctx)
            if store.entries.has_news(hold, session, mark):
                await journal.database.run(journal.append, hold, snapshot(session), mark)

    async def onLLMEnd(self, response: dict[str, object], ctx: Context) -> None:
        """Store the answer at once: what other middleware does at the end of the run may take its time."""
        held: Held | None = ctx.get(self._note)
        session: Session | None = ctx.get(f"{self._note} as it is")
        if held is not None and session is not None:
            journal, hold = held
            if store.entries.has_news(hold, session):
                await journal.database.run(journal.append, hold, snapshot(session))

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        """Store the rest and how the run ended, and release the session."""
        held: Held | None = ctx.get(self._note)
        if held is not None:
            journal, hold = held
            note_progress(hold, ctx, is_over=True)
            error = None
            if ctx.status == "failed" and ctx.error is not None:
                error = {"message": scrubbed(str(ctx.error)), "kind": kind_of(ctx.error)}
            try:
                end = End(ctx.status, error, tuple(ctx.runPending))
                await journal.database.run(journal.finish, hold, snapshot(session), end)
            finally:
                self._waiting.wake(hold)

    async def _acquire(self, journal: Journal, hold: Hold) -> Stored:
        database = journal.database
        pause = FIRST_PAUSE
        try:
            while True:
                stored = await database.run(journal.claim, hold, queue=self.on_busy == "queue")
                if stored is not None and not has_gone_on(hold, stored):
                    return stored
                if stored is not None:
                    original = hold.session_id
                    await database.run(journal.go_apart, hold, new_id())
                    await self.companions.copied(hold.user_id, original, hold.session_id)
                    continue
                if self.on_busy == "reject":
                    raise SessionConflict(f"session {hold.session_id!r} is held by another run")
                if self.on_busy == "fork":
                    original = hold.session_id
                    await database.run(journal.fork, hold, new_id())
                    await self.companions.copied(hold.user_id, original, hold.session_id)
                    continue
                await self._waiting.wait(hold, pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        except BaseException:
            database.submit(journal.give_up, hold).add_done_callback(lambda _: self._waiting.wake(hold))
            raise


class Waiting:
    """Lets waiting runs of this process wake each other, so that they need not wait for their next look."""

    def __init__(self) -> None:
        self._runs: dict[Hold, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}

    async def wait(self, hold: Hold, seconds: float) -> None:
        """Wait that long, or until a run of this process that held the session has ended."""
        woken = asyncio.Event()
        self._runs[hold] = asyncio.get_running_loop(), woken
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            del self._runs[hold]

    def wake(self, ended: Hold) -> None:
        """Wake the run that has waited longest for the session of the one that ended."""
        waiting = [(hold.run_no, *place) for hold, place in list(self._runs.items()) if hold.key == ended.key]
        for _, loop, woken in sorted(waiting, key=lambda run: run[0])[:1]:
            with contextlib.suppress(RuntimeError):  # its loop was closed meanwhile
                loop.call_soon_threadsafe(woken.set)


def has_gone_on(hold: Hold, stored: Stored) -> bool:
    """Return whether the session that a run has got has turns behind the one that the run goes on from."""
    if hold.behind is None or hold.job is not None or hold.attempt > 1 or stored.session is None:
        return False
    return stored.session.turns[-1:] != [] and stored.session.turns[-1].id != hold.behind


def user_of(ctx: Context) -> str:
    """Return the session's user, as text."""
    given = ctx["userId"]  # a context value may be anything
    return "" if given is None else str(given)


def snapshot(session: Session) -> Session:
    """Return the session as it is now: a cancelled run may go on while its last save is still under way."""
    return session.model_copy(update={"turns": list(session.turns), "stack": list(session.stack)})


def note_progress(hold: Hold, ctx: Context, *, is_over: bool = False) -> None:
    """Note what the row of the run says of how far it is. Seconds alone are worth no write before its end."""
    hold.usage, progress = ctx.usage, ctx.runProgress
    if is_over or {**progress, "seconds": 0} != hold.noted:
        hold.noted = {**progress, "seconds": 0}
        hold.progress = store.tables.to_json(progress)


def mark_of(ctx: Context) -> Mark | None:
    """Return what the ledger has to know of this checkpoint."""
    point = ctx.get("checkpoint") or {}
    if point.get("at") not in ("tool_start", "tool_end"):
        return None
    return Mark(
        ends=point["at"] == "tool_end",
        call_id=point["call_id"],
        name=point.get("name", ""),
        idempotent=bool(point.get("idempotent")),
    )
