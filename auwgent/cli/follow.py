"""Prints a run of another process: as that one tells of it, where the store lets it, else as it is stored."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from auwgent.cli.interrupt import interruptible
from auwgent.cli.request import PAUSED, options_of
from auwgent.cli.stores import find_run, source_of, with_store
from auwgent.config import Config, load
from auwgent.errors import RunFailed
from auwgent.intents import Intent
from auwgent.questions import unanswered
from auwgent.relay.follow import Began, Ended, Item, Step
from auwgent.relay.follow import follow as following
from auwgent.relay.stored import Seen, counted, unseen
from auwgent.render.run import JsonLines, PlainText, Printer, RunOutcome
from auwgent.session import Usage
from auwgent.store.base import RunInfo, RunStore


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
    shown = Shown(config, printer)
    ended: Ended | None = None
    goes_on = getattr(config, "queue", None) is not None
    async with aclosing(following(store, user, run_id, goes_on=goes_on)) as batches:
        async for items in batches:
            for item in items:
                if isinstance(item, Ended):
                    ended = item
                else:
                    shown.take(item)
    assert ended is not None
    run, failure = ended.run, None
    if run.status not in ("completed", "paused"):
        told = run.error or {"message": f"the run was {run.status}", "kind": run.status}
        failure = RunFailed(told["message"], kind=told["kind"] if run.status == "failed" else run.status)
    calls = unanswered(run.calls, run.answers) if run.status == "paused" else ()
    is_paused = run.status == "paused"
    printer.over(RunOutcome(ended.session, run.usage or Usage(), failure, run.run_id, calls, is_paused))
    if failure is not None:
        raise failure
    return run


class Shown:
    """Shows each intent of a run once, whoever tells of it."""

    def __init__(self, config: Config, printer: Printer) -> None:
        self._config, self._printer = config, printer
        self._seen: Seen = (0, 0, 0, 0)
        self._stored = False  # what comes is what the store has
        self._segments = self._next = 0  # of who told before; the next one that is free

    def take(self, item: Item) -> None:
        """Take the next item."""
        if isinstance(item, Began):
            for intent in unseen(item.earlier, self._seen):
                self._show(intent)
            self._stored, self._segments = not item.process, self._next
        elif isinstance(item, Step):
            self._show(self._named(item.intent) if self._stored else item.intent)

    def _show(self, intent: Intent) -> None:
        if intent.partial:
            segment = self._segments + intent.value["segment"]
            self._next = max(self._next, segment + 1)
            intent = replace(intent, value={**intent.value, "segment": segment})
        else:
            self._seen = counted(intent, self._seen)
        self._printer.show(intent)

    def _named(self, intent: Intent) -> Intent:
        """Name a call of a helper so: the turns do not tell."""
        called = intent.value.get("type") or intent.value.get("name")
        is_helper = intent.name.startswith("tool_") and called in self._config.helpers
        return replace(intent, name=intent.name.replace("tool_", "helper_")) if is_helper else intent
