"""A tape as a file: JSON lines that are only appended.

What is long and stood there before is named by its hash: a value, and the messages with which a request begins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from auwgent.errors import AuwgentError, ConfigError
from auwgent.files import appending, locked
from auwgent.tape.form import Form, key_of

VERSION = 1
HEAD = {"tape": VERSION}
LONG = 400  # characters of JSON from which on a repetition is named and not written again
FOLDED = (
    "params",
    "system",
    "tools",
    "output",
)  # parts of a request that repeat from call to call, beside its turns
BLOCK = 64 * 1024

T = TypeVar("T")


class TapeFile:
    """A tape at a path. `entries` reads it; `append` writes one entry as one line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: set[str] | None = (
            None  # hashes of what is long and stands on it; None: not looked at yet
        )

    def __repr__(self) -> str:
        return f"<tape {self.path}>"

    def entries(self) -> list[tuple[int, Form]]:
        """Return what is on it, each with the number of its line. `ConfigError` where it cannot be read.

        A last line that broke off when its writer was killed is left out.
        """
        known = _Known({}, {})
        found = [(number, _unfolded(entry, known)) for number, entry in self._lines()]
        self._written = {*known.values, *known.beginnings}
        return found

    def append(self, entry: Form) -> None:
        """Write an entry behind the others, with the head where the file is new.

        A line is whole or not there at all: what a killed writer has left of one is cut off first.
        """
        if self._written is None:
            self.check()
        assert self._written is not None
        fresh = set(self._written)
        line = to_line(_folded(entry, fresh))
        try:
            with appending(self.path) as file, locked(file):
                size = _cut_torn(file)
                data = line.encode() if size else (to_line(HEAD) + line).encode()
                _write_whole(file, data, size)
        except OSError as error:
            raise AuwgentError(f"the tape {self.path} cannot be written: {error.strerror}") from error
        self._written = fresh

    def check(self) -> None:
        """Raise `ConfigError` where it cannot be gone on with: a file that is not a tape is never written to."""
        self._written = set()
        with suppress(OSError):  # a new one
            begin = self.path.read_bytes()[: len(to_line(HEAD))]
            if not to_line(HEAD).encode().startswith(begin) or begin.endswith(b"\n"):
                self.entries()

    def _lines(self) -> Iterator[tuple[int, Form]]:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            hint = "`auwgent run --record` and `auwgent test --record` write one"
            raise ConfigError(f"the tape {self.path} cannot be read: {error.strerror}; {hint}") from None
        lines = data.splitlines(keepends=True)
        if not lines or not lines[-1].endswith(b"\n"):
            lines = lines[:-1]
        if not lines:
            self._check_head(None)
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if number == 1:
                self._check_head(entry)
            elif isinstance(entry, dict):
                yield number, entry
            else:
                raise ConfigError(f"{self.path}:{number} is not an entry of a tape: it is not a JSON object")

    def _check_head(self, entry: Any) -> None:
        version = entry.get("tape") if isinstance(entry, dict) else None
        if version is None:
            raise ConfigError(f"{self.path} is not a tape: its first line is not {to_line(HEAD).strip()!r}")
        if version != VERSION:
            raise ConfigError(f"{self.path} is a tape of form {version}; this version reads form {VERSION}")


def to_line(entry: Form) -> str:
    """Return an entry as it stands in a file, for people and `git diff`: keys in their order, no escapes."""
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n"


class _Known(NamedTuple):
    """What was read, by its hash. A beginning is the messages of a request, and how many of them it is."""

    values: dict[str, Any]
    beginnings: dict[str, tuple[list[Form], int]]


def _folded(entry: Form, written: set[str]) -> Form:
    ask = entry.get("ask")
    if not isinstance(ask, dict):
        return entry
    short = {name: _fold(value, written) if name in FOLDED else value for name, value in ask.items()}
    short["turns"] = _fold_turns(ask["turns"], written)
    return {**entry, "ask": short}


def _fold(value: Any, written: set[str]) -> Any:
    if len(json.dumps(value)) < LONG:
        return value
    mark = key_of(value)[:16]
    if mark in written:
        return {"same": mark}
    written.add(mark)
    return value


def _fold_turns(turns: list[Form], written: set[str]) -> list[Form]:
    """Return the messages, with those that an earlier request began with as one name where they are long."""
    marks = list(_marks(turns))
    stood = next((n for n in range(len(turns), 0, -1) if marks[n - 1] in written), 0)
    if len(json.dumps(turns[:stood])) < LONG:
        stood = 0
    written.update(marks)
    first = [{"same": marks[stood - 1], "turns": stood}] if stood else []
    return [*first, *(_fold(turn, written) for turn in turns[stood:])]


def _marks(turns: Iterable[Form], mark: str = "") -> Iterator[str]:
    """Yield the hash of each beginning: of one message, of two, and so on. `mark` is that of what stands before."""
    for turn in turns:
        mark = key_of([mark, turn])[:16]
        yield mark


def _unfolded(entry: Form, known: _Known) -> Form:
    ask = entry.get("ask")
    if not isinstance(ask, dict):
        return entry
    whole = {name: _unfold(value, known) if name in FOLDED else value for name, value in ask.items()}
    whole["turns"] = _unfold_turns(ask.get("turns", []), known)
    return {**entry, "ask": whole}


def _unfold(value: Any, known: _Known) -> Any:
    if isinstance(value, dict) and value.keys() == {"same"}:
        return _named(value["same"], known.values)
    if len(json.dumps(value)) >= LONG:
        known.values[key_of(value)[:16]] = value
    return value


def _unfold_turns(turns: list[Form], known: _Known) -> list[Form]:
    whole: list[Form] = []
    mark = ""
    if turns and turns[0].keys() == {"same", "turns"}:
        mark, turns = turns[0]["same"], turns[1:]
        before, number = _named(mark, known.beginnings)
        whole += before[:number]
    rest = [_unfold(turn, known) for turn in turns]
    number = len(whole)
    whole += rest
    known.beginnings.update((one, (whole, at)) for at, one in enumerate(_marks(rest, mark), number + 1))
    return whole


def _named(mark: str, known: Mapping[str, T]) -> T:
    if mark not in known:
        raise ConfigError(f"the tape names {mark!r}, which does not stand above: a line was taken out")
    return known[mark]


def _cut_torn(file: int) -> int:
    """Cut off a line without an end; gives the size of the file then."""
    size = end = os.fstat(file).st_size
    if not size or _read_at(file, size - 1, 1) == b"\n":
        return size
    while end > 0:
        begin = max(0, end - BLOCK)
        at = _read_at(file, begin, end - begin).rfind(b"\n")
        if at >= 0:
            end = begin + at + 1
            break
        end = begin
    os.ftruncate(file, end)
    return end


def _read_at(file: int, begin: int, size: int) -> bytes:
    os.lseek(file, begin, os.SEEK_SET)
    return os.read(file, size)


def _write_whole(file: int, data: bytes, size: int) -> None:
    """Write all of it, or leave the file as it was."""
    os.lseek(file, 0, os.SEEK_END)
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, size)
        raise
