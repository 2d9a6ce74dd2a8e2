"""Marks what a provider should cache: the tools, the system prompt and the two newest turns of the user.

With the next request the provider finds all that stood before the older of these two, and reads only what is new.
Anthropic takes four marks; LiteLLM turns them into Bedrock's and Vertex's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.providers import family, provider

MARK = {"type": "ephemeral"}
NEWEST = 2


def is_marked(spec: ModelSpec, request: ModelRequest) -> bool:
    """Return whether to mark what will be read again. Others than Claude cache by themselves, or refuse the mark.

    A question without tools and without a history will not be: then only who asks for it always has marks.
    """
    if not spec.cache or not family(spec).marks_cache:
        return False
    return (
        spec.cache is True or bool(request.tools) or any(turn.role == "assistant" for turn in request.turns)
    )


def mark_newest(spec: ModelSpec, messages: Sequence[dict[str, Any]]) -> None:
    """Mark the end of the newest turns of the user; results of tools are such turns, too.

    LiteLLM marks a whole result, whose form then is the same with the mark and without: a cache is found by it.
    """
    whole_results = provider(spec).chat is None
    marked, before = 0, "assistant"
    for message in reversed(messages):
        is_users = message["role"] in ("user", "tool")
        if is_users and before == "assistant" and marked < NEWEST:
            if message["role"] == "tool" and whole_results:
                message["cache_control"] = MARK
            else:
                message["content"] = marked_content(message["content"])
            marked += 1
        before = "user" if is_users else "assistant"


def marked_content(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a message's content with a mark at its end."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    return [*parts[:-1], {**parts[-1], "cache_control": MARK}]
