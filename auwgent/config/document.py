"""Reads the source of a config: a TOML file, or a dict of the same shape."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any

from auwgent.config.keys import Finding, Key, lookup, provider_name
from auwgent.config.positions import Positions
from auwgent.config.syntax import mistake, shown
from auwgent.errors import DICT, ConfigError, Problem
from auwgent.secrecy import (
    follows_flag,
    hidden,
    is_argument,
    is_secret,
    masked,
    masked_argument,
)
from auwgent.words import written


@dataclass(frozen=True)
class Document:
    """The plain tree of a source, and how to point into it. `text` is None for a dict."""

    source: str
    folder: Path
    tree: dict[str, Any]
    text: str | None = field(default=None, repr=False)

    def problem(self, finding: Finding) -> Problem:
        """Return the finding with its place and source line."""
        problem = Problem(
            masked(finding.message), source=self.source, key=written(finding.key), hint=masked(finding.hint)
        )
        if self.text is None:
            return problem
        span = self._positions.find(finding.key, finding.about)
        (line, column), end = span.start, span.end
        text = self._line(line)
        until = end[1] if end[0] == line else len(text)
        return _placed(problem, line + 1, column + 1, until - column, text)

    def line_of(self, key: Key) -> int | None:
        """Return the line a key is set in, counting from 1; None for a dict."""
        return None if self.text is None else self._positions.find(key, "key").start[0] + 1

    @cached_property
    def _positions(self) -> Positions:
        # Parsing once more for the positions takes 30 ms, mostly to load the parser: only where something is wrong.
        return Positions(self.text or "")

    def _line(self, number: int) -> str:
        """Return a line as it may be shown: values of secret keys are masked, at unchanged length."""
        line = _lines(self.text or "")[number]
        for key, span in self._positions.scalars:
            if span.start[0] <= number <= span.end[0]:
                start = span.start[1] if span.start[0] == number else 0
                end = span.end[1] if span.end[0] == number else len(line)
                line = line[:start] + self._shown(key, line[start:end]) + line[end:]
        return masked(line)

    def _shown(self, key: Key, value: str) -> str:
        """Return how a value is written, or the part of it that stands in one line, without what is secret."""
        if is_argument(key):
            *around, index = key
            behind_flag = follows_flag(lookup(self.tree, tuple(around))[1], int(index))
            return hidden(value) if behind_flag else masked_argument(value)
        return hidden(value) if is_secret(key) else value


def read(source: Path | str | Mapping[str, Any]) -> Document:
    """Parse a file or take over a dict. `ConfigError` where there is no such file, or it is not TOML."""
    if isinstance(source, Mapping):
        return Document(DICT, Path.cwd(), _with_models_named(_without_aliases(source)))
    path = Path(source)
    text = _read_text(path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(str(path), text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem("lists and tables are nested too deeply", source=str(path))]) from None
    folder = path.resolve().parent if is_file(path) else Path.cwd()
    return Document(str(path), folder, tree, text)


def is_file(path: Path) -> bool:
    """Return whether a config has a place of its own; one from standard input or a pipe has none."""
    try:
        return path.is_file() and not is_standard_input(path)
    except (OSError, ValueError):
        return False


def is_standard_input(path: Path) -> bool:
    """Return whether a path names what this process gets as standard input, by whatever name."""
    if str(path) in ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        return True
    try:
        return not stat.S_ISCHR(path.stat().st_mode) and os.path.samestat(path.stat(), os.fstat(0))
    except (OSError, ValueError):
        return False


def content(path: Path) -> bytes:
    """Read a file, or a pipe, which gives its content once."""
    if not is_standard_input(path) and not path.is_fifo():
        return path.read_bytes()
    place = Path("/dev/stdin") if str(path) == "-" else path
    found = place.stat()
    return _piped(place, found.st_dev, found.st_ino)


@cache
def _piped(path: Path, device: int, number: int) -> bytes:
    """Return what comes out of a pipe, which can be read once: a config is read again for each profile of it."""
    return path.read_bytes()


def _read_text(path: Path) -> str:
    def refuse(message: str, hint: str = "") -> ConfigError:
        return ConfigError([Problem(message, source=str(path), hint=hint)])

    try:
        data = content(path)
    except FileNotFoundError:
        raise refuse("there is no such file", f"`auwgent init {path}` writes one to start from") from None
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [Problem("this is not UTF-8", source=str(path), line=line, hint="save the file as UTF-8")]
        ) from None


def _syntax_problem(source: str, text: str, error: str) -> Problem:
    lines = _lines(text)
    wrong = mistake(text, lines, error)
    place = wrong.place
    problem = Problem(wrong.message, source=source, hint=wrong.hint)
    return _placed(problem, place.line, place.column, place.length, shown(lines, place.line - 1))


def _placed(problem: Problem, line: int, column: int, length: int, text: str) -> Problem:
    return Problem(
        problem.message, problem.source, line, column, max(1, length), text, problem.key, problem.hint
    )


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.split("\n")]


def _without_aliases(source: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the aliases a dict may use: `apiKeys` for `api_keys`, and `geminiApiKey` for `gemini` in it."""
    tree = _renamed(source, lambda name: "api_keys" if name == "apiKeys" else name, "the config")
    keys = tree.get("api_keys")
    return (
        tree | {"api_keys": _renamed(keys, provider_name, "`api_keys`")}
        if isinstance(keys, Mapping)
        else tree
    )


def _with_models_named(tree: dict[str, Any]) -> dict[str, Any]:
    """Give a model class or instance that a dict has as an agent's `model` a table in `models`."""
    helpers = tree.get("helpers")
    agents: dict[Key, Any] = {("agent",): tree.get("agent")}
    agents |= (
        {("helpers", name): one for name, one in helpers.items()} if isinstance(helpers, Mapping) else {}
    )
    named: Any = tree.get("models", {})
    for key, agent in agents.items():
        use = agent.get("model") if isinstance(agent, Mapping) else None
        if not callable(getattr(use, "ask", None)) or not isinstance(named, Mapping):
            continue
        name = next((name for name, one in named.items() if one == {"use": use}), None)
        if name is None:
            plain = str(getattr(use, "__name__", type(use).__name__))
            name = next(each for n in count(1) if (each := plain + f"-{n}" * (n > 1)) not in named)
        named = {**named, name: {"use": use}}
        changed = {**agent, "model": name}
        tree = tree | (
            {"agent": changed} if key == ("agent",) else {"helpers": {**tree["helpers"], key[1]: changed}}
        )
    return {**tree, "models": named} if named else tree


def _renamed(table: Mapping[str, Any], rename: Callable[[str], str], title: str) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        if not isinstance(key, str):
            raise ConfigError([Problem(f"{title}: keys should be strings, not {key!r}", source=DICT)])
        name = rename(key)
        if name in renamed:
            raise ConfigError(
                [Problem(f"{title} has `{name}` twice, under two names", source=DICT, key=name)]
            )
        renamed[name] = value
    return renamed
