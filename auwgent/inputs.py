"""Turns the input of a run into the content of a turn: a text, or typed parts with the bytes of files."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from auwgent.errors import ArgumentError
from auwgent.models.media import as_text, text_of, type_of
from auwgent.session import PARTS, Media, Part, Text
from auwgent.words import misfits

Input = str | Sequence[Any] | None
LARGEST = 50_000_000  # bytes of one attached file; no provider takes more at once
MediaType = Literal["image", "file", "audio"]


def content_of(input: Input) -> str | list[Part] | None:
    """An input as a turn's content: a text is a text; parts are checked, and paths in them read, here and now."""
    if input is None or isinstance(input, str):
        return input
    parts: Any = input  # whatever a caller without types may give
    if not isinstance(parts, list | tuple):
        raise ArgumentError(
            f"the input is neither a text nor a list of typed parts, but {type(parts).__name__}"
        )
    try:
        return PARTS.validate_python([_part(part) for part in parts])
    except ValidationError as error:
        problems = misfits(error.errors(), inside="input")
        raise ArgumentError(f"the input is neither a text nor a list of typed parts: {problems}") from None


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return Text(text=part)
    if not isinstance(part, Mapping) or part.get("type") == "text":
        return part
    given = dict(part)
    path = given.pop("path", None)
    if path is not None:
        # Read a file that the program names. A text is never a path: it may have come from a stranger's
        # request.
        kind = given.get("type")
        if not isinstance(path, Path):
            raise ArgumentError(
                "the `path` of a part must be a pathlib.Path of the program's own; a text may come from anybody"
            )
        return media(path.name, read_attachment(path), kind)
    if isinstance(given.get("data"), bytes | bytearray):
        given["data"] = base64.b64encode(given["data"]).decode()
    return given


def read_attachment(path: Path) -> bytes:
    """Read a regular file: others may have no end, or nobody who writes to them. `ArgumentError` says what is wrong."""
    try:
        if not path.expanduser().is_file():
            reason = "it is not a regular file" if path.expanduser().exists() else "No such file or directory"
            raise ArgumentError(f"cannot read the attachment {str(path)!r}: {reason}")
        with path.expanduser().open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise ArgumentError(f"cannot read the attachment {str(path)!r}: {words}") from None
    if len(content) > LARGEST:
        raise ArgumentError(f"the attachment {str(path)!r} has more than {LARGEST // 1_000_000} MB")
    return content


def media(name: str, content: bytes, kind: MediaType | None = None) -> Part:
    """Return a file as a part: its bytes, never its path.

    Its first bytes say what it is, else its name, unless its `kind` is given; a text goes as text, which every model
    reads.
    """
    mime_type = type_of(content) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if content and (text := text_of(content, mime_type)) is not None:
        return as_text(name, text)
    guessed: MediaType = "file"
    if mime_type.startswith("image/") and not mime_type.endswith("+xml"):  # SVG is text to all providers
        guessed = "image"
    elif mime_type.startswith("audio/"):
        guessed = "audio"
    data = base64.b64encode(content).decode()
    return Media(type=kind or guessed, data=data, mime_type=mime_type, name=name)
