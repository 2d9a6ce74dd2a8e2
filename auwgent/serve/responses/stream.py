"""Turns the intents of a leg into the output of a response, and the events that tell of it, numbered without gaps.

The numbers follow from what was said alone, and not from the pieces it came in: so a stream that broke is taken up
at its number also where the pieces are gone, or were never here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from auwgent.intents import Intent
from auwgent.serve.callers import call_id
from auwgent.serve.sse import event
from auwgent.serve.told import finish_of
from auwgent.serve.words import AnswerPiece, Words

_PIECE = re.compile(r"\s*\S{1,12}(?=\s)|\s*\S{12}")
LABEL = "auwgent"  # of the server whose tools are asked about
Resource = dict[str, Any]
Numbered = tuple[int, str]


class StreamedOutput:
    """The output of one response while it comes. `resource` makes the response as it is then, around it."""

    def __init__(
        self, name: str, run_id: str, speaks: Callable[[str], bool], resource: Callable[..., Resource]
    ) -> None:
        self.items: list[dict[str, Any]] = []
        self.finish_reason = "stop"
        self._name, self._run_id, self._speaks = name, run_id, speaks
        self._words, self._resource = Words(speaks), resource
        self._number = -1
        self._waiting = ""  # text that is not a whole piece yet
        self._pieces_of_part: list[str] = []  # of the part that is open

    def begin(self) -> Iterator[Numbered]:
        """The events that every stream begins with."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._resource(self.items, "in_progress"))

    def of(self, intent: Intent) -> Iterator[Numbered]:
        """The events that an intent makes."""
        if reason := finish_of(intent, self._speaks):
            self.finish_reason = reason
        for said in self._words.of(intent):
            yield from self._said(said)
        if intent.name == "paused":
            for call in intent.value["calls"]:
                yield from self._asked(call)

    def settle(self) -> None:
        """Put what has come into the open item, for a look at it."""
        if self._pieces_of_part:
            self._part["text"] = "".join(self._pieces_of_part) + self._waiting

    def end(self, status: str, error: Mapping[str, Any] | None = None) -> Iterator[Numbered]:
        """The events that end a stream."""
        for said in self._words.close():
            yield from self._said(said)
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        response = self._resource(self.items, status, error=error, finish_reason=self.finish_reason)
        yield self._event(f"response.{kind}", response=response)

    def _said(self, said: AnswerPiece) -> Iterator[Numbered]:
        if said.begins:
            yield from self._opened(said.kind)
        if said.delta:
            self._waiting += said.delta
            yield from self._pieces()
        if said.ends:
            if self._waiting:
                yield self._delta(self._waiting)
                self._waiting = ""
            yield from self._closed(said.kind)

    def _opened(self, kind: str) -> Iterator[Numbered]:
        if kind == "text":
            item: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
            yield self._added("msg", {**item, "status": "in_progress"})
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self.items[-1]["content"].append(part)
            yield self._of_part("response.content_part.added", part=dict(part))
        else:
            yield self._added("rs", {"type": "reasoning", "summary": []})
            part = {"type": "summary_text", "text": ""}
            self.items[-1]["summary"].append(part)
            yield self._of_part("response.reasoning_summary_part.added", part=dict(part))

    def _pieces(self) -> Iterator[Numbered]:
        end = 0
        while match := _PIECE.match(self._waiting, end):
            end = match.end()
            yield self._delta(match[0])
        self._waiting = self._waiting[end:]

    def _delta(self, delta: str) -> Numbered:
        item = self.items[-1]
        self._pieces_of_part.append(delta)
        if item["type"] == "message":
            return self._of_part("response.output_text.delta", delta=delta, logprobs=[])
        return self._of_part("response.reasoning_summary_text.delta", delta=delta)

    def _closed(self, kind: str) -> Iterator[Numbered]:
        text = self._part["text"] = "".join(self._pieces_of_part)
        self._pieces_of_part = []
        part = dict(self._part)
        if kind == "text":
            yield self._of_part("response.output_text.done", text=text, logprobs=[])
            yield self._of_part("response.content_part.done", part=part)
            self.items[-1]["status"] = "completed"
        else:
            yield self._of_part("response.reasoning_summary_text.done", text=text)
            yield self._of_part("response.reasoning_summary_part.done", part=part)
        yield self._done()

    def _asked(self, call: Mapping[str, Any]) -> Iterator[Numbered]:
        arguments, known = json.dumps(call["args"], ensure_ascii=False), call_id(self._run_id, call["id"])
        if call["kind"] == "approval":
            item = {"type": "mcp_approval_request", "name": call["type"], "arguments": arguments}
            yield self._added("mcpr", {**item, "server_label": LABEL}, known.replace("call_", "mcpr_", 1))
            yield self._done()
            return
        item = {"type": "function_call", "call_id": known, "name": call["type"]}
        yield self._added("fc", {**item, "arguments": "", "status": "in_progress"})
        self.items[-1] |= {"arguments": arguments, "status": "completed"}
        about = {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}
        yield self._event("response.function_call_arguments.delta", **about, delta=arguments)
        yield self._event(
            "response.function_call_arguments.done", **about, arguments=arguments, name=call["type"]
        )
        yield self._done()

    @property
    def _part(self) -> dict[str, Any]:
        item = self.items[-1]
        part: dict[str, Any] = item["content" if item["type"] == "message" else "summary"][-1]
        return part

    def _added(self, prefix: str, item: dict[str, Any], name: str = "") -> Numbered:
        self.items.append({"id": name or f"{prefix}_{self._name}_{len(self.items)}", **item})
        return self._event(
            "response.output_item.added", output_index=len(self.items) - 1, item=_copy(self.items[-1])
        )

    def _done(self) -> Numbered:
        item = _copy(self.items[-1])
        return self._event("response.output_item.done", output_index=len(self.items) - 1, item=item)

    def _of_part(self, kind: str, **values: Any) -> Numbered:
        index = "content_index" if self.items[-1]["type"] == "message" else "summary_index"
        about = {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1, index: 0}
        return self._event(kind, **about, **values)

    def _event(self, kind: str, **values: Any) -> Numbered:
        self._number += 1
        return self._number, event({"type": kind, "sequence_number": self._number, **values}, kind)


def _copy(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: [dict(one) for one in value] if isinstance(value, list) else value for key, value in item.items()
    }
