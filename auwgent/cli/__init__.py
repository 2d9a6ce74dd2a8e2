"""The command line: a table of commands, each imported when it is called, and one place where errors end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem, shell_complete

from auwgent import __version__
from auwgent.cli.options import COMPLETE, examples
from auwgent.errors import AuwgentError, ConfigError
from auwgent.imports import late
from auwgent.render.terminal import harmless, paint, problems_text, wants_colour
from auwgent.secrecy import scrubbed

# Packages whose versions a report should name.
NAMED = ("litellm", "mcp", "pydantic", "sqlalchemy", "aiohttp", "psycopg", "sqlcipher3", "xllamacpp")
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what a disk answers that takes no more


class CommandRow(NamedTuple):
    """A command: where it is, as `module:name`, and its line in the help."""

    name: str
    path: str
    help: str


COMMANDS = (
    CommandRow("run", "auwgent.cli.run:command", "Ask the agent, or chat with it."),
    CommandRow("serve", "auwgent.cli.serve:command", "Answer over HTTP."),
    CommandRow("submit", "auwgent.cli.submit:command", "Queue a run for workers."),
    CommandRow("worker", "auwgent.cli.worker:command", "Take runs from the queue."),
    CommandRow("init", "auwgent.cli.init:command", "Write a config to start from."),
    CommandRow("new", "auwgent.cli.new:command", "Write a middleware of your own to start from."),
    CommandRow("check", "auwgent.cli.check:command", "Find what would stop a run, without running it."),
    CommandRow("test", "auwgent.cli.test:command", "Run the tests of the config, from tapes or for real."),
    CommandRow("replay", "auwgent.cli.replay:command", "Replay a session with other models, and compare."),
    CommandRow("config", "auwgent.cli.config:command", "Show the effective config."),
    CommandRow("schema", "auwgent.cli.config:schema", "Print the JSON Schema of the config file."),
    CommandRow("providers", "auwgent.cli.providers:command", "List the providers, and which keys are there."),
    CommandRow("keys", "auwgent.cli.keys:command", "Keep API keys, typed once."),
    CommandRow("acp", "auwgent.cli.acp:command", "Serve the agent to an editor."),
    CommandRow("mcp", "auwgent.cli.mcp:command", "Serve the agent to MCP hosts, or bring in MCP servers."),
    CommandRow("sessions", "auwgent.cli.sessions:command", "List, read, search, copy and delete sessions."),
    CommandRow("runs", "auwgent.cli.runs:command", "List runs, and how each ended."),
    CommandRow("usage", "auwgent.cli.usage:command", "Show the tokens and cost of stored runs."),
    CommandRow("db", "auwgent.cli.db:command", "Check, upgrade or encrypt the store's database."),
    CommandRow("memory", "auwgent.cli.memory:command", "List and delete what is remembered of a user."),
    CommandRow("index", "auwgent.cli.index:command", "Put files into the index that Retrieve searches."),
    CommandRow("model", "auwgent.cli.model:command", "Fetch the weights of models that run in process."),
    CommandRow("completion", "auwgent.cli.completion:command", "Print the completion script of a shell."),
)


class CommandTable(click.Group):
    """A group that knows of its commands by `COMMANDS` alone, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in COMMANDS:
            if entry.name == cmd_name:
                command: click.Command = late(entry.path)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=names, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.help) for entry in COMMANDS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(entry.name, help=entry.help)
            for entry in COMMANDS
            if entry.name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


EXAMPLES = examples(
    "auwgent init                       a config to start from",
    'auwgent run "Three names for a cat"',
    "auwgent run                        a chat",
    "auwgent check --online             does everything work?",
)
MORE = "auwgent COMMAND --help tells more of each. Set AUWGENT_DEBUG=1 to see the traceback of an error."


@click.group(
    "auwgent",
    cls=CommandTable,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EXAMPLES}\n\n{MORE}",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _show_version(context) if wanted else None,
    help="Show the version, and what matters for a report, and exit.",
)
def group() -> None:
    """Run agents that are declared in a TOML file, on any model provider."""


def _show_version(context: click.Context) -> None:
    click.echo(f"auwgent {__version__}")
    click.echo(f"Python {sys.version.split()[0]}, {_system()}")
    versions = _versions()
    click.echo(", ".join(f"{name} {versions[name]}" for name in NAMED if name in versions))
    context.exit()


def _system() -> str:
    if hasattr(os, "uname"):
        return "{0.sysname} {0.release} {0.machine}".format(os.uname())
    import platform

    return f"{platform.system()} {platform.release()} {platform.machine()}"


def _versions() -> dict[str, str]:
    """Return what is installed, by the names of folders: importlib.metadata takes as long to import as all the rest."""
    found: dict[str, str] = {}
    for folder in sys.path:
        with contextlib.suppress(OSError):
            for entry in Path(folder or ".").glob("*.dist-info"):
                name, _, version = entry.stem.partition("-")
                found.setdefault(name.lower(), version)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        # Python has no stream where the caller closed it (`>&-`).
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
        # A character that the terminal's encoding lacks must not end a run.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        return ended(lambda: _command(sys.argv[1:] if argv is None else list(argv)))


def _command(args: list[str]) -> object:
    """Run the command as `group.main` does, but raise its errors; click takes a closed pipe for a failure."""
    if completing := os.environ.get(COMPLETE):
        return shell_complete(group, {}, group.name or "", COMPLETE, completing)
    with group.make_context(group.name, args) as context:
        return group.invoke(context)


def ended(work: Callable[[], object]) -> int:
    """Do the work; gives the exit code it ends with. What went wrong is told on standard error."""
    try:
        code = work()
        sys.stdout.flush()
    except click.exceptions.Exit as done:  # --help and its like
        return done.exit_code
    except BrokenPipeError:
        _leave_output()
        return DONE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # what is not told here nobody hears of
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            _leave_output()
            return _tell(AuwgentError(f"the output cannot be written: {error.strerror}"))
        return _tell(error)
    return code if isinstance(code, int) else DONE


def _tell(error: Exception) -> int:
    """Say on standard error what went wrong; gives the exit code that belongs to it."""
    debugging = os.environ.get("AUWGENT_DEBUG", "0") not in ("", "0")
    if debugging:
        click.echo(harmless(scrubbed("".join(traceback.format_exception(error)))), err=True)
    colour = wants_colour(sys.stderr)
    label = paint("error:", "red", "bold", on=colour)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, ConfigError):
        click.echo(problems_text(error.problems, colour=colour), err=True)
        return USAGE
    if isinstance(error, AuwgentError):
        click.echo(f"{label} {harmless(str(error))}", err=True)
        return FAILED
    what = harmless(scrubbed(f"{type(error).__name__}: {error}"))
    click.echo(f"{label} unexpected {what}", err=True)
    if not debugging:
        click.echo("  AUWGENT_DEBUG=1 shows the traceback.", err=True)
    return FAILED


def _leave_output() -> None:
    """Redirect output that can no longer be written to, so that Python's flush at exit does not fail too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
