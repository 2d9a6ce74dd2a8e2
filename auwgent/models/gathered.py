"""A whole answer that comes as a stream: LiteLLM is given it once, and takes it apart once.

So a silent provider is noticed and the beginning of a broken answer is there, as with a stream, for what a whole answer
costs. It is for OpenAI's chat format alone; the guard puts the pieces together.
"""

from __future__ import annotations

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


async def all_of(pieces: AsyncIterator[Json], said: list[str]) -> list[Json]:
    """Return the pieces of an answer to its end, which LiteLLM would not miss; its text is `said` as it comes."""
    found: list[Json] = []
    has_ended = False
    try:
        async for piece in pieces:
            found.append(piece)
            said += [choice.delta.content for choice in piece["choices"] if choice.delta.content]
            has_ended |= any(choice.finish_reason for choice in piece["choices"])
    except (APIError, Unusable):
        raise
    except Exception:
        if _has_begun(found):
            raise BrokenOff(begun=True) from None
        raise
    if not has_ended:
        raise BrokenOff(begun=_has_begun(found))
    return found


def _has_begun(pieces: list[Json]) -> bool:
    return any(one.delta.content or one.delta.tool_calls for piece in pieces for one in piece["choices"])


def as_whole(chunks: list[Json]) -> Mapping[str, Any]:
    """Pieces as a whole answer."""
    answer, ends, thoughts = Answer(), [], []
    for chunk in chunks:
        deque(answer.take(chunk), maxlen=0)
        for choice in chunk["choices"]:
            ends.append(choice.finish_reason)
            thoughts.append(choice.delta.reasoning_content or choice.delta.reasoning or "")
    last = next((end for end in reversed(ends) if end), None)
    message = Json(chunks[0]["choices"][0].delta if len(chunks) == 1 and ends else {})
    calls = answer.reply("", Usage()).calls
    message |= {
        "role": "assistant",
        "content": answer.text or None,
        "reasoning_content": "".join(thoughts) or None,
    }
    message["tool_calls"] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ] or None
    choice = {
        "index": 0,
        "finish_reason": last,
        "message": {k: v for k, v in message.items() if v is not None},
    }
    beside = around(next((one for one in reversed(chunks) if one.usage), chunks[-1]))
    return {**beside, "object": "chat.completion", "choices": [choice]}


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
