"""The response as a resource: every field that Open Responses wants, null where nothing is known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auwgent.session import Usage

_INCOMPLETE = {"length": "max_output_tokens", "filtered": "content_filter"}


@dataclass(slots=True)
class Facts:
    """What a response says beside its output. What only its request told is not kept, and null elsewhere."""

    id: str
    model: str
    created_at: int
    usage: Usage | None = None
    completed_at: int | None = None
    is_background: bool = False
    is_stored: bool = True
    given: Mapping[str, Any] = field(default_factory=dict)  # of the request, as it is told again

    def resource(
        self,
        items: Sequence[Mapping[str, Any]],
        status: str,
        *,
        error: Mapping[str, Any] | None = None,
        finish_reason: str = "stop",
    ) -> dict[str, Any]:
        """Return the response with this output."""
        reason = _INCOMPLETE.get(finish_reason) if status == "incomplete" else None
        over = status not in ("in_progress", "queued")
        is_whole = status == "completed"
        given = self.given
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": (self.completed_at or int(time.time())) if is_whole else None,
            "status": status,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self.model,
            "previous_response_id": given.get("previous_response_id"),
            "instructions": given.get("instructions"),
            "output": [dict(item) for item in items],
            "error": error,
            "tools": [_tool(one) for one in given.get("tools") or ()],
            "tool_choice": given.get("tool_choice") or "auto",
            "truncation": "disabled",
            "parallel_tool_calls": True,
            "text": {"format": {"type": "text"}},
            "top_p": _number(given.get("top_p"), 1.0),
            "presence_penalty": _number(given.get("presence_penalty"), 0.0),
            "frequency_penalty": _number(given.get("frequency_penalty"), 0.0),
            "top_logprobs": 0,
            "temperature": _number(given.get("temperature"), 1.0),
            "reasoning": None,
            "usage": usage(self.usage) if over and self.usage is not None else None,
            "max_output_tokens": given.get("max_output_tokens"),
            "max_tool_calls": given.get("max_tool_calls"),
            "store": self.is_stored,
            "background": self.is_background,
            "service_tier": "default",
            "metadata": dict(given.get("metadata") or {}),
            "safety_identifier": given.get("safety_identifier"),
            "prompt_cache_key": given.get("prompt_cache_key"),
        }


def usage(used: Usage) -> dict[str, Any]:
    """Return what was used as Open Responses tells it."""
    return {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "name", "description", "parameters", "strict")
    return {name: given.get(name) for name in names}


def _number(given: Any, default: float) -> float:
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else default
