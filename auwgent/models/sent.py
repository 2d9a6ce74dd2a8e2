"""Shows each request to its watchers as it is sent, and what of it a provider's cache no longer finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from auwgent.models import caching, wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.listed import listed
from auwgent.models.providers import IN_PROCESS, family

WORTH_IT = 4096  # characters; providers that cache by themselves begin with 1,024 tokens


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, as its provider gets it. Retries and stand-ins are requests of their own."""

    spec: ModelSpec
    request: ModelRequest
    params: Mapping[str, Any]
    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]]  # the system prompt first, where there is one


watcher: ContextVar[Callable[[Sent], None] | None] = ContextVar("watcher", default=None)


def tell(spec: ModelSpec, request: ModelRequest) -> None:
    """Tell whoever watches of a request that is about to be sent."""
    if (watch := watcher.get()) is None:
        return
    own = spec.own is not None or spec.provider in IN_PROCESS
    params = dict(spec.params) if own else wire.params(spec, listed(spec), request.most)
    watch(Sent(spec, request, params, wire.tools(spec, request), wire.messages(spec, request)))


def lost(before: Sent, now: Sent) -> str | None:
    """Say which part the provider kept in its cache with the request before, and finds changed; None where it hits.

    `before` is the last request of the same agent to the same model.
    """
    kept = _kept(before)
    if not kept:
        return None
    tools, known = _named(now.tools), _named(before.tools)
    changed = [name for name in {**known, **tools} if known.get(name) != tools.get(name)]
    if changed or list(known) != list(tools):
        which = f" ({', '.join(changed)})" if changed else ": their order"
        return f"the tools{which}"
    sent = [_plain(message) for message in now.messages]
    for index, message in enumerate(kept):
        if index >= len(sent) or sent[index] != message:
            role = before.messages[index]["role"]
            return "the system prompt" if role == "system" else f"message {index} ({role})"
    return None


def _kept(sent: Sent) -> list[str]:
    """The messages that the provider keeps for the next request, the tools before them."""
    if sent.spec.own is not None or sent.spec.provider in IN_PROCESS:
        return []
    messages = [_plain(message) for message in sent.messages]
    if caching.is_marked(sent.spec, sent.request):
        marked = [index for index, one in enumerate(sent.messages) if "cache_control" in json.dumps(one)]
        return messages[: marked[-1] + 1] if marked else []
    if family(sent.spec).marks_cache:
        return []
    return messages if sum(map(len, messages)) + len(json.dumps(sent.tools)) >= WORTH_IT else []


def _named(tools: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(tool["function"]["name"]): _plain(tool) for tool in tools}


def _plain(part: Mapping[str, Any]) -> str:
    """A tool or a message without its marks, which wander."""
    plain = {key: value for key, value in part.items() if key != "cache_control"}
    content = plain.get("content")
    if isinstance(content, str):
        plain["content"] = [{"type": "text", "text": content}]
    elif content:
        plain["content"] = [
            {key: value for key, value in one.items() if key != "cache_control"} for one in content
        ]
    return json.dumps(plain, sort_keys=True)
