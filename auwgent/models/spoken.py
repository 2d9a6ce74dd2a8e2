"""Finds thoughts in tags and unparsed calls that a model writes into the text of its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Kind = Literal["text", "thought", "unsaid"]  # unsaid: all text so far was a thought

Tools = Mapping[str, Mapping[str, Any]]  # the schema of each tool's parameters

_OPENS = {"<think>": "</think>", "<thinking>": "</thinking>"}
_LONE = "</think>"  # of a thought that the chat template has opened

# Where calls begin: Hermes and Qwen, Qwen-Coder, Llama, Mistral. A JSON value is one where it names a tool.
_BEGINS = ("<tool_call>", "<function=", "<|python_tag|>", "[TOOL_CALLS]")
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([\w.-]+)>\s*(.*?)\s*(</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)
_DECODER = json.JSONDecoder()


class Spoken:
    """Sorts the text of one answer as it comes.

    Thoughts are those in a tag at the beginning; without its end all is thought. Chat templates may open the tag
    themselves: then its end alone comes, at the end of a line. With `reads_calls`, what may be calls is held back until
    the end.
    """

    def __init__(self, *, reads_calls: bool = False) -> None:
        self._reads_calls = reads_calls
        self._held = ""
        self._end = ""  # of the thought under way
        self._is_beginning = True
        self._has_thought = False
        self._may_be_calls = False
        self._told: list[str] = []  # as text, as long as it may turn out to be a thought

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
        if not self._has_thought:
            yield from self._turned_out()
        if text := self._let_go():
            self._told.append(text)
            yield "text", text

    def close(self) -> Iterator[tuple[Kind, str]]:
        """Yield what was held back and is not a call."""
        thought = "".join(self._told) + self._held.removesuffix(_LONE)
        if self._held.endswith(_LONE) and thought.endswith("\n") and self._is_lone(""):
            yield "unsaid", ""
            self._held = ""
        if self._held and not (self._is_beginning and not self._held.strip()):
            yield "thought" if self._end else "text", self._held
        self._held = ""

    def calls(self, tools: Tools) -> list[tuple[str, str]]:
        """Return the calls that were held back, as names and arguments; they are text no more."""
        if not self._may_be_calls:
            return []
        found, rest = _calls_in(self._held, tools)
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

    def _turned_out(self) -> Iterator[tuple[Kind, str]]:
        """Find the lone end of a thought that nobody knew to be one."""
        thought, _, rest = self._held.partition(f"{_LONE}\n")
        if len(thought) == len(self._held) or not self._is_lone(thought):
            return
        self._held, self._has_thought, self._may_be_calls, self._is_beginning = rest, True, False, True
        yield from (("thought", thought), ("unsaid", ""))
        self._begin()

    def _is_lone(self, text: str) -> bool:
        before = "".join(self._told) + text
        return "<think>" not in before and before.count("```") % 2 == 0

    def _let_go(self) -> str:
        """Return the text that surely is one."""
        if self._may_be_calls or self._is_beginning:
            return ""
        kept = 0 if self._has_thought else _overlap(self._held, f"{_LONE}\n")
        if self._reads_calls:
            places = [at for begin in _BEGINS if (at := self._held.find(begin)) >= 0]
            if places:
                self._may_be_calls = True
                kept = len(self._held) - min(places)
            else:
                kept = max(kept, *(_overlap(self._held, begin) for begin in _BEGINS))
        at = len(self._held) - kept
        text, self._held = self._held[:at], self._held[at:]
        return text


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a tag."""
    return next(
        (size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0
    )


def _calls_in(text: str, tools: Tools) -> tuple[list[tuple[str, str]], str]:
    """Calls in a text, and what else is in it."""
    found = [
        (name, _arguments(inner, tools.get(name, {}), is_whole=bool(end)))
        for name, inner, end in _FUNCTION.findall(text)
    ]
    found += [call for inner in _TAGGED.findall(text) for call in _named(inner)]
    if found:
        return found, _FUNCTION.sub("", _TAGGED.sub("", text)).replace("</tool_call>", "").strip()
    for begin in ("[TOOL_CALLS]", "<|python_tag|>"):
        if text.startswith(begin):
            return _named(text.removeprefix(begin)), ""
    calls = _named(text)
    return (calls, "") if calls and all(name in tools for name, _ in calls) else ([], text)


def _arguments(inner: str, schema: Mapping[str, Any], *, is_whole: bool) -> str:
    """Return the arguments of a call as JSON text: as they stand, or from tags that hold one each.

    Tags that were cut off are left as they are, which is not JSON.
    """
    if not inner.startswith("<parameter="):
        return inner or "{}"
    if not is_whole:
        return inner
    types = {name: _types(one) for name, one in (schema.get("properties") or {}).items()}
    made = {name: _value(text, types.get(name, set())) for name, text in _PARAMETER.findall(inner)}
    return json.dumps(made, ensure_ascii=False)


def _types(schema: Any) -> set[str]:
    """Return the types that a schema names, however it does."""
    if not isinstance(schema, Mapping):
        return set()
    named = schema.get("type")
    types = {named} if isinstance(named, str) else {one for one in named or () if isinstance(one, str)}
    return types.union(*(_types(one) for key in ("anyOf", "oneOf") for one in schema.get(key) or ()))


def _value(text: str, types: set[str]) -> Any:
    """Return a text as what the schema wants; where it wants a text, it stays one."""
    if "string" in types and not ("null" in types and text == "null"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(text, text)


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
