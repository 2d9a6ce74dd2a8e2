"""`auwgent runs`: what was asked of the agent, how it ended, and what can still be done about it."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, cast

import click

from auwgent.cli import approval, options
from auwgent.cli.answer import command as answer
from auwgent.cli.follow import follow
from auwgent.cli.request import carried, options_of
from auwgent.cli.stores import find_run, local, plain, source_of, with_queue, with_store
from auwgent.errors import AuwgentError, ConfigError
from auwgent.render.conversation import end_of
from auwgent.render.money import dollars
from auwgent.render.recalled import recalled
from auwgent.render.sent import Requests
from auwgent.render.terminal import Style, for_output, one_line, paint, wants_colour
from auwgent.runs import input_of, over
from auwgent.runtime import PATIENCE, Runtime
from auwgent.session import Session
from auwgent.store.base import OVER, RUN_STATUSES, RunInfo, RunStatus, RunStore
from auwgent.stream import Stream

LISTED = 20
COLOURS: dict[str, Style] = {
    "failed": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "dead": "red",
    "paused": "yellow",
}

run_id = click.argument("run_id", metavar="RUN", type=options.ID)


@click.group(
    "runs",
    epilog=options.examples(
        "auwgent runs list --status failed", "auwgent runs show order-7", "auwgent runs cancel order-7"
    ),
)
def command() -> None:
    """List, read, follow, answer, cancel and retry runs. -u names their user (default: none).

    RUN is the id of a run, or a beginning that no other one of that user has.
    """


@command.command(
    "list",
    epilog=options.examples("auwgent runs list --status failed", "auwgent runs list -u ada -n 0 --json"),
)
@options.config
@options.user
@click.option("--status", type=click.Choice(RUN_STATUSES), help="Those that stand so.")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=LISTED, show_default=True, help="0: all.")
@options.as_json
def list_(config: Path, user: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first; --json prints an object a line."""
    wanted = cast("RunStatus | None", status)
    runs = with_store(config, lambda store: store.runs(user or "", wanted, limit=limit or None))
    for run in runs:
        click.echo(for_output(json.dumps(facts(run), ensure_ascii=False)) if as_json else _line(run))


@command.command(
    "show",
    epilog=options.examples(
        "auwgent runs show order-7", "auwgent runs show order-7 --json", "auwgent runs show order-7 --debug"
    ),
)
@run_id
@options.config
@options.user
@options.as_json
@click.option("--debug", is_flag=True, help="Show what was sent to the models, as far as it is stored.")
def show(run_id: str, config: Path, user: str | None, as_json: bool, debug: bool) -> None:
    """Show a run: what it was asked, how it stands, what it used and where it failed."""

    async def work(store: RunStore) -> tuple[RunInfo, Session | None]:
        run = await find_run(store, user or "", run_id)
        is_there = debug and run.session_id is not None
        return run, await store.get(user or "", str(run.session_id)) if is_there else None

    run, session = with_store(config, work)
    if as_json:
        more = {"leg": run.leg, "attempt": run.attempt, "usage": used(run), "input": run.input}
        click.echo(for_output(json.dumps(facts(run) | more, ensure_ascii=False, indent=2)))
    else:
        _show(run)
    if session is not None:
        requests = Requests(sys.stderr)
        for sent in recalled(session, run.run_id):
            requests(sent)
        click.echo("tools, params and what middleware added to one call alone are not stored", err=True)


@command.command("cancel", epilog=options.examples("auwgent runs cancel order-7", "auwgent runs cancel 5d1c"))
@run_id
@options.config
@options.user
@options.as_json
def cancel(run_id: str, config: Path, user: str | None, as_json: bool) -> None:
    """End a run, whichever process has it: it is saved as cancelled."""

    async def work(store: RunStore) -> tuple[RunInfo, RunInfo]:
        before = await find_run(store, user or "", run_id)
        if before.status in OVER:
            return before, before
        await store.cancel(user or "", before.run_id)
        return before, await over(store, user or "", before.run_id, PATIENCE)

    before, run = with_store(config, work)
    if as_json:
        click.echo(for_output(json.dumps(facts(run), ensure_ascii=False)))
    if before.status in OVER and run.status != "cancelled":
        raise AuwgentError(f"run {run.run_id!r} is over: it is {run.status}")
    if run.status not in OVER:
        raise AuwgentError(
            f"run {run.run_id!r} was asked to end and is {run.status} still; `auwgent runs show` tells when it has"
        )
    if not as_json:
        click.echo(_line(run))


