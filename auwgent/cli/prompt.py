"""Gathers the input of a run: the PROMPT of the command line, standard input, and attached files."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from auwgent.inputs import LARGEST, media
from auwgent.session import Part, Text

Input = str | list[Part]

PATIENCE = 2.0  # seconds of reading before a person is told what is waited for


def gather(prompt: str | None, attached: Sequence[Path], *, use_stdin: bool, quiet: bool = False) -> Input:
    """Return the input of the run.

    Without a prompt standard input is read whatever it is. With one it is read where it is a pipe, a file or
    a socket, and then to its end: that it is slow does not mean that it is empty.
    """
    piped = ""
    if use_stdin and (prompt is None or _is_piped()):
        piped = _read_stdin(quiet)
    text = "\n\n".join(part for part in (prompt, piped) if part and part.strip())
    if not text and not attached:
        raise click.UsageError(_nothing(prompt, use_stdin))
    if not attached:
        return text
    words: list[Part] = [Text(text=text)] if text else []
    return words + [media(path.name, _read(path)) for path in attached]


def _nothing(prompt: str | None, use_stdin: bool) -> str:
    if prompt is not None:
        return "the prompt is empty"
    if not use_stdin:
        return "there is nothing to ask: give a PROMPT, or leave out --no-stdin"
    return "there is nothing to ask: no PROMPT was given, and standard input is empty"


def _is_piped() -> bool:
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # there is none, it is closed, or it is not a file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _read_stdin(quiet: bool) -> str:
    if sys.stdin is None or sys.stdin.closed:
        return ""
    reminder = threading.Timer(PATIENCE, _remind)
    reminder.daemon = True
    if not quiet:
        reminder.start()
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text; --attach takes other files") from None
    finally:
        reminder.cancel()


def _remind() -> None:
    hint = "end it with Ctrl-D" if sys.stdin.isatty() else "--no-stdin leaves it unread"
    click.echo(f"reading standard input to its end ({hint})", err=True)


def _read(path: Path) -> bytes:
    """Return the content of a regular file: others may have no end, or nobody who writes to them."""
    if not path.is_file():
        raise click.UsageError(
            f"--attach: {str(path)!r} is not a regular file; pipe it into standard input instead"
        )
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise click.UsageError(f"--attach: cannot read {str(path)!r}: {error.strerror}") from None
    if len(content) > LARGEST:
        raise click.UsageError(f"--attach: {str(path)!r} has more than {LARGEST // 1_000_000} MB")
    return content
