"""`auwgent replay`: a stored conversation again, with other models or another prompt, side by side."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from auwgent.cli import FAILED, approval, options
from auwgent.cli.interrupt import interruptible
from auwgent.entry import auwgent
from auwgent.errors import ConfigError
from auwgent.files import write_new
from auwgent.prompts import read_prompt
from auwgent.render import comparison
from auwgent.render.terminal import for_output, one_line, wants_colour
from auwgent.replay import Replay, Take, Tools, replay, word_diff
from auwgent.session import Session
from auwgent.testing.complaint import as_test


@click.command(
    "replay",
    epilog=options.examples(
        "auwgent replay trip -m openai/gpt-5-mini -m anthropic/claude-sonnet-4-5",
        "auwgent replay trip --at 5d1c --prompt kinder.md --html replay.html",
    ),
)
@click.argument("session_id", metavar="SESSION", type=options.SESSION)
@click.option(
    "--at", type=options.ID, metavar="TURN", help="From this turn; without it, from the newest input."
)
@click.option(
    "-m",
    "--model",
    "models",
    type=options.MODEL,
    multiple=True,
    metavar="MODEL",
    help="Replay with this model. May be repeated.",
)
@click.option(
    "--prompt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A system prompt in place of the agent's.",
)
@click.option(
    "--tools",
    type=click.Choice(["stored", "live"]),
    default="stored",
    show_default=True,
    help="Whether tools answer from the past, or are run.",
)
@click.option("--keep", is_flag=True, help="Keep each replay as a session of its own.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page with columns side by side to a new file.",
)
@options.config
@options.user
@options.profile
@options.overrides
@options.as_json
def command(
    session_id: str,
    at: str | None,
    models: tuple[str, ...],
    prompt: Path | None,
    tools: Tools,
    keep: bool,
    html: Path | None,
    config: Path,
    user: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Replay a SESSION from a turn, once with each model, and compare what comes of it with what was said.

    Tools answer from what is stored; a call that the past does not know ends that replay. Nothing is written into
    the session. Exit codes: 0 all were completed, 1 one was not, 2 wrong usage or config.
    """
    approver = approval.Approval() if tools == "live" and approval.somebody_is_there() else None
    agent = auwgent(config, profile=profile, overrides=overrides)
    found: list[Replay] = []

    def done(take: Take) -> None:
        click.echo(one_line(f"{take.model}: {take.status}, {take.seconds:.1f} s"), err=True)

    async def work() -> None:
        found.append(
            await replay(
                agent,
                session_id,
                user_id=user or "",
                at=at,
                models=models,
                prompt=None if prompt is None else _text(prompt),
                tools=tools,
                keep=keep,
                on_approval=approver,
                done=done,
            )
        )

    with redirect_stdout(sys.stderr):
        code = asyncio.run(interruptible(work()))
    if code:
        return code
    (one,) = found
    if html is not None:
        diffs = [word_diff(one.stored.text, take.text) for take in one.takes]
        try:
            write_new(html, comparison.page(one, diffs))
        except OSError as error:
            raise click.FileError(str(html), error.strerror) from error
    _show(one, as_json)
    return 0 if all(take.status == "completed" for take in one.takes) else FAILED


def _text(path: Path) -> str:
    try:
        return read_prompt(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--prompt: {error}") from error


def _show(one: Replay, as_json: bool) -> None:
    if as_json:
        facts = {
            "session_id": one.session_id,
            "at": one.at,
            "stored": one.stored.plain(),
            "replays": [take.plain() for take in one.takes],
        }
        click.echo(for_output(json.dumps(facts, ensure_ascii=False, indent=2)))
        return
    for line in comparison.rows([one.stored, *one.takes]):
        click.echo(for_output(line))
    colour = wants_colour(sys.stdout)
    for take in one.takes:
        click.echo("")
        click.echo(one_line(f"{take.model}{': ' + take.error if take.error else ''}"))
        click.echo(comparison.words(word_diff(one.stored.text, take.text), colour=colour))
        if take.session is not None:
            click.echo(one_line(f"kept as session {take.session.id}"), err=True)


def made_test(session: Session, name: str, at: str | None, config: Path) -> Path:
    """Make a test of an exchange; gives its file."""
    with redirect_stdout(sys.stderr):
        return asyncio.run(as_test(auwgent(config), session, name, at))
