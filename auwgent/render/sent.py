"""What is sent to a model, for people: each request with its params, tools and messages, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from auwgent.models.sent import Sent, lost
from auwgent.render.terminal import harmless, paint, wants_colour
from auwgent.secrecy import MASK, scrubbed, without_secrets

_DATA = re.compile(r"(data:[\w/+.-]+;base64,)?[A-Za-z0-9+/=_-]{400,}")
_HEADERS = ("headers", "extra_headers")  # whatever their names, their values may be keys


class Requests:
    """Writes each request to `err` as it is sent."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._colour = wants_colour(err)
        self._number = 0
        self._before: dict[tuple[str, str, str], Sent] = {}  # the last one of each session, agent and model

    def __call__(self, sent: Sent) -> None:
        self._number += 1
        request = sent.request
        who = f"{request.agent} asks " if request.agent else ""
        lines = [f"── request {self._number}: {who}{sent.spec.name}", *_lines(sent)]
        if request.agent:
            key = request.session_id, request.agent, sent.spec.name
            before, self._before[key] = self._before.get(key), sent
            if before is not None and (part := lost(before, sent)):
                lines.append(
                    f"! The cache of {sent.spec.name} is lost: {part} changed since the last request, which it kept"
                )
        text = harmless(scrubbed("\n".join(lines)))
        self._err.write("".join(paint(line, "dim", on=self._colour) + "\n" for line in text.split("\n")))
        self._err.flush()


def _lines(sent: Sent) -> Iterator[str]:
    if sent.params:
        yield f"params: {_json(_masked(sent.params))}"
    if sent.request.output is not None:
        yield f"answers with {sent.request.output.name}: {_json(sent.request.output.schema)}"
    for tool in sent.tools:
        function = tool["function"]
        mark = " (cached up to here)" if "cache_control" in tool else ""
        yield f"tool {function['name']}: {function['description']} {_json(function['parameters'])}{mark}"
    for message in sent.messages:
        yield from _message(message)


def _message(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    words = [part["text"] if part.get("type") == "text" else f"[{_short(_json(part))}]" for part in parts]
    words += [
        f"→ {call['function']['name']}({call['function']['arguments']}) [{call['id']}]"
        for call in message.get("tool_calls") or ()
    ]
    words += [f"({key}: {_short(_json(message[key]))})" for key in message if key not in _SAID]
    mark = " (cached up to here)" if "cache_control" in json.dumps(message) else ""
    whose = f" [{message['tool_call_id']}]" if "tool_call_id" in message else ""
    yield f"{message['role']}{whose}{mark}:"
    yield from (f"  {line}" for text in words if text for line in text.split("\n"))


_SAID = ("role", "content", "tool_calls", "tool_call_id", "cache_control")


def _masked(params: Mapping[str, Any]) -> Any:
    """Params without keys and the values of headers."""
    hidden = {
        name: dict.fromkeys(value, MASK) if name in _HEADERS and isinstance(value, Mapping) else value
        for name, value in params.items()
    }
    return without_secrets(hidden)


def _short(text: str) -> str:
    """A text without the bytes of files."""
    return _DATA.sub(lambda match: f"{match[1] or ''}… {len(match[0]):,} characters", text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
