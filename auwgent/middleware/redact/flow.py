"""Texts and JSON under way, without what is secret in them: shown as far as it is sure what they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.kinds import CARD_NAME

SMALL = 10**6  # numbers up to this are not secrets
LONG = 30  # nor are those with this many digits

Name = Callable[[str, str], str]  # (kind, secret) -> the placeholder that stands for it

_BRACKET = re.compile(r"[\[\]{}]")
_WORD = re.compile(r'[^\s{}\[\]:,"]+')
_LAST_WORD = re.compile(r'[^\s{}\[\]:,"]*\Z')
_LITERAL = re.compile(r"true|false|null|-?[\d.]+([eE][+-]?\d+)?")
# Whole escapes only, and no half of a character without the other one.
_WHOLE = re.compile(r'(?:[^"\\]|\\u[dD][89abAB]..\\u....|\\u(?![dD][89abAB])....|\\[^u])*', re.DOTALL)


def without(finder: Finder, name: Name, value: Any) -> Any:
    """Plain data without what is secret in it, names of fields included; the very same where nothing is."""
    if isinstance(value, dict):
        changed = {without(finder, name, key): _field(finder, name, key, one) for key, one in value.items()}
        same = all(old is new for old, new in zip(value, changed, strict=False)) and all(
            value.get(key) is one for key, one in changed.items()
        )
        return value if same else changed
    if isinstance(value, list):
        items = [without(finder, name, one) for one in value]
        return value if all(old is new for old, new in zip(value, items, strict=True)) else items
    if isinstance(value, str):
        text = TextFlow(finder, name).feed(value, is_whole=True)
        return value if text == value else text
    return _number(finder, name, value, "")


def _number(finder: Finder, name: Name, value: Any, field: str) -> Any:
    """A number, which stays one unless its field is named for what it looks like: one of ten has a card's digits."""
    if not isinstance(value, int) or value <= SMALL:
        return value
    kind = finder.kind_of_number(str(value))
    if kind is None or (kind == "card" and CARD_NAME.match(field) is None):
        return value
    return name(kind, str(value))


def _field(finder: Finder, name: Name, key: Any, value: Any) -> Any:
    if isinstance(value, str) and value and finder.is_secret_name(key):
        return name("password", value) if finder.is_password(value) else value
    if isinstance(value, int):
        return _number(finder, name, value, str(key))
    return without(finder, name, value)


class TextFlow:
    """One text that grows. `shown` is what has been let out of it so far."""

    def __init__(self, finder: Finder, name: Name) -> None:
        self._finder = finder
        self._name = name
        self._done = 0
        self.shown = ""

    def feed(self, text: str, *, is_whole: bool) -> str:
        """Return what can be let out now that the text has grown to this."""
        if is_whole:
            spans, end = self._finder.spans(text, self._done), len(text)
        else:
            spans, end = self._finder.settled(text, self._done)
        more, place = "", self._done
        for span in spans:
            more += text[place : span.first] + self._name(span.kind, text[span.first : span.last])
            place = span.last
        more += text[place:end]
        self._done = end
        self.shown += more
        return more