@command.command("follow", epilog=options.examples("auwgent runs follow order-7"))
@run_id
@options.config
@options.user
@options.as_json
@click.option("-q", "--quiet", is_flag=True, help="Print only the answer and errors.")
def follow_(run_id: str, config: Path, user: str | None, as_json: bool, quiet: bool) -> int:
    """Print a run of another process until it is over. Exit codes are those of `run`.

    It comes as it is said where the sessions are in PostgreSQL, else as it is stored. Ctrl-C ends only the looking on.
    """
    return follow(config, user or "", run_id, as_json=as_json, quiet=quiet)


@command.command("retry", epilog=options.examples("auwgent runs retry order-7"))
@run_id
@options.config
@options.user
@options.as_json
@click.option("-q", "--quiet", is_flag=True, help="Print only the answer and errors.")
def retry(run_id: str, config: Path, user: str | None, as_json: bool, quiet: bool) -> int:
    """Go on where the last run of a session failed: a new run with the turns that are there, and no new input.

    One that failed before its input was said says it. It gets the context values, the profile and the --set of the
    run that failed. A run of a queue goes back into it, under its own id, once it failed or is dead.
    """
    run, content = with_store(config, lambda store: _failed(store, user or "", run_id))
    if run.is_queued:
        profile = run.settings.get("profile")
        with_queue(config, lambda queue: queue.retry(user or "", run.run_id, run.agent, profile))
        if not quiet:
            click.echo(
                f"run {run.run_id} is queued again; `auwgent runs follow {run.run_id}` prints it", err=True
            )
        return 0
    kept, out = run.settings, sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        agent = Runtime(
            source_of(config),
            profile=kept.get("profile"),
            overrides=kept.get("overrides", ()),
            on_approval=approval.Approval() if approval.somebody_is_there() else None,
        )

        async def begin() -> Stream:
            return agent.stream(
                content, session_id=run.session_id, user_id=user or "", context=kept.get("context") or {}
            )

        answering = options_of(config, user)
        return carried(agent, begin, out, as_json=as_json, quiet=quiet, answering=answering)


async def _failed(store: RunStore, user: str, given: str) -> tuple[RunInfo, Any]:
    """Return the run of that id, if it is the last one of its session and failed; else say what can be done.

    With it what it was asked, where that was not said.
    """
    run = await find_run(store, user, given)
    if run.session_id is None:
        raise ConfigError(f"the session of run {run.run_id!r} was deleted")
    (last,) = await store.runs(user, session_id=run.session_id, limit=1)
    if run.status == "interrupted":
        raise ConfigError(
            f"run {run.run_id!r} was interrupted: `auwgent run --resume -s {run.session_id}` goes on with it"
        )
    if run.status not in ("failed", "dead"):
        raise ConfigError(f"run {run.run_id!r} is {run.status}; only one that failed can be tried again")
    if last.run_id != run.run_id:
        raise ConfigError(
            f"session {run.session_id!r} has gone on since run {run.run_id!r}; its last one is {last.run_id!r}"
        )
    if run.input is None:
        raise ConfigError(f"nothing that run {run.run_id!r} was asked is stored: ask again")
    session = await store.get(user, run.session_id)
    is_said = any(turn.run_id == run.run_id and turn.role == "user" for turn in session.turns)
    return run, None if is_said else input_of(run)


command.add_command(answer)


def facts(run: RunInfo) -> dict[str, Any]:
    """What a program is told of a run in a list."""
    names = ("run_id", "session_id", "user_id", "status", "agent", "calls")
    times = ("made_at", "started_at", "ended_at", "error")
    row = plain(run)
    return {name: row[name] for name in (*names, *times)}


def used(run: RunInfo) -> dict[str, Any] | None:
    """What a run used, as JSON data."""
    return None if run.usage is None else run.usage.model_dump(mode="json")


def _show(run: RunInfo) -> None:
    click.echo(_line(run))
    if run.input is not None:
        click.echo(one_line(f"  input: {run.input}"))
    if run.usage is not None:
        money = "" if run.usage.usd is None else f", {dollars(run.usage.usd)} USD"
        click.echo(f"  tokens: {run.usage.input_tokens} in, {run.usage.output_tokens} out{money}")
    if run.error is not None and run.status in ("failed", "dead"):
        click.echo(one_line(f"  error ({run.error['kind']}): {run.error['message']}"))


def _line(run: RunInfo) -> str:
    status = paint(f"{run.status:11}", COLOURS.get(run.status, "dim"), on=wants_colour(sys.stdout))
    session = "(its session was deleted)" if run.session_id is None else run.session_id
    why = end_of(run) if run.status in ("failed", "dead") else None
    left = one_line(f"{run.run_id}  {local(run.made_at)}")
    return f"{left}  {status}  {one_line(' '.join(filter(None, (session, why))))}"
