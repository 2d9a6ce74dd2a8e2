"""Writes the help of every command into docs/cli.md, below its last heading. With --check it only compares."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from auwgent.cli import group

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEADING = "## Every command\n"
WIDTH = 100


def commands(context: click.Context) -> Iterator[click.Context]:
    """The context of the command and of all below it, as the help lists them."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from commands(click.Context(command, info_name=name, parent=context))


def reference() -> str:
    """A section for each command: what `--help` prints."""
    root = click.Context(group, info_name="auwgent", terminal_width=WIDTH, max_content_width=WIDTH)
    sections = []
    for context in commands(root):
        context.help_option_names = ["-h", "--help"]
        sections.append(
            f"### `{context.command_path}`\n\n```text\n{context.command.get_help(context)}\n```\n"
        )
    return "\n".join(sections)


def page() -> str:
    """The page as it should be: what people wrote, then the reference."""
    written = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    return f"{written}{HEADING}\nWhat `--help` prints.\n\n{reference()}"


def main() -> int:
    os.environ.pop("AUWGENT_CONFIG", None)
    wanted = page()
    if sys.argv[1:] == ["--check"]:
        return 0 if PAGE.read_text(encoding="utf-8") == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
