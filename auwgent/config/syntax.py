"""What is wrong with a text that is not TOML: Python's words and places, made to fit what people wrote."""

from __future__ import annotations

import re
from typing import NamedTuple

from auwgent.config.positions import head_ending_at
from auwgent.secrecy import hidden, is_secret, masked_argument


class SourcePlace(NamedTuple):
    """A line and a column that count from 1, and how many characters are meant."""

    line: int
    column: int
    length: int = 1


class Mistake(NamedTuple):
    """What is wrong, where, and what would be right."""

    message: str
    place: SourcePlace
    hint: str = ""


_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE = "this is set twice"
_NO_END = "this string has no end"
_NO_ESCAPE = "unknown escape sequence"
_WORDS = {  # how what Python's parser says begins, and what it means to most people
    "Invalid value": ("this is not a TOML value", 'strings need quotation marks: key = "value"'),
    "Cannot overwrite a value": (_TWICE, ""),
    "Cannot declare": (_TWICE, "a table has one [header]; its keys stand together"),
    "Duplicate inline table key": (_TWICE, ""),
    "Cannot mutate immutable namespace": ("a table in { … } or a list in [ … ] cannot be added to", ""),
    "Invalid initial character for a key part": ("a key is missing here", ""),
    "Illegal character '\\n'": (
        _NO_END,
        'close it with "; a text of several lines stands between """ and """',
    ),
    "Expected \"'": (_NO_END, "close it with the quotation mark it began with"),
    "Unterminated string": (_NO_END, "close it with the quotation mark it began with"),
    "Unclosed array": ("a comma or a ] is missing here", ""),
    "Unescaped '\\'": (_NO_ESCAPE, "write \\\\ for a backslash, or put the text between '…'"),
    "Invalid hex value": (_NO_ESCAPE, "write \\\\ for a backslash, or put the text between '…'"),
    "Expected newline or end": ("the line should end here", "each key = value has a line of its own"),
    "Expected '=' after a key": ("a = is missing here", "write key = value"),
}
_HEADER = re.compile(r"\s*\[+\s*([^\]#]*)")
_NAME = re.compile(r"(?P<name>[\w.-]+|\"[^\"]*\"|'[^']*')\s*=\s*")
_FLAG = re.compile(r"[\"'](?P<name>-[\w-]+)[\"']\s*,?\s*")


def mistake(text: str, lines: list[str], error: str) -> Mistake:
    """Return what the parser's `error` means. Places come from it: nothing else can be relied on in such a text."""
    said = _AT.sub("", error)
    place = _AT.search(error)
    end = SourcePlace(len(lines), len(lines[-1]) + 1)
    where = SourcePlace(int(place[1]), int(place[2])) if place and place[1] else end
    known = next((words for start, words in _WORDS.items() if said.startswith(start)), None)
    message, hint = known or (said[:1].lower() + said[1:], "")
    if said == "Invalid value" and not lines[where.line - 1][where.column - 1 :].strip():
        message, hint = "something is missing here: a value, or the end of a list", ""
        where = _last_written(lines, where)
    elif message == _TWICE:
        where = _head(text, where) or where
    elif message == _NO_END:
        where = _opening(text, said) or where
    elif message == _NO_ESCAPE:
        line = lines[where.line - 1]
        where = where._replace(column=max(line.rfind("\\", 0, where.column - 1), 0) + 1, length=2)
    return Mistake(message, where, hint)


def _last_written(lines: list[str], where: SourcePlace) -> SourcePlace:
    """Behind the last thing that was written before a place."""
    number = next((n for n in range(where.line, 0, -1) if lines[n - 1].strip()), where.line)
    line = lines[number - 1] if number < where.line else lines[number - 1][: where.column - 1]
    return SourcePlace(number, len(line.rstrip()) + 1)


def _head(text: str, end: SourcePlace) -> SourcePlace | None:
    """Return the key, or the name in a header, of what ends at a place; None where there is nothing like that."""
    span = head_ending_at(text.replace("\r\n", "\n"), (end.line - 1, end.column - 1))
    if span is None:
        return None
    (line, column), (_, until) = span.start, span.end
    return SourcePlace(line + 1, column + 1, until - column)


def _opening(text: str, said: str) -> SourcePlace | None:
    """Return the start of a string that never ends; None where it only does not end in its line."""
    quote = '"""' if said.startswith("Unterminated") else said.removeprefix("Expected ").strip('"')
    if said.startswith("Illegal") or text.count(quote) % 2 == 0:
        return None
    before = text[: text.rindex(quote)]
    return SourcePlace(before.count("\n") + 1, len(before) - before.rfind("\n"), len(quote))


def shown(lines: list[str], number: int) -> str:
    """Return a line of a text that does not parse, without what may be a secret. `number` counts from 0."""
    line = lines[number]
    header = next((match[1] for line in reversed(lines[:number]) if (match := _HEADER.match(line))), "")
    above = next((match["name"] for each in reversed(lines[:number]) if (match := _NAME.search(each))), "")
    if is_secret(tuple(re.split(r"[\s.]+", header))) or ("=" not in line and is_secret((above,))):
        name, equals, value = line.partition("=")
        return name + equals + hidden(value) if equals else hidden(line)
    start = len(lines[number - 1]) + 1 if number else 0
    text = "\n".join(lines[max(0, number - 1) : number + 1])
    found = [*_NAME.finditer(text, start), *_FLAG.finditer(text)]
    ends = [max(0, match.end() - start) for match in found if is_secret((match["name"].strip("\"'-"),))]
    if ends:
        return line[: min(ends)] + hidden(line[min(ends) :])
    return masked_argument(line)
