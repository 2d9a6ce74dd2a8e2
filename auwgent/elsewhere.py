"""Conversations of other programs: lists of chat-completions messages, Responses items and Anthropic messages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from auwgent.pairing import paired, skipped_result
from auwgent.session import Media, Part, Session, Text, ToolCall, Turn, spoken_by

Form = Literal["chat", "responses", "anthropic"]
_ITEMS = ("message", "function_call", "function_call_output", "reasoning")  # of the Responses API
_BLOCKS = ("tool_use", "tool_result", "thinking", "redacted_thinking")  # of Anthropic's messages
_TEXTS = ("text", "input_text", "output_text", "refusal")


def form_of(value: Any) -> Form | None:
    """Return which list of messages it is, by its form; None for what is none, such as a session of ours."""
    rows = _rows(value)
    if not rows or (isinstance(value, Mapping) and "turns" in value):
        return None
    if any(row.get("type") in _ITEMS for row in rows):
        return "responses"
    if not all(isinstance(row.get("role"), str) for row in rows):
        return None
    blocks = [block for row in rows for block in _blocks(row.get("content"))]
    if any(block.get("type") in _BLOCKS or "source" in block for block in blocks):
        return "anthropic"
    return "anthropic" if isinstance(value, Mapping) and "system" in value else "chat"


def read(value: Any, form: Form) -> tuple[Session, list[str]]:
    """Return the conversation as a session, and what did not come along. `ValueError` where a message is none.

    Calls without a result get `skipped`: none of them is ever made.
    """
    reader = _Collector()
    system = value.get("system") or value.get("instructions") if isinstance(value, Mapping) else None
    if system:
        reader.system.append("".join(reader.words(system)))
    for row in _rows(value):
        reader.take(row)
    turns = paired(reader.turns, skipped_result)
    lost = sum(turn.role == "tool" for turn in reader.turns) - sum(
        turn.outcome != "skipped" for turn in turns if turn.role == "tool"
    )
    if lost > 0:
        reader.lost["results without a call"] += lost
    notes = [f"{count} {what}" for what, count in reader.lost.items()]
    return Session(system_prompt="\n\n".join(reader.system), turns=turns), notes


def written(session: Session, form: Literal["openai", "anthropic"]) -> Any:
    """Return the root agent's conversation as chat-completions messages, or as Anthropic's `system` and `messages`."""
    root = (
        session.stack[0] if session.stack else next((turn.agent for turn in session.turns if turn.agent), "")
    )
    turns = paired(spoken_by(session.turns, root or ""), skipped_result)
    if form == "openai":
        system = [{"role": "system", "content": session.system_prompt}] if session.system_prompt else []
        return [*system, *map(_as_chat, turns)]
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role, blocks = "assistant" if turn.role == "assistant" else "user", list(_as_blocks(turn))
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})
    return {"system": session.system_prompt, "messages": messages}


class _Collector:
    """Collects turns, and counts what cannot be kept."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.system: list[str] = []
        self.lost: Counter[str] = Counter()
        self._names: dict[str, str] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        kind, role = row.get("type", "message"), row.get("role")
        if kind == "function_call":
            self._called([(row.get("call_id"), row.get("name"), row.get("arguments"))], "")
        elif kind == "function_call_output":
            self._result(row.get("call_id"), row.get("output"))
        elif kind != "message":
            self.lost[f"items of type {kind!r}"] += 1
        elif role in ("system", "developer"):
            self.system.append("".join(self.words(row.get("content"))))
        elif role in ("tool", "function"):
            self._result(row.get("tool_call_id"), row.get("content"))
        elif role == "assistant":
            self._said(row)
        elif role == "user":
            self._asked(row.get("content"))
        else:
            raise ValueError(f"a message has the role {role!r}")

    def words(self, content: Any) -> Iterator[str]:
        """Yield the texts of a content."""
        if isinstance(content, str):
            yield content
        yield from (str(block.get("text") or block.get("refusal") or "") for block in _blocks(content))

    def _asked(self, content: Any) -> None:
        parts: list[Part] = [Text(text=content)] if isinstance(content, str) else []
        for block in _blocks(content):
            if block.get("type") == "tool_result":
                self._result(block.get("tool_use_id"), block.get("content"), bool(block.get("is_error")))
            elif (part := self._part(block)) is not None:
                parts.append(part)
        if parts:
            alone = parts[0].text if len(parts) == 1 and isinstance(parts[0], Text) else parts
            self.turns.append(Turn(role="user", content=alone))

    def _said(self, row: Mapping[str, Any]) -> None:
        calls, texts = [], []
        content = row.get("content")
        if isinstance(content, str):
            texts.append(content)
        for block in _blocks(content):
            if block.get("type") in _TEXTS:
                texts.append(str(block.get("text") or block.get("refusal") or ""))
            elif block.get("type") == "tool_use":
                calls.append((block.get("id"), block.get("name"), block.get("input")))
            else:
                self.lost[f"blocks of type {block.get('type')!r}"] += 1
        for call in row.get("tool_calls") or ():
            function = call.get("function") or {}
            calls.append((call.get("id"), function.get("name"), function.get("arguments")))
        self._called(calls, "".join(texts))

    def _called(self, calls: Iterable[tuple[Any, Any, Any]], text: str) -> None:
        made = []
        for call_id, name, arguments in calls:
            if not call_id or not name:
                raise ValueError("a call has no id or no name")
            self._names[str(call_id)] = str(name)
            args, raw = arguments, None
            if isinstance(arguments, str):
                try:
                    args = json.loads(arguments or "{}")
                except ValueError:
                    args = None
                raw = None if isinstance(args, dict) else arguments
            made.append(
                ToolCall(
                    id=str(call_id), name=str(name), args=args if isinstance(args, dict) else {}, raw_args=raw
                )
            )
        last = self.turns[-1] if self.turns else None
        if made and not text and last is not None and last.role == "assistant":  # items of one answer
            last.tool_calls = [*(last.tool_calls or ()), *made]
        elif made or text:
            self.turns.append(Turn(role="assistant", content=text, tool_calls=made or None))

    def _result(self, call_id: Any, content: Any, is_error: bool = False) -> None:
        parts = [part for block in _blocks(content) if (part := self._part(block)) is not None]
        said: Any = (
            content if isinstance(content, str) else parts or ("" if content is None else json.dumps(content))
        )
        if parts and all(isinstance(part, Text) for part in parts):
            said = "".join(part.text for part in parts if isinstance(part, Text))
        outcome: Literal["ok", "error"] = "error" if is_error else "ok"
        name = self._names.get(str(call_id))
        if not call_id:
            self.lost["results without a call"] += 1
            return
        self.turns.append(
            Turn(role="tool", content=said, tool_call_id=str(call_id), name=name, outcome=outcome)
        )

    def _part(self, block: Mapping[str, Any]) -> Part | None:
        kind = block.get("type")
        if kind in _TEXTS:
            return Text(text=str(block.get("text") or ""))
        try:
            if (part := _media(block)) is not None:
                return part
        except ValueError:  # neither base64 nor an address
            pass
        self.lost[f"parts of type {kind!r}"] += 1
        return None


