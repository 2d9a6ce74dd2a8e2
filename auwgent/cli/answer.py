"""`auwgent runs answer`: an answer to what a paused run waits for."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from auwgent.cli import approval, options
from auwgent.cli.request import PAUSED, carried, options_of
from auwgent.cli.stores import find_run, source_of, with_queue, with_store
from auwgent.questions import unanswered
from auwgent.render.questions import paused
from auwgent.runtime import Runtime
from auwgent.store.base import RunInfo, RunStore
from auwgent.stream import Stream


@click.command(
    "answer",
    epilog=options.examples(
        "auwgent runs answer order-7 call_1 yes",
        'auwgent runs answer order-7 call_1 no --because "too dear"',
        "auwgent runs answer order-7 call_2 --result '{\"temperature\": 21}'",
    ),
)
@click.argument("run_id", metavar="RUN", type=options.ID)
@click.argument("call_id", metavar="CALL", type=options.ID)
@click.argument("answer", metavar="[yes|no]", required=False, type=click.Choice(["yes", "no"]))
@click.option("--because", type=options.TEXT, metavar="TEXT", help="Why not; the model reads it.")
@click.option("--result", type=options.TEXT, metavar="JSON", help="What the caller's tool gave.")
@click.option("--error", type=options.TEXT, metavar="TEXT", help="Why the caller's tool failed.")
@click.option("--no-run", is_flag=True, help="Write it down, and leave it to others to go on with the run.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the answer and errors.")
@options.config
@options.user
@options.as_json
def command(
    run_id: str,
    call_id: str,
    answer: str | None,
    because: str | None,
    result: str | None,
    error: str | None,
    no_run: bool,
    quiet: bool,
    config: Path,
    user: str | None,
    as_json: bool,
) -> int:
    """Answer what a paused run waits for.

    Once all its calls are answered, the run goes on here, as `auwgent run` would. Exit codes: 0 done, 1 the run failed,
    2 an answer that does not fit, 3 the run waits for more answers.
    """
    given = {call_id: _value(answer, because, result, error)}

    async def work(store: RunStore) -> RunInfo:
        return await store.answer(user or "", (await find_run(store, user or "", run_id)).run_id, given)

    run = with_store(config, work)
    if calls := unanswered(run.calls, run.answers):
        if not quiet:
            click.echo(paused(run.run_id, calls, options_of(config, user)), err=True)
        return PAUSED
    if no_run:
        if run.is_queued:
            with_queue(config, lambda queue: queue.goes_on(user or "", run.run_id))
        return 0
    source = source_of(config)
    agent = Runtime(
        source,
        overrides=run.settings.get("overrides", ())
        if isinstance(source, dict)
        else (),  # they name the model
        on_approval=approval.Approval() if approval.somebody_is_there() else None,
    )
    begin = partial(_begin, agent, run.run_id, user, given)
    return carried(agent, begin, sys.stdout, as_json=as_json, quiet=quiet, answering=options_of(config, user))


async def _begin(agent: Runtime, run_id: str, user: str | None, given: dict[str, Any]) -> Stream:
    return agent.stream(None, run_id=run_id, user_id=user or "", answers=given)


def _value(answer: str | None, because: str | None, result: str | None, error: str | None) -> Any:
    if sum(one is not None for one in (answer, result, error)) != 1:
        raise click.UsageError("answer with yes, no, --result JSON or --error TEXT: one of them")
    if because is not None and answer != "no":
        raise click.UsageError("--because says why not: it goes with `no`")
    if error is not None:
        return {"error": error}
    if result is None:
        return because or False if answer == "no" else True
    try:
        return {"result": json.loads(result)}
    except ValueError as problem:
        raise click.UsageError(f"--result is not JSON: {problem}") from None
