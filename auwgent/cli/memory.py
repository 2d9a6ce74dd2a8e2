"""`auwgent memory`: what `Remember` keeps of a user."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.cli.instances import instance_of
from auwgent.cli.stores import local, plain
from auwgent.errors import ConfigError
from auwgent.middleware.remember import Remember
from auwgent.render.terminal import harmless
from auwgent.store.side.facts import Fact

about_user = click.option(
    "-u", "--user", type=options.TEXT, metavar="USER", help="About whom. Without it, nobody."
)


@click.group(
    "memory", epilog=options.examples("auwgent memory list -u ada", "auwgent memory delete -u ada 3")
)
def command() -> None:
    """List and delete what is remembered of a user."""


@command.command("list", epilog=options.examples("auwgent memory list -u ada", "auwgent memory list --json"))
@options.config
@about_user
@options.as_json
def list_(config: Path, user: str | None, as_json: bool) -> None:
    """List the facts, the oldest first, each with its number."""

    async def found() -> list[Fact]:
        async with instance_of(Remember, config) as (memory, _):
            return await memory.facts(user or "")

    with redirect_stdout(sys.stderr):  # what the config's modules print is no part of the list
        facts = asyncio.run(found())
    if as_json:
        click.echo(json.dumps([plain(fact) for fact in facts], ensure_ascii=False, indent=2))
        return
    for fact in facts:
        click.echo(harmless(f"{fact.number}  {local(fact.at)}  {fact.text}"))


@command.command(
    "delete", epilog=options.examples("auwgent memory delete -u ada 3 4", "auwgent memory delete --all")
)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="Delete all facts of this user.")
@options.config
@about_user
def delete(numbers: tuple[int, ...], everything: bool, config: Path, user: str | None) -> None:
    """Delete facts by their numbers, or all."""
    if bool(numbers) is everything:
        raise click.UsageError("name the numbers of facts, or give --all")

    async def forget() -> int:
        async with instance_of(Remember, config) as (memory, _):
            known = {fact.number for fact in await memory.facts(user or "")}
            for number in numbers:
                if number not in known:
                    raise ConfigError(
                        f"there is no fact number {number} of {f'user {user!r}' if user else 'nobody'}"
                    )
            return await memory.forget(user or "", numbers or None)

    count = asyncio.run(forget())
    click.echo(f"deleted {count} fact{'' if count == 1 else 's'}", err=True)
