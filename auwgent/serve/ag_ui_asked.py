"""What a request of AG-UI asks: its messages in OpenAI's form, whose reader we have, and its answers to open calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ag_ui.core import ResumeEntry, RunAgentInput

from auwgent.serve.faults import bad_request

_DATA = {"image": "image_url", "document": "file", "audio": "input_audio"}


def answer_of(given: ResumeEntry, kinds: Mapping[str, Any]) -> Any:
    """Return what a `resume` entry says. An approval may be `{approved, reason}`, too, as many clients have it."""
    payload = given.payload
    if given.status == "cancelled":
        return False
    if kinds.get(given.interrupt_id) == "tool":
        is_answer = isinstance(payload, dict) and payload.keys() in ({"result"}, {"error"})
        return payload if is_answer or payload is False else {"result": payload}
    if isinstance(payload, dict) and isinstance(payload.get("approved"), bool):
        return payload["approved"] or str(payload.get("reason") or "") or False
    return True if payload is None else payload


def _newest(given: RunAgentInput) -> list[Any]:
    """Return the messages after the last one of the assistant."""
    roles = [message.role for message in given.messages]
    last = max((n for n, role in enumerate(roles) if role == "assistant"), default=-1)
    return list(given.messages[last + 1 :])


def results_of(given: RunAgentInput) -> dict[str, Any]:
    """Return the results of the caller's tools that came since the last answer, where nothing was said behind them."""
    newest = [one for one in _newest(given) if one.role in ("user", "tool")]
    if not newest or newest[-1].role == "user":
        return {}
    return {
        one.tool_call_id: {"error": one.error} if one.error else {"result": _text(one.content)}
        for one in newest
        if one.role == "tool"
    }


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.type == "text")


def as_chat(given: RunAgentInput) -> list[dict[str, Any]]:
    """Return the messages in OpenAI's form, whose reader we have; what AG-UI has besides is for the page alone."""
    messages = []
    for number, one in enumerate(given.messages):
        if one.role in ("activity", "reasoning"):
            continue
        message: dict[str, Any] = {"role": one.role}
        content = one.content
        message["content"] = (
            [_part(part, f"messages[{number}].content") for part in content]
            if isinstance(content, list)
            else content
        )
        if one.role == "tool":
            message["tool_call_id"] = one.tool_call_id
        elif one.role == "assistant" and one.tool_calls:
            message["tool_calls"] = [call.model_dump(mode="json") for call in one.tool_calls]
        messages.append(message)
    system = [{"role": "system", "content": f"{one.description}: {one.value}"} for one in given.context or ()]
    return [*system, *messages]


def _part(part: Any, place: str) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "text": part.text}
    source, kind = part.source, _DATA.get(part.type)
    if kind is None or source.type == "file":
        raise bad_request(f"`{place}` holds a {part.type} that this server cannot take", place)
    address = source.value if source.type == "url" else f"data:{source.mime_type or ''};base64,{source.value}"
    if kind == "input_audio" and source.type == "data":
        sound = "mp3" if "mp" in (source.mime_type or "") else "wav"
        return {"type": kind, kind: {"data": source.value, "format": sound}}
    if kind == "image_url":
        return {"type": kind, kind: {"url": address}}
    name = (part.metadata or {}).get("filename")
    source_of = "file_url" if source.type == "url" else "file_data"
    return {"type": kind, "file": {source_of: address, **({"filename": name} if name else {})}}
