"""A whole answer that comes as a stream: LiteLLM is given it once, and takes it apart once.

So a silent provider is noticed and the beginning of a broken answer is there, as with a stream, for what a whole answer
costs. It is for OpenAI's chat format alone; the guard puts the pieces together.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from auwgent.models.answer import Answer
from auwgent.models.base import ModelSpec
from auwgent.models.events import Unusable
from auwgent.models.listed import listed
from auwgent.models.providers import PROVIDERS
from auwgent.models.received import APIError, BrokenOff, Json
from auwgent.session import Usage

PATH = "/chat/completions"
KEPT = 5_000  # pieces of a stream that LiteLLM may keep


def gathers(spec: ModelSpec) -> bool:
    """Return whether LiteLLM asks this model in OpenAI's chat format, so that its stream can be gathered."""
    known = PROVIDERS.get(spec.provider)
    if known is None or known.chat is None or known.exact or not known.whole_answers:
        return False
    return not spec.model.startswith("responses/") and listed(spec).get("mode", "chat") == "chat"


def streamed(request: Any, *, usage: bool) -> Any:
    """Return LiteLLM's request, of httpx's kind, as one for a stream. `usage`: ask for the tokens of it, too."""
    if not request.url.path.endswith(PATH):
        return request
    body = json.loads(request.content)
    body["stream"] = True
    if usage:
        body["stream_options"] = {"include_usage": True}
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    data = json.dumps(body, ensure_ascii=False).encode()
    return type(request)(
        request.method, request.url, headers=headers, content=data, extensions=request.extensions
    )


async def all_of(pieces: AsyncIterator[Json], said: list[str]) -> Mapping[str, Any]:
    """Return the answer of these pieces to its end, which LiteLLM would not miss; its text is `said` as it comes."""
    whole = _GatheredReply()
    try:
        async for piece in pieces:
            whole.take(piece)
            if whole.count % 256 == 0:  # a server that floods must not hold up all others
                await asyncio.sleep(0)
            said += [choice.delta.content for choice in piece["choices"] if choice.delta.content]
    except (APIError, Unusable):
        raise
    except Exception:
        if whole.has_begun:
            raise BrokenOff(begun=True) from None
        raise
    if not whole.end:
        raise BrokenOff(begun=whole.has_begun)
    return whole.as_sent()


def forget(response: Any) -> None:
    """Take from LiteLLM the pieces of a long stream: it keeps each for its log, at thousands of bytes a word.

    It needs the last two, to notice a model that repeats itself, and those that tell of tokens.
    """
    kept: list[Any] = getattr(response, "chunks", [])
    if len(kept) > KEPT:
        told = [piece for piece in kept[:-2] if getattr(piece, "usage", None)]
        kept[:-2] = told if len(told) < 10 else [told[0], told[-1]]


class _GatheredReply:
    """What pieces come to. They are not kept: a small answer may come in very many."""

    def __init__(self) -> None:
        self.has_begun = False
        self.end: str | None = None
        self._answer = Answer()
        self._thoughts: list[str] = []
        self.count = 0
        self._only = Json()  # the message of the first piece
        self._last = Json()  # the last piece, or the last with a usage

    def take(self, piece: Json) -> None:
        deque(self._answer.take(piece), maxlen=0)
        for choice in piece["choices"]:
            delta = choice.delta
            self.has_begun |= bool(delta.content or delta.tool_calls)
            self.end = choice.finish_reason or self.end
            if thought := delta.reasoning_content or delta.reasoning:
                self._thoughts.append(thought)
            if not self.count:
                self._only = delta
        self.count += 1
        if piece.usage or not self._last.usage:
            self._last = piece

    def as_sent(self) -> Mapping[str, Any]:
        message = Json(self._only if self.count == 1 else {})
        message |= {
            "role": "assistant",
            "content": self._answer.text or None,
            "reasoning_content": "".join(self._thoughts) or None,
        }
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self._answer.reply("", Usage()).calls
        ] or None
        choice = {
            "index": 0,
            "finish_reason": self.end,
            "message": {k: v for k, v in message.items() if v is not None},
        }
        return {**around(self._last), "object": "chat.completion", "choices": [choice]}


def around(chunk: Json) -> dict[str, Any]:
    """What stands beside the choices; what LiteLLM wants to be there is."""
    usual = {"id": "chatcmpl", "created": 0, "model": ""}
    kept = {
        name: value for name, value in chunk.items() if name not in ("choices", "usage") and value is not None
    }
    for name, value in usual.items():
        if type(kept.get(name)) is not type(value):
            kept[name] = value
    return kept | ({"usage": {k: v for k, v in chunk.usage.items() if v is not None}} if chunk.usage else {})
