"""`auwgent memory`: what `Remember` keeps of a user."""

from __future__ import annotations

import json
from pathlib import Path

import click

from auwgent.cli import options
from auwgent.cli.stores import local, plain, with_one
from auwgent.config import load
from auwgent.errors import ConfigError
from auwgent.middleware.remember import Remember
from auwgent.render.terminal import for_output, one_line

about_user = click.option(
    "-u", "--user", type=options.TEXT, metavar="USER", help="The user whose facts to list (default: none)."
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

    facts = with_one(Remember, load(config, only="middleware"), lambda memory: memory.facts(user or ""))
    if as_json:
        click.echo(for_output(json.dumps([plain(fact) for fact in facts], ensure_ascii=False, indent=2)))
        return
    for fact in facts:
        click.echo(one_line(f"{fact.number}  {local(fact.at)}  {fact.text}"))


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

    async def forget(memory: Remember) -> int:
        known = {fact.number for fact in await memory.facts(user or "")}
        for number in numbers:
            if number not in known:
                whose = f"user {user!r}" if user else "the default user"
                raise ConfigError(f"there is no fact number {number} of {whose}")
        return await memory.forget(user or "", numbers or None)

    count = with_one(Remember, load(config, only="middleware"), forget)
    click.echo(f"deleted {count} fact{'' if count == 1 else 's'}", err=True)
