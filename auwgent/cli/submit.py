"""`auwgent submit`: queues a run for workers."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from auwgent.cli import options
from auwgent.cli.request import PAUSED, options_of
from auwgent.cli.stores import Moment
from auwgent.fleet.ticket import Ticket
from auwgent.render.questions import paused
from auwgent.render.terminal import for_output
from auwgent.runtime import Runtime


@click.command(
    "submit",
    epilog=options.examples(
        'auwgent submit "Summarise the night" -s news',
        'auwgent submit "Order 7" --run-id order-7 --priority 10 --wait',
        'auwgent submit "Good morning" --at 2026-12-24T07:00',
    ),
)
@click.argument("prompt", metavar="PROMPT", type=options.TEXT)
@options.config
@click.option(
    "-s",
    "--session",
    type=options.SESSION,
    metavar="ID",
    help="The session that the run goes on with, or begins.",
)
@options.user
@click.option(
    "--run-id", type=options.ID, metavar="ID", help="The run's id; the same one again is the same run."
)
@click.option(
    "--priority",
    type=int,
    default=0,
    metavar="N",
    help="Runs of other sessions with less begin later. Default: 0.",
)
@click.option(
    "--at",
    type=Moment(to_come=True),
    metavar="TIME",
    help="When it is accepted: a time, or from now, such as 30m.",
)
@click.option("--wait", is_flag=True, help="Wait until it is over, and print the answer as `run` does.")
@click.option(
    "--context",
    type=options.PAIR,
    multiple=True,
    metavar="K=V",
    help="A value for {{ ctx.… }}. May be repeated.",
)
@options.profile
@options.overrides
@options.as_json
def command(
    prompt: str,
    config: Path,
    session: str | None,
    user: str | None,
    run_id: str | None,
    priority: int,
    at: datetime | None,
    wait: bool,
    context: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Queue a run for workers, and print its id: it is accepted then, and ends whatever dies.

    With --wait, standard output has the answer, standard error the id; exit codes are those of `run`.
    """
    agent = Runtime(config, profile=profile, overrides=overrides)
    given: dict[str, Any] = {"session_id": session, "user_id": user, "context": options.pairs(context)}
    if run_id is not None:
        given["run_id"] = run_id
    return asyncio.run(_submit(agent, prompt, given, priority, at, wait, as_json, options_of(config, user)))


async def _submit(
    agent: Runtime,
    prompt: str,
    given: dict[str, Any],
    priority: int,
    at: datetime | None,
    wait: bool,
    as_json: bool,
    answering: list[str],
) -> int:
    async with agent:
        ticket: Ticket[Any] = await agent.submit(prompt, priority=priority, at=at, **given)
        told = {"run_id": ticket.id, "session_id": ticket.session_id, "user_id": ticket.user_id}
        if not wait:
            line = json.dumps({**told, "status": await ticket.status()}) if as_json else ticket.id
            click.echo(for_output(line))
            return 0
        if not as_json:
            click.echo(for_output(ticket.id), err=True)
        found = await ticket.result()
        if as_json:
            shown = {"event": "run", "status": found.status, **told, "text": found.text}
            click.echo(for_output(json.dumps(shown, ensure_ascii=False)))
        elif found.status == "paused":
            click.echo(paused(ticket.id, found.pending, answering), err=True)
        else:
            click.echo(for_output(found.text))
        sys.stdout.flush()
        return PAUSED if found.status == "paused" else 0