class JsonFlow:
    """A JSON text that grows. Its strings are looked at as they are meant, not as they are escaped."""

    def __init__(self, finder: Finder, name: Name) -> None:
        self._finder = finder
        self._name = name
        self._place = 0  # up to where the text was read
        self._between = ""  # what stands outside of strings since the last one
        self._string: TextFlow | None = None
        self._decoded = ""  # the string, as far as it was read
        self._last = ""  # the one before
        self._stack: list[str] = []  # the brackets that are open
        self._is_value = False  # whether the string that is being read is a value, and no name of a field
        self._is_password = False
        self._prose: TextFlow | None = None  # what follows is not JSON
        self._strings: dict[tuple[bool, str], str] = {}  # those that are whole -> as they are shown
        self.shown = ""

    def feed(self, text: str, *, is_whole: bool) -> str:
        """Return what can be let out now that the text has grown to this."""
        more = ""
        while self._place < len(text) and self._prose is None:
            before = self._place
            more += self._read_outside(text) if self._string is None else self._read_string(text)
            if self._place == before:
                break
        if self._prose is not None:
            more += self._prose.feed(text[self._place :], is_whole=is_whole)
        elif is_whole:
            more += self._end(text)
        self.shown += more
        return more

    def value(self, parsed: Any) -> Any:
        """Return what was parsed of the text so far, its strings as they are shown; the last one may be open."""
        return self._value(parsed, is_last=self._string is not None and self._is_value)

    def _value(self, parsed: Any, *, is_last: bool, name: Any = None) -> Any:
        """`is_last`: in document order, so that it is, or holds, the string that is being read."""
        if isinstance(parsed, dict):
            last = next(reversed(parsed), None)
            return {
                self._shown(key, is_password=False): self._value(
                    one, is_last=is_last and key is last, name=key
                )
                for key, one in parsed.items()
            }
        if isinstance(parsed, list):
            last = len(parsed) - 1
            return [self._value(one, is_last=is_last and index == last) for index, one in enumerate(parsed)]
        if isinstance(parsed, str):
            if is_last and self._prose is None:
                assert self._string is not None
                return self._string.shown
            return self._shown(parsed, is_password=name is not None and self._finder.is_secret_name(name))
        return _field(self._finder, self._name, name, parsed)

    def _shown(self, text: str, *, is_password: bool) -> str:
        """Return a string as it is shown; of one that was not read to its end only what is safe."""
        known = self._strings.get((is_password, text)) if self._prose is None else None
        return TextFlow(self._finder, self._name).feed(text, is_whole=False) if known is None else known

    def _read_outside(self, text: str) -> str:
        """Return what stands outside of strings, up to the next one; a word at the end may not be whole yet."""
        quote = text.find('"', self._place)
        if quote < 0:
            last_word = _LAST_WORD.search(text, self._place)
            assert last_word is not None  # it may be empty
            return self._outside(text, last_word.start())
        more = self._outside(text, quote)
        if self._prose is None:
            more += '"'
            self._place += 1
            is_field = self._between.strip() == ":"
            self._is_value = is_field or self._stack[-1:] != ["{"]
            self._is_password = is_field and self._finder.is_secret_name(self._last)
            self._string, self._decoded, self._between = TextFlow(self._finder, self._name), "", ""
        return more

    def _outside(self, text: str, end: int) -> str:
        """Brackets, numbers and the like up to there. From the first word on that JSON does not have it is prose."""
        more = ""
        for word in _WORD.finditer(text, self._place, end):
            if _LITERAL.fullmatch(word[0]) is None:
                more += text[self._place : word.start()]
                self._place, self._prose = word.start(), TextFlow(self._finder, self._name)
                return more
            more += text[self._place : word.start()]
            more += self._literal(word[0], self._between + more)
            self._place = word.end()
        more += text[self._place : end]
        self._place = end
        self._between += more
        for bracket in _BRACKET.findall(more):
            if bracket in "[{":
                self._stack.append(bracket)
            elif self._stack:
                self._stack.pop()
        return more

    def _literal(self, word: str, before: str) -> str:
        if not word.isdecimal() or len(word) >= LONG:
            return word
        name = self._last if before.strip() == ":" else None
        return json.dumps(_field(self._finder, self._name, name, int(word)))

    def _read_string(self, text: str) -> str:
        assert self._string is not None
        whole = _WHOLE.match(text, self._place)
        assert whole is not None  # it matches nothing at all, too
        self._decoded += _decoded(whole[0])
        self._place = whole.end()
        is_closed = text.startswith('"', self._place)
        more = self._let_out(is_whole=is_closed)
        if is_closed:
            self._strings[self._is_password, self._decoded] = self._string.shown
            self._string, self._last = None, self._decoded
            self._place += 1
            more += '"'
        return more

    def _let_out(self, *, is_whole: bool) -> str:
        """More of the string that is being read."""
        assert self._string is not None
        if not self._is_password:
            return _encoded(self._string.feed(self._decoded, is_whole=is_whole))
        if is_whole and self._decoded:
            is_secret = self._finder.is_password(self._decoded)
            self._string.shown = self._name("password", self._decoded) if is_secret else self._decoded
        return _encoded(self._string.shown)

    def _end(self, text: str) -> str:
        """Return the rest, of a text that may have broken off anywhere."""
        if self._string is None:
            more = self._outside(text, len(text))
            if self._prose is not None:
                more += self._prose.feed(text[self._place :], is_whole=True)
            return more
        rest, self._place = text[self._place :], len(text)
        self._decoded += rest
        return self._let_out(is_whole=True)


def _decoded(escaped: str) -> str:
    try:
        decoded: str = json.loads(f'"{escaped}"', strict=False)
    except ValueError:  # no JSON after all: then it means what it says
        return escaped
    return decoded


def _encoded(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
