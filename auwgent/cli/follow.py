"""Prints a run of another process, as its store tells of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from auwgent.cli.interrupt import interruptible
from auwgent.cli.request import PAUSED, options_of
from auwgent.cli.stores import find_run, source_of, with_store
from auwgent.config import Config, load
from auwgent.errors import RunFailed, SessionNotFound
from auwgent.intents import Intent
from auwgent.questions import unanswered
from auwgent.render.run import JsonLines, Outcome, PlainText, Printer
from auwgent.serve.told import intents_of
from auwgent.session import Session, Usage
from auwgent.store.base import RunInfo, RunStore

LOOK = 0.5  # seconds between two looks


def follow(config: Path, user: str, run_id: str, *, as_json: bool, quiet: bool) -> int:
    """Print the run until it is over, or waits for answers; gives the exit code. `RunFailed` where it failed."""
    loaded = load(source_of(config), only="middleware")
    silent = {name for name, helper in loaded.helpers.items() if helper.handoff == "return"}
    printer: Printer = JsonLines(sys.stdout)
    if not as_json:
        printer = PlainText(
            sys.stdout,
            sys.stderr,
            speaks=lambda agent: agent not in silent,
            root=loaded.agent.name,
            quiet=quiet,
            answering=options_of(config, user or None),
        )
    ended: list[RunInfo] = []

    async def work(store: RunStore) -> int:
        async def look() -> None:
            ended.append(await _follow(store, user, run_id, loaded, printer))

        return await interruptible(look())

    code = with_store(config, work)
    return PAUSED if ended and ended[0].status == "paused" else code


async def _follow(store: RunStore, user: str, given: str, config: Config, printer: Printer) -> RunInfo:
    run_id = (await find_run(store, user, given)).run_id
    shown, before = 0, set[str]()
    while True:
        run = await store.run(user, run_id)
        session = await _session(store, run)
        is_live = run.status in ("queued", "running")
        if session is not None:
            known = before if is_live else None
            for intent in list(_told(session, run_id, known, config))[shown:]:
                printer.show(intent)
                shown += 1
            before = {turn.id for turn in session.turns}
        if not is_live:
            break
        await asyncio.sleep(LOOK)
    failure = None
    if run.status not in ("completed", "paused"):
        told = run.error or {"message": f"the run was {run.status}", "kind": run.status}
        failure = RunFailed(told["message"], kind=told["kind"] if run.status == "failed" else run.status)
    calls = unanswered(run.calls, run.answers) if run.status == "paused" else ()
    is_paused = run.status == "paused"
    printer.over(Outcome(session, run.usage or Usage(), failure, run.run_id, calls, is_paused))
    if failure is not None:
        raise failure
    return run


async def _session(store: RunStore, run: RunInfo) -> Session | None:
    if run.session_id is None:
        return None
    try:
        return await store.get(run.user_id, run.session_id)
    except SessionNotFound:  # it is not written yet
        return None


def _told(session: Session, run_id: str, known: set[str] | None, config: Config) -> Iterator[Intent]:
    """Yield the intents that the turns tell of. A result stands for a call under way until its turn is `known`."""
    turns = [turn for turn in session.turns if turn.run_id == run_id]
    if known is not None:
        fresh = (place for place, turn in enumerate(turns) if turn.role == "tool" and turn.id not in known)
        turns = turns[: next(fresh, len(turns))]
    for intent in intents_of(turns, run_id):
        called = intent.value.get("type") or intent.value.get("name")
        is_helper = intent.name.startswith("tool_") and called in config.helpers
        yield replace(intent, name=intent.name.replace("tool_", "helper_")) if is_helper else intent
