"""The names of tapes: `tape/PATH`, or `tape/PATH#MODEL` for one of several models on it."""

from __future__ import annotations

from pathlib import Path

from auwgent.models.base import ModelSpec

PREFIX = "tape/"


def names_tape(name: str) -> bool:
    """Return whether a `provider/model` is a tape."""
    return name.startswith(PREFIX)


def path_in(name: str) -> Path:
    """Return the file of a tape, relative to the working directory; `~` is the home."""
    return _parts(name)[0]


def voice_in(name: str) -> str:
    """Return the model that is to speak, as a config names it; empty: the one that answered the root agent."""
    return _parts(name)[1]


def name_of(path: Path, voice: str = "") -> str:
    """Return what names a tape."""
    return f"{PREFIX}{path}#{voice}" if voice else f"{PREFIX}{path}"


def _parts(name: str) -> tuple[Path, str]:
    text = name.removeprefix(PREFIX)
    path, mark, voice = text.partition("#")
    if not mark or Path(text).expanduser().exists():
        return Path(text).expanduser(), ""
    return Path(path).expanduser(), voice


def is_tape(spec: ModelSpec) -> bool:
    """Return whether a model is a tape."""
    return spec.own is None and names_tape(spec.name)
