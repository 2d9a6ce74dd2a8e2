"""Items of a request as messages of a chat and answers; and turns as items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auwgent.serve.faults import bad_request
from auwgent.session import Media, Text, Turn

_UNREAD = (
    "item_reference",
    "reasoning",
    "mcp_approval_request",
    "mcp_list_tools",
)  # we know them, or need them not


def messages_of(given: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the input as messages, and the answers to questions by the ids of these."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}], {}
    if not isinstance(given, list) or not given:
        raise bad_request("`input` should be a text or a list of items", "input")
    messages: list[dict[str, Any]] = []
    approvals: dict[str, Any] = {}
    for number, item in enumerate(given):
        place = f"input[{number}]"
        if not isinstance(item, Mapping):
            raise bad_request(f"`{place}` should be an item", place)
        match item.get("type") or "message":
            case "message":
                messages.append({"role": item.get("role"), "content": item.get("content")})
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                call = {"id": item.get("call_id"), "function": function}
                messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case "function_call_output":
                output = {"tool_call_id": item.get("call_id"), "content": item.get("output")}
                messages.append({"role": "tool", **output})
            case "mcp_approval_response":
                name = item.get("approval_request_id")
                if not isinstance(name, str) or not isinstance(item.get("approve"), bool):
                    raise bad_request(f"`{place}` needs `approval_request_id` and `approve`", place)
                reason = item.get("reason")
                is_told = isinstance(reason, str) and reason.strip() and not item["approve"]
                approvals[name.replace("mcpr_", "call_", 1)] = reason if is_told else item["approve"]
            case kind if kind in _UNREAD:
                pass
            case kind:
                raise bad_request(f"`{place}` is of type {kind!r}, which this server does not take", place)
    return messages, approvals


def item_of(turn: Turn, call_ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a turn of the user, or the result of a call, as an item of a request; `call_ids` by the calls' own."""
    if turn.role == "tool":
        known = call_ids.get(turn.tool_call_id or "", turn.tool_call_id)
        output = {"call_id": known, "output": turn.text, "status": "completed"}
        return {"id": f"fco_{turn.id}", "type": "function_call_output", **output}
    content = (
        [{"type": "input_text", "text": turn.content}]
        if isinstance(turn.content, str)
        else [_part(part) for part in turn.content]
    )
    return {
        "id": f"msg_{turn.id}",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": content,
    }


def _part(part: Text | Media) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    source = part.url or f"data:{part.mime_type or 'application/octet-stream'};base64,{part.data}"
    if part.type == "image":
        return {"type": "input_image", "image_url": source, "detail": "auto"}
    return {"type": "input_file", "filename": part.name or part.type, "file_data": source}
