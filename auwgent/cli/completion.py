"""`auwgent completion`: the script that lets a shell complete commands, session ids and model names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from auwgent.cli.options import COMPLETE

EXAMPLES = """\b
Examples:
  eval "$(auwgent completion bash)"                       # in ~/.bashrc
  eval "$(auwgent completion zsh)"                        # in ~/.zshrc
  auwgent completion fish > ~/.config/fish/completions/auwgent.fish
"""


@click.command("completion", epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a SHELL: bash, zsh or fish.

    It completes commands and options, and what a config knows: models, profiles and session ids.
    """
    root = context.find_root()
    script = get_completion_class(shell)
    assert script is not None  # click has all three
    click.echo(script(root.command, {}, root.info_name or "", COMPLETE).source())
