"""A conversation with tools, told to a model that knows nothing but plain chat.

Such a model cannot decide whether to call a tool: asked to, it always does. So the decision is made for it,
by the words the user's text shares with a tool's name, description and parameters. The one tool that fits best
is offered, and the answer is constrained to its arguments. Once a tool has answered, the model puts that in
words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auwgent.models.base import ModelRequest, ToolSpec
from auwgent.models.local.choosing import fitting_tool
from auwgent.session import Media, Turn

LONGEST_STRING = 200  # characters; a small model may find no end of its own
LONGEST_ARRAY = 20


@dataclass(frozen=True, slots=True)
class PlainChat:
    """Messages of role system, user and assistant; `schema` is what the answer must fit, if anything."""

    messages: list[dict[str, str]]
    tool: ToolSpec | None  # whose arguments the answer is
    schema: Mapping[str, Any] | None


def plain_chat(request: ModelRequest) -> PlainChat:
    """Return the request in plain chat."""
    tool = fitting_tool(request)
    schema = tool.parameters if tool else request.output.schema if request.output else None
    system = [request.system]
    if tool:
        parameters = ", ".join(tool.parameters.get("properties", {}))
        about = f"{tool.name}({parameters}): {tool.description}"
        system.append(f"Answer with JSON only: the arguments of the tool {about}")
    elif request.output:
        system.append("Answer with JSON only.")
    messages = [_message("system", "\n\n".join(filter(None, system)))] if any(system) else []
    last = len(request.turns) - 1
    for number, turn in enumerate(request.turns):
        text = _told(turn, number == last)
        role = "assistant" if turn.role == "assistant" else "user"
        # Many templates want user and assistant to take turns.
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n\n{text}"
        elif text:
            messages.append(_message(role, text))
    return PlainChat(messages, tool, bounded(schema) if schema else None)


def _told(turn: Turn, last: bool) -> str:
    if turn.role == "tool":
        return f"The tool {turn.name or ''} says: {turn.text}" + (". Now say the answer." if last else "")
    parts = [turn.text]
    if not isinstance(turn.content, str):
        parts += [f"({part.type} {part.name or ''})" for part in turn.content if isinstance(part, Media)]
    for call in turn.tool_calls or ():
        arguments = call.raw_args if call.raw_args is not None else json.dumps(call.args, ensure_ascii=False)
        parts.append(f"{call.name}({arguments})")
    return "\n".join(filter(None, parts))


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with an end to each string and array that has none."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if isinstance(value, Mapping):
            found[key] = bounded(value)
        elif isinstance(value, list):
            found[key] = [bounded(each) if isinstance(each, Mapping) else each for each in value]
        else:
            found[key] = value
    if found.get("type") == "string" and not found.keys() & {"enum", "const", "format", "pattern"}:
        found.setdefault("maxLength", LONGEST_STRING)
    elif found.get("type") == "array":
        found.setdefault("maxItems", LONGEST_ARRAY)
    return found
