"""`auwgent sessions`: the sessions that the config's store keeps."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO, TypeVar

import click
from pydantic import ValidationError

from auwgent import elsewhere
from auwgent.cli import options
from auwgent.cli.progress import ProgressBar, Steps
from auwgent.cli.stores import SINCE, local, of_session, plain, with_store
from auwgent.errors import ConfigError, SessionNotFound
from auwgent.files import write_new
from auwgent.imports import late
from auwgent.middleware.sessions import SQLModelSessions
from auwgent.pairing import closed, paired
from auwgent.render import conversation
from auwgent.render.page import page
from auwgent.render.terminal import for_output, one_line, paint, wants_colour
from auwgent.session import FROM_A_FILE, Session, misfits, new_id
from auwgent.store.base import Hit, RunInfo, RunStore, SessionStore

LISTED = 20
T = TypeVar("T")

id_or_newest = click.argument("session_id", metavar="[ID]", required=False, type=options.SESSION)
one_id = click.argument("session_id", metavar="ID", type=options.SESSION)


@click.group(
    "sessions",
    epilog=options.examples(
        "auwgent sessions list --since 7d", "auwgent sessions show", "auwgent sessions search invoice"
    ),
)
def command() -> None:
    """List, read, search, copy and delete sessions. -u names their user (default: none).

    ID is the id of a session, or a beginning that no other one of that user has.
    """


@command.command(
    "list",
    epilog=options.examples("auwgent sessions list --since 7d", "auwgent sessions list -u ada -n 0 --json"),
)
@options.config
@options.user
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=LISTED,
    show_default=True,
    help="How many to list (0: all).",
)
@click.option(
    "--since", type=SINCE, metavar="AGE|DATE", help="List those used since then, as in 7d or 2026-01-31."
)
@options.as_json
def list_(config: Path, user: str | None, limit: int, since: datetime | None, as_json: bool) -> None:
    """List sessions, the last used first."""
    rows = with_store(config, lambda store: store.list_sessions(user or "", limit=limit or None, since=since))
    if as_json:
        _print_json([plain(row) for row in rows])
        return
    width = max((len(row.id) for row in rows), default=0)
    for row in rows:
        status = "" if row.status in ("completed", None) else f"[{row.status}] "
        left = f"{one_line(row.id):{width}}  {local(row.updated_at)}  {row.turns:>4}  "
        room = max(20, shutil.get_terminal_size().columns - len(left) - len(status))
        preview = row.preview if len(row.preview) <= room else f"{row.preview[: room - 1]}…"
        click.echo(
            f"{left}{paint(status, 'yellow', on=wants_colour(sys.stdout))}{one_line(preview)}".rstrip()
        )
    if any(row.status == "interrupted" for row in rows):
        click.echo("auwgent run --resume -s ID goes on with one that was interrupted", err=True)


@command.command(
    "show", epilog=options.examples("auwgent sessions show", "auwgent sessions show trip --html trip.html")
)
@id_or_newest
@options.config
@options.user
@options.as_json
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write one HTML page, without scripts, to a new file that only you can read.",
)
def show(session_id: str | None, config: Path, user: str | None, as_json: bool, html: Path | None) -> None:
    """Show a conversation, tools folded to a line each. Without ID: the newest."""
    if as_json and html is not None:
        raise click.UsageError("--json and --html are two forms: give one of them")
    session, runs = _with_runs(config, user, session_id)
    ends = conversation.ends_of(reversed(runs))
    if html is not None:
        _write_new(html, page(session, ends))
        return
    if as_json:
        _print_json(session.model_dump(mode="json"))
        return
    for line in conversation.short(session, ends, colour=wants_colour(sys.stdout)):
        click.echo(line)


@command.command("search", epilog=options.examples("auwgent sessions search invoice march"))
@click.argument("words", nargs=-1, required=True, type=options.TEXT)
@options.config
@options.user
@options.as_json
def search(words: tuple[str, ...], config: Path, user: str | None, as_json: bool) -> None:
    """Find turns whose text has all of the WORDS, in any case."""

    async def found(store: SessionStore) -> list[Hit]:
        return [hit async for hit in store.search(user or "", " ".join(words))]

    hits = with_store(config, found)
    if as_json:
        _print_json([plain(hit) for hit in hits])
        return
    for hit in hits:
        click.echo(one_line(f"{hit.session_id}  {local(hit.created_at)}  {hit.role}: {hit.excerpt}"))


@command.command(
    "export",
    epilog=options.examples(
        "auwgent sessions export trip -o trip.json", "auwgent sessions export --format markdown | less"
    ),
)
@id_or_newest
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown", "openai", "anthropic"]),
    default="json",
    show_default=True,
    help="JSON can be imported again, Markdown is for people; openai, anthropic: their messages.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to a new file that only you can read.",
)
@click.option(
    "--as-test",
    "test",
    type=options.ID,
    metavar="NAME",
    help="Write a [[test]] of this name and its tape to tests/ beside the config.",
)
@click.option(
    "--at", type=options.ID, metavar="TURN", help="Of a test: the input to begin with; default: the newest."
)
@options.config
@options.user
@options.as_json
def export(
    session_id: str | None,
    form: Literal["json", "markdown", "openai", "anthropic"],
    output: Path | None,
    test: str | None,
    at: str | None,
    config: Path,
    user: str | None,
    as_json: bool,
) -> None:
    """Write a session out, whole, or make a test of one exchange in it. Without ID: the newest."""
    if test is not None:
        if output is not None or form != "json":
            raise click.UsageError("--as-test writes files of its own: leave out -o and --format")
        made = late("auwgent.cli.replay:made_test")(_with_runs(config, user, session_id)[0], test, at, config)
        _tell(as_json, str(made), test=test, file=str(made))
        return
    if at is not None:
        raise click.UsageError("--at goes with --as-test")
    if as_json and form != "json":
        raise click.UsageError("--json and --format markdown are two forms: give one of them")
    session, runs = _with_runs(config, user, session_id)
    session.turns = paired(session.turns, closed(session.turns), where_said=True)  # nobody can answer a copy
    if form in ("openai", "anthropic"):
        text = json.dumps(elsewhere.written(session, form), ensure_ascii=False, indent=2) + "\n"
    elif form == "json":
        text = json.dumps(session.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    else:
        text = conversation.markdown(session, conversation.ends_of(reversed(runs)))
    if output is None:
        click.echo(for_output(text), nl=False)
        return
    _write_new(output, text)


@command.command(
    "import",
    epilog=options.examples(
        "auwgent sessions import trip.json --as trip-2",
        "auwgent sessions export trip | auwgent sessions import -c team.toml -",
    ),
)
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--as", "new_id", type=options.ID, metavar="ID", help="Store it under this id.")
@options.config
@options.user
@options.as_json
def import_(file: TextIO, new_id: str | None, config: Path, user: str | None, as_json: bool) -> None:
    """Store a session that `export` wrote (- is standard input). Its user is that of the file, or -u.

    Lists of chat-completions messages, Responses items and Anthropic messages are read, too. Calls in them are
    never made.
    """
    session = _read(file)
    changes = {"id": new_id, "user_id": user}
    session = session.model_copy(update={key: value for key, value in changes.items() if value is not None})
    _told(config, f"importing {len(session.turns):,} turns", lambda store: store.put(session))
    _tell(as_json, session.id, id=session.id, user_id=session.user_id)


@command.command(
    "fork",
    epilog=options.examples(
        "auwgent sessions fork trip trip-by-train", "auwgent sessions fork trip --at 5d1c"
    ),
)
@one_id
@click.argument("copy_id", metavar="[NEW_ID]", required=False, type=options.ID)
@click.option(
    "--at", type=options.ID, metavar="TURN", help="Up to this turn (its id, as `show --json` tells it)."
)
@options.config
@options.user
@options.as_json
def fork(
    session_id: str, copy_id: str | None, at: str | None, config: Path, user: str | None, as_json: bool
) -> None:
    """Copy a session, or its beginning; prints the id of the copy."""
    name = copy_id or new_id()

    async def work(store: SessionStore) -> str:
        fork = partial(store.fork, user or "", new_id=name, at=at)
        return (await of_session(store, user or "", session_id, fork))[0]

    whole = with_store(config, work)
    _tell(as_json, name, id=name, user_id=user or "", forked_from=whole, forked_at=at)


@command.command("rename", epilog=options.examples("auwgent sessions rename 3f2a trip"))
@one_id
@click.argument("new_name", metavar="NEW_ID", type=options.ID)
@options.config
@options.user
@options.as_json
def rename(session_id: str, new_name: str, config: Path, user: str | None, as_json: bool) -> None:
    """Give a session another id."""

    async def work(store: SessionStore) -> str:
        rename = partial(store.rename, user or "", new_id=new_name)
        return (await of_session(store, user or "", session_id, rename))[0]

    _tell(as_json, None, id=new_name, user_id=user or "", was=with_store(config, work))


@command.command("delete", epilog=options.examples("auwgent sessions delete trip trip-2"))
@click.argument("session_ids", metavar="ID...", nargs=-1, required=True, type=options.SESSION)
@options.config
@options.user
@options.as_json
def delete(session_ids: tuple[str, ...], config: Path, user: str | None, as_json: bool) -> None:
    """Delete sessions, from the disk as well."""

    async def work(store: SessionStore) -> list[str]:
        delete = partial(store.delete, user or "")
        return [(await of_session(store, user or "", one, delete))[0] for one in session_ids]

    _tell(as_json, None, deleted=with_store(config, work))


@command.command(
    "prune",
    epilog=options.examples(
        "auwgent sessions prune --older-than 90d", "auwgent sessions prune --keep 100 -u ada"
    ),
)
@click.option(
    "--older-than",
    "before",
    type=SINCE,
    metavar="AGE|DATE",
    help="Delete those not used since then, as in 90d.",
)
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="N", help="Keep each user's N most recently used sessions."
)
@click.option("-u", "--user", type=options.TEXT, metavar="USER", help="Only this user (default: all users).")
@options.config
@options.as_json
def prune(before: datetime | None, keep: int | None, user: str | None, config: Path, as_json: bool) -> None:
    """Delete old sessions; prints how many."""
    if before is None and keep is None:
        raise click.UsageError("say which: --older-than AGE, --keep N, or both")
    pruned = _told(config, "deleting sessions", lambda store: store.prune(user, before=before, keep=keep))
    _tell(as_json, str(pruned), pruned=pruned)


def _told(config: Path, label: str, work: Callable[[SQLModelSessions], Awaitable[T]]) -> T:
    """Do what may take long with the store, and show how far it is."""
    with ProgressBar(sys.stderr, label) as bar:

        async def watched(store: SQLModelSessions) -> T:
            store.told = bar
            return await work(store)

        return with_store(config, watched)


def _with_runs(config: Path, user: str | None, session_id: str | None) -> tuple[Session, list[RunInfo]]:
    """A session and its runs, the newest first. Without an id: the newest session."""

    async def work(store: RunStore) -> tuple[Session, list[RunInfo]]:
        wanted = session_id or await store.latest(user or "")
        if wanted is None:
            raise SessionNotFound("there is no session yet")
        with Steps(sys.stderr).step(f"session {wanted}"):
            whole, session = await of_session(store, user or "", wanted, partial(store.get, user or ""))
            return session, await store.runs(user or "", session_id=whole)

    return with_store(config, work)


def _write_new(path: Path, text: str) -> None:
    """Write a file that its owner alone can read. One that is there is left as it is."""
    try:
        write_new(path, text)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error


def _read(file: TextIO) -> Session:
    name = getattr(file, "name", "the input")
    try:
        value = json.load(file, parse_constant=_refuse)
        if (form := elsewhere.form_of(value)) is not None:
            value = _converted(value, form, name)
        return Session.model_validate(value, context=FROM_A_FILE)
    except ValidationError as error:
        raise ConfigError(f"{name} does not hold a session: {misfits(error)}") from None
    except RecursionError:
        raise ConfigError(f"{name} does not hold a session: nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{name} does not hold JSON: {error}") from None


def _converted(value: Any, form: elsewhere.Form, name: str) -> dict[str, Any]:
    """Return the messages of another program as a session; what did not come along is told."""
    try:
        session, notes = elsewhere.read(value, form)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = misfits(error, "messages") if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"{name} holds {form} messages that cannot be read: {reason}") from None
    if notes:
        click.echo(one_line(f"left out of {form} messages: {', '.join(notes)}"), err=True)
    return session.model_dump(mode="json")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _tell(as_json: bool, words: str | None, **facts: Any) -> None:
    """Print what was done: as JSON for programs, else in words, if there are any."""
    if as_json:
        _print_json(facts)
    elif words is not None:
        click.echo(for_output(words))


def _print_json(value: Any) -> None:
    click.echo(for_output(json.dumps(value, ensure_ascii=False, indent=2)))