def _media(block: Mapping[str, Any]) -> Media | None:
    """Return an image, a file or a sound; None for what is named by an id of the provider's, or is none."""
    kind: Literal["image", "file"] = "image" if "image" in str(block.get("type")) else "file"
    source = block.get("source")
    if isinstance(source, Mapping):
        if source.get("type") == "base64":
            return Media(type=kind, data=source.get("data"), mime_type=source.get("media_type"))
        return Media(type=kind, url=source.get("url")) if source.get("type") == "url" else None
    if isinstance(sound := block.get("input_audio"), Mapping):
        return Media(type="audio", data=sound.get("data"), mime_type=f"audio/{sound.get('format', 'wav')}")
    inner = block.get("image_url") or block.get("file") or block
    address = (
        inner
        if isinstance(inner, str)
        else inner.get("url") or inner.get("file_data") or inner.get("file_url")
    )
    if not isinstance(address, str):
        return None
    name = inner.get("filename") if isinstance(inner, Mapping) else None
    if address.startswith("data:"):
        head, _, data = address.partition(",")
        return Media(type=kind, data=data, mime_type=head[5:].partition(";")[0] or None, name=name)
    return Media(type=kind, url=address, name=name)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        value = value.get("messages") or value.get("input") or value.get("output")
    rows = value if isinstance(value, list) else []
    return rows if all(isinstance(row, Mapping) for row in rows) else []


def _blocks(content: Any) -> list[Mapping[str, Any]]:
    return [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []


def _as_chat(turn: Turn) -> dict[str, Any]:
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.tool_call_id, "content": turn.text}
    content: Any = (
        turn.content if isinstance(turn.content, str) else [_chat_part(part) for part in turn.content]
    )
    message: dict[str, Any] = {"role": turn.role, "content": content}
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.raw_args or json.dumps(call.args, ensure_ascii=False),
                },
            }
            for call in turn.tool_calls
        ]
    return message


def _chat_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    address = part.url or f"data:{part.mime_type or 'application/octet-stream'};base64,{part.data}"
    if part.type == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    if part.type == "audio" and part.data is not None:
        form = (part.mime_type or "audio/wav").partition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": address}}


def _as_blocks(turn: Turn) -> Iterator[dict[str, Any]]:
    if turn.role == "tool":
        result = {"type": "tool_result", "tool_use_id": turn.tool_call_id, "content": turn.text}
        yield result if turn.outcome in (None, "ok") else result | {"is_error": True}
        return
    parts = [Text(text=turn.content)] if isinstance(turn.content, str) else turn.content
    for part in parts:
        if isinstance(part, Text):
            if part.text:
                yield {"type": "text", "text": part.text}
            continue
        source = (
            {"type": "url", "url": part.url}
            if part.data is None
            else {
                "type": "base64",
                "media_type": part.mime_type or "application/octet-stream",
                "data": part.data,
            }
        )
        yield {"type": "image" if part.type == "image" else "document", "source": source}
    for call in turn.tool_calls or ():
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.args}
