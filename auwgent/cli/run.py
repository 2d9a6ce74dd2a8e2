"""`auwgent run` as it is typed: its options. What it does is in `request`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from auwgent.cli import options
from auwgent.imports import late

EXAMPLES = """\b
Examples:
  auwgent run "Three names for a cat"
  git diff | auwgent run "Write a commit message"
  auwgent run -s trip -m anthropic/claude-sonnet-4-5 "And by train?"
  auwgent run --json --attach photo.jpg "What is this?" | jq -r 'select(.event == "run").text'
  auwgent run                        a chat
"""


@click.command("run", epilog=EXAMPLES)
@click.argument("prompt", required=False, type=options.TEXT)
@options.config
@click.option(
    "-s", "--session", type=options.SESSION, metavar="ID", help="Continue this session, or start it."
)
@click.option("--last", is_flag=True, help="Continue the user's newest session.")
@click.option("--resume", is_flag=True, help="Resume the session's interrupted run; takes no PROMPT.")
@options.user
@click.option(
    "--context",
    type=options.PAIR,
    multiple=True,
    metavar="K=V",
    help="A value for {{ ctx.K }}, as text. May be repeated.",
)
@options.profile
@click.option(
    "-m",
    "--model",
    type=options.MODEL,
    metavar="MODEL",
    help="Use this model instead of agent.model; needs no config file.",
)
@click.option(
    "--tool",
    "tools",
    type=options.TEXT,
    multiple=True,
    metavar="PATH",
    help="Let the model call this function, too: my.module.function. May be repeated.",
)
@click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="A JSON Schema that the answer must fit, instead of agent.output.",
)
@options.overrides
@click.option(
    "--attach",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Send a text, image, sound or PDF with the prompt. May be repeated.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per event, and a last one for the run."
)
@click.option("--stream/--no-stream", default=True, help="Print the answer as it comes (default).")
@click.option("--stdin/--no-stdin", default=True, help="Add what is piped in to the prompt (default).")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print only the answer and errors: no session id, no tool calls."
)
@click.option(
    "--debug", is_flag=True, help="Show what is sent to the model on standard error, without secrets."
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="TAPE",
    help="Write what the run is answered to this tape; -m tape/TAPE plays it.",
)
def command(**typed: Any) -> int:
    """Ask the agent, or chat with it.

    Without PROMPT this is a chat on a terminal; elsewhere standard input is the prompt. With both, what is
    piped in follows the prompt. The answer goes to standard output, everything else to standard error.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or config, 3 it waits for answers, 130 interrupted by Ctrl-C.
    An interrupted run keeps what was said.
    """
    source = click.get_current_context().get_parameter_source("config")
    is_default = source is ParameterSource.DEFAULT
    no_config = is_default and typed["model"] is not None and not typed["config"].exists()
    code: int = late("auwgent.cli.request:carry_out")(typed, no_config=no_config)
    return code
