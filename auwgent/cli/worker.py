"""`auwgent worker`: takes runs from the queue."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.imports import late
from auwgent.render.terminal import harmless
from auwgent.runtime import Runtime


@click.command(
    "worker",
    epilog=options.examples("auwgent worker", "auwgent worker --concurrency 50"),
)
@options.config
@options.profile
@options.overrides
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Carry out so many runs at once instead of `queue.concurrency`.",
)
def command(config: Path, profile: str | None, overrides: tuple[str, ...], concurrency: int | None) -> int:
    """Take runs from the queue, as [queue] of the config says, until a signal ends it.

    SIGTERM and Ctrl-C take no more and give the runs under way `serve.drain` seconds; what is left then goes on
    elsewhere from its last checkpoint. A second signal does not wait.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    agent = Runtime(
        config,
        profile=profile,
        overrides=overrides,
        middleware=[late("auwgent.serve.instructions:Instructions")()],  # of what servers have queued
        on_approval=late("auwgent.fleet.worker:approver"),
    )
    agent.check_keys()
    return asyncio.run(_work(agent, concurrency))


async def _work(agent: Runtime, concurrency: int | None) -> int:
    loop, stopped, hurry = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    interrupts: list[int] = []

    def stop(number: int) -> None:
        interrupts.append(number)
        (hurry if stopped.is_set() else stopped).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with agent:
        worker = late("auwgent.fleet.worker:Worker")(agent, concurrency)
        await worker.open()
        _say(f"worker {worker.number} takes runs of {agent.config.agent.name}, {worker.concurrency} at once")
        await stopped.wait()
        seconds = agent.config.serve.drain
        if worker.count:
            _say(f"closing: {worker.count} runs have {seconds:g} s to end; a second signal does not wait")
        await worker.close(seconds, hurry)
    return 130 if signal.SIGINT in interrupts else 0


def _say(line: str) -> None:
    click.echo(harmless(line), err=True)
