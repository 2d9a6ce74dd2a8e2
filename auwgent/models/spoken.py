"""What a model writes as text although it is not its answer: thoughts in tags, and calls where nobody parses them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Literal

Kind = Literal["text", "thought"]

_OPENS = {"<think>": "</think>", "<thinking>": "</thinking>"}

# Where calls begin: Hermes and Qwen, Llama, Mistral. A JSON value as the whole answer is one where it names a tool.
_BEGINS = ("<tool_call>", "<function=", "<|python_tag|>", "[TOOL_CALLS]")
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([\w.-]+)>\s*(.*?)\s*(?:</function>|\Z)", re.DOTALL)
_DECODER = json.JSONDecoder()


class Spoken:
    """Sorts the text of one answer as it comes.

    Thoughts are those in a tag at the beginning; without its end all is thought. With `reads_calls`, what may be calls
    is held back until the end.
    """

    def __init__(self, *, reads_calls: bool = False) -> None:
        self._reads_calls = reads_calls
        self._held = ""
        self._end = ""  # of the thought under way
        self._is_beginning = True
        self._has_thought = False
        self._may_be_calls = False

    def feed(self, text: str) -> Iterator[tuple[Kind, str]]:
        """Yield what the next piece brings, without what cannot be told yet."""
        self._held += text
        if self._is_beginning and not self._begin():
            return
        if self._end:
            thought, end, rest = self._held.partition(self._end)
            if not end:
                kept = _overlap(self._held, self._end)
                thought, self._held = (
                    self._held[: len(self._held) - kept],
                    self._held[len(self._held) - kept :],
                )
                if thought:
                    yield "thought", thought
                return
            if thought:
                yield "thought", thought
            self._end, self._held = "", rest
            self._is_beginning = self._has_thought = True
            if not self._begin():
                return
        if text := self._let_go():
            yield "text", text

    def close(self) -> Iterator[tuple[Kind, str]]:
        """Yield what was held back and is no call."""
        if self._held and not (self._is_beginning and not self._held.strip()):
            yield "thought" if self._end else "text", self._held
        self._held = ""

    def calls(self, names: Collection[str]) -> list[tuple[str, str]]:
        """Return the calls that were held back, as names and arguments; they are text no more."""
        if not self._may_be_calls:
            return []
        found, rest = _calls_in(self._held, names)
        if found:
            self._held = rest
        return found

    def _begin(self) -> bool:
        """Return whether it is known by now what the text begins with."""
        words = self._held.lstrip()
        for begin, end in _OPENS.items() if not self._has_thought else ():
            if words.startswith(begin):
                self._held, self._end, self._is_beginning = words.removeprefix(begin), end, False
                return True
            if begin.startswith(words):
                return False
        if not words:
            return False
        self._may_be_calls = self._reads_calls and words[0] in "{["
        if self._has_thought:
            self._held = words  # blanks behind a thought are not the answer's
        self._is_beginning = False
        return True

    def _let_go(self) -> str:
        """Return the text that surely is one."""
        if self._may_be_calls:
            return ""
        kept = 0
        if self._reads_calls:
            places = [at for begin in _BEGINS if (at := self._held.find(begin)) >= 0]
            if places:
                self._may_be_calls = True
                kept = len(self._held) - min(places)
            else:
                kept = max(_overlap(self._held, begin) for begin in _BEGINS)
        at = len(self._held) - kept
        text, self._held = self._held[:at], self._held[at:]
        return text


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a tag."""
    return next(
        (size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0
    )


def _calls_in(text: str, names: Collection[str]) -> tuple[list[tuple[str, str]], str]:
    """Calls in a text, and what else is in it."""
    found = [(name, arguments or "{}") for name, arguments in _FUNCTION.findall(text)]
    found += [call for inner in _TAGGED.findall(text) for call in _named(inner)]
    if found:
        return found, _FUNCTION.sub("", _TAGGED.sub("", text)).strip()
    for begin in ("[TOOL_CALLS]", "<|python_tag|>"):
        if text.startswith(begin):
            return _named(text.removeprefix(begin)), ""
    calls = _named(text)
    return (calls, "") if calls and all(name in names for name, _ in calls) else ([], text)


def _named(text: str) -> list[tuple[str, str]]:
    """JSON objects that name a tool, alone, one after the other or in a list."""
    values: list[Any] = []
    text = text.strip()
    while text:
        try:
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            return []
        values += value if isinstance(value, list) else [value]
        text = text[end:].lstrip(" \n\t;,")
    calls = []
    for value in values:
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            return []
        arguments = value.get("arguments", value.get("parameters"))
        calls.append(
            (value["name"], arguments if isinstance(arguments, str) else json.dumps(arguments or {}))
        )
    return calls
