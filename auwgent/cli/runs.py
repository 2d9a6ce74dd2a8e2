"""`auwgent runs`: what was asked of the agent, and how it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import click

from auwgent.cli import options
from auwgent.cli.answer import command as answer
from auwgent.cli.stores import end_of, local, plain, with_store
from auwgent.render.terminal import Style, for_output, one_line, paint, wants_colour
from auwgent.store.base import RUN_STATUSES, RunInfo, RunStatus

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
    "runs", epilog=options.examples("auwgent runs list --status failed", "auwgent runs show order-7")
)
def command() -> None:
    """List runs, and how each ended. -u names their user (default: none)."""


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
    "show", epilog=options.examples("auwgent runs show order-7", "auwgent runs show order-7 --json")
)
@run_id
@options.config
@options.user
@options.as_json
def show(run_id: str, config: Path, user: str | None, as_json: bool) -> None:
    """Show a run: what it was asked, how it stands, what it used and where it failed."""
    run = with_store(config, lambda store: store.run(user or "", run_id))
    if as_json:
        more = {"leg": run.leg, "attempt": run.attempt, "usage": used(run), "input": run.input}
        click.echo(for_output(json.dumps(facts(run) | more, ensure_ascii=False, indent=2)))
        return
    click.echo(_line(run))
    if run.input is not None:
        click.echo(one_line(f"  input: {run.input}"))
    if run.usage is not None:
        money = "" if run.usage.usd is None else f", {run.usage.usd:.4f} USD"
        click.echo(f"  tokens: {run.usage.input_tokens} in, {run.usage.output_tokens} out{money}")
    if run.error is not None:
        click.echo(one_line(f"  error ({run.error['kind']}): {run.error['message']}"))


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


def _line(run: RunInfo) -> str:
    status = paint(f"{run.status:11}", COLOURS.get(run.status, "dim"), on=wants_colour(sys.stdout))
    session = "(its session was deleted)" if run.session_id is None else run.session_id
    why = end_of(run) if run.status == "failed" else None
    left = one_line(f"{run.run_id}  {local(run.made_at)}")
    return f"{left}  {status}  {one_line(' '.join(filter(None, (session, why))))}"
