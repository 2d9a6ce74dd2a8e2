"""What a config is read from: a TOML file, or a dict of the same shape."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from auwgent.config.keys import Finding, Key, provider_name, written
from auwgent.config.positions import Positions
from auwgent.config.secrets import holds_literal, is_secret, masked
from auwgent.errors import ConfigError, Problem

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[+\s*([^\]#]*)")
_SYNTAX = {  # what Python's parser says, and what it means to most people
    "Invalid value": ("this is no TOML value", 'strings need quotation marks: key = "value"'),
    "Cannot overwrite a value": ("this key is set twice", ""),
    "Cannot mutate immutable namespace": ("a table in { … } cannot be added to", ""),
    "Invalid initial character for a key part": ("a key is missing here", ""),
}


@dataclass(frozen=True)
class Document:
    """The plain tree of a source, and how to point into it. `text` is None for a dict."""

    source: str
    folder: Path
    tree: dict[str, Any]
    text: str | None = field(default=None, repr=False)

    def problem(self, finding: Finding) -> Problem:
        """The finding with its place and source line."""
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
        """The line a key is set in, counting from 1; None for a dict."""
        return None if self.text is None else self._positions.find(key, "key").start[0] + 1

    @cached_property
    def _positions(self) -> Positions:
        # Parsing once more for the positions takes 30 ms, mostly to load the parser: only where something is wrong.
        return Positions(self.text or "")

    def _line(self, number: int) -> str:
        """A line as it may be shown: values of secret keys are masked, at unchanged length."""
        line = _lines(self.text or "")[number]
        for key, span in self._positions.scalars:
            if span.start[0] <= number <= span.end[0] and is_secret(key):
                start = span.start[1] if span.start[0] == number else 0
                end = span.end[1] if span.end[0] == number else len(line)
                line = line[:start] + _hidden(line[start:end]) + line[end:]
        return masked(line)


def read(source: Path | str | Mapping[str, Any]) -> Document:
    """Parse a file or take over a dict. `ConfigError` where there is no such file, or it is no TOML."""
    if isinstance(source, Mapping):
        return Document("dict", Path.cwd(), _without_aliases(source))
    path = Path(source)
    text = _read_text(path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(str(path), text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem("lists and tables are nested too deeply", source=str(path))]) from None
    return Document(str(path), path.resolve().parent, tree, text)


def _read_text(path: Path) -> str:
    def refuse(message: str, hint: str = "") -> ConfigError:
        return ConfigError([Problem(message, source=str(path), hint=hint)])

    try:
        data = path.read_bytes()
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
    """Positions come from the parser's message: nothing else can be relied on in a text that is no TOML."""
    words, _, _ = error.partition(" (at ")
    place = _AT.search(error)
    lines = _lines(text)
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (len(lines), len(lines[-1]) + 1)
    message, hint = _SYNTAX.get(words, (words[:1].lower() + words[1:], ""))
    problem = Problem(message, source=source, hint=hint)
    return _placed(problem, line, column, 1, _hide_unparsed(lines, line - 1))


def _hide_unparsed(lines: list[str], number: int) -> str:
    """A line of a text that does not parse, without what may be a secret."""
    header = next((match[1] for line in reversed(lines[:number]) if (match := _HEADER.match(line))), "")
    name, equals, value = lines[number].partition("=")
    if is_secret((*re.split(r"[\s.]+", header), name)):
        return name + equals + _hidden(value) if equals else _hidden(name)
    return masked(lines[number])


def _placed(problem: Problem, line: int, column: int, length: int, text: str) -> Problem:
    return Problem(
        problem.message, problem.source, line, column, max(1, length), text, problem.key, problem.hint
    )


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.split("\n")]


def _hidden(value: str) -> str:
    quote = value[:1] if value[:1] in ("'", '"') else ""
    return (
        quote + "*" * (len(value) - 2 * len(quote)) + quote if holds_literal(value.strip("'\" ")) else value
    )


def _without_aliases(source: Mapping[str, Any]) -> dict[str, Any]:
    """A dict may write `apiKeys` for `api_keys`, and `geminiApiKey` for `gemini` in it."""
    tree = _renamed(source, lambda name: "api_keys" if name == "apiKeys" else name, "the config")
    keys = tree.get("api_keys")
    return (
        tree | {"api_keys": _renamed(keys, provider_name, "`api_keys`")}
        if isinstance(keys, Mapping)
        else tree
    )


def _renamed(table: Mapping[str, Any], rename: Callable[[str], str], title: str) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        if not isinstance(key, str):
            raise ConfigError([Problem(f"{title}: keys should be strings, not {key!r}", source="dict")])
        name = rename(key)
        if name in renamed:
            raise ConfigError(
                [Problem(f"{title} has `{name}` twice, under two names", source="dict", key=name)]
            )
        renamed[name] = value
    return renamed
