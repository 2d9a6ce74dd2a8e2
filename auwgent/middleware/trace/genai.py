"""What the OpenTelemetry semantic conventions for generative AI want to know of a run, as plain values.

https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from auwgent.session import Text, Turn, Usage

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]

TOKEN_BUCKETS = [4.0**power for power in range(14)]
SECOND_BUCKETS = [0.01 * 2**power for power in range(14)]

PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}
TOOL_TYPES = {"tool": "function", "workflow": "function", "helper": "extension"}


def model_attributes(name: str, provider: str) -> Attributes:
    """Return which model a call is for; the name of a model is without its provider."""
    return {
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": name.removeprefix(f"{provider}/"),
    }


def request_attributes(url: str | None, params: Mapping[str, Any]) -> Attributes:
    """Return the address and parameters of a call. Of the URL only host and port: the rest may hold a key."""
    found: Attributes = {
        f"gen_ai.request.{theirs}": params[ours]
        for ours, theirs in PARAMS.items()
        if isinstance(params.get(ours), int | float)
    }
    host = urlsplit(url or "")
    if host.hostname:
        found["server.address"] = host.hostname
    if host.hostname and host.port:
        found["server.port"] = host.port
    return found


def usage_attributes(usage: Usage) -> Attributes:
    found: Attributes = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if usage.cached_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.reasoning_tokens:
        found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if usage.usd is not None:
        found["auwgent.usage.usd"] = usage.usd
    return found


def reply_attributes(reply: Mapping[str, Any], provider: str) -> Attributes:
    found: Attributes = {}
    if reply["model"]:
        found["gen_ai.response.model"] = str(reply["model"]).removeprefix(f"{provider}/")
    if reply["finish_reason"]:
        found["gen_ai.response.finish_reasons"] = [str(reply["finish_reason"])]
    return found


def request_content(system: str, turns: Sequence[Turn]) -> Attributes:
    """Return what a model was told, in the conventions' own JSON."""
    found: Attributes = {"gen_ai.input.messages": _json([_message(turn) for turn in turns])}
    if system:
        found["gen_ai.system_instructions"] = _json([{"type": "text", "content": system}])
    return found


def reply_content(reply: Mapping[str, Any]) -> Attributes:
    """Return what a model answered."""
    parts: list[dict[str, Any]] = [{"type": "text", "content": reply["text"]}] if reply["text"] else []
    parts += [
        {"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["arguments"]}
        for call in reply["calls"]
    ]
    message = {"role": "assistant", "parts": parts, "finish_reason": reply["finish_reason"]}
    return {"gen_ai.output.messages": _json([message])}


def call_content(arguments: Any) -> Attributes:
    return {"gen_ai.tool.call.arguments": _json(arguments)}


def result_content(result: Any) -> Attributes:
    return {"gen_ai.tool.call.result": result if isinstance(result, str) else _json(result)}


def _message(turn: Turn) -> dict[str, Any]:
    if turn.role == "tool":
        part = {"type": "tool_call_response", "id": turn.tool_call_id, "response": turn.text}
        return {"role": "tool", "parts": [part]}
    parts: list[dict[str, Any]] = []
    for one in [Text(text=turn.content)] if isinstance(turn.content, str) else turn.content:
        if isinstance(one, Text):
            parts += [{"type": "text", "content": one.text}] if one.text else []
        else:  # its bytes stay here
            parts.append({"type": one.type, "mime_type": one.mime_type})
    for call in turn.tool_calls or ():
        parts.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.args})
    return {"role": turn.role, "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
