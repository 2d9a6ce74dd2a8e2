"""A request in the messages LiteLLM takes: a history of any provider, valid for the one that is asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from auwgent.errors import ConfigError
from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.models.dialects import as_parameters, written_out
from auwgent.models.providers import family, provider
from auwgent.session import Media, Part, Text, ToolCall, Turn

Message = dict[str, Any]

# Arguments that are made here: in `params` they would defeat keys, timeouts or retries.
OWN_ARGUMENTS = frozenset(
    (
        *("model", "messages", "tools", "stream", "stream_options", "custom_llm_provider", "mock_response"),
        *("api_key", "api_base", "base_url", "client", "acompletion", "timeout", "stream_timeout"),
        *("request_timeout", "max_retries", "num_retries", "retry_strategy", "fallbacks"),
        "context_window_fallback_dict",
    )
)
OUTPUT_LIMITS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
)  # params that say how much may come
OUTPUT_TOKENS = 8192  # of a Claude without max_tokens in its params; its most may be very much

# What may be left empty in a session but not on every wire.
NO_OUTPUT = "(no output)"
BEGINS = "(The conversation begins with your words.)"
GO_ON = "(Noted.)"

CACHE_MARK = {"type": "ephemeral"}

# What of an answer is kept as provider_data, and goes back where it came from.
ECHOED = ("thinking_blocks", "reasoning_details")

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # OpenAI refuses longer ones, Anthropic other characters
_STRICT_ID = re.compile(r"[A-Za-z0-9]{9}")
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}


def check_params(spec: ModelSpec) -> None:
    """Refuse `params` that would undo what is decided here."""
    own = sorted(OWN_ARGUMENTS & spec.params.keys())
    if own:
        raise ConfigError(f"params of {spec.label or spec.name} may not set {', '.join(map(repr, own))}")


def params(spec: ModelSpec, known: Mapping[str, Any], most: int | None = None) -> dict[str, Any]:
    """The params as they are, and `max_tokens` for a Claude; `known` is what LiteLLM lists of the model.

    `most` are the tokens of output that are paid for, whatever the params say.
    """
    made = dict(spec.params)
    if family(spec).needs_limit:
        thinking = spec.params.get("thinking") or {}
        limit = known.get("max_output_tokens") or OUTPUT_TOKENS
        made = {"max_tokens": int(min(limit, OUTPUT_TOKENS + thinking.get("budget_tokens", 0))), **made}
    if most is not None:
        made[next((name for name in OUTPUT_LIMITS if name in made), OUTPUT_LIMITS[0])] = most
    return made


def messages(spec: ModelSpec, request: ModelRequest) -> list[Message]:
    """The system prompt and the turns, with roles, call ids and contents that `spec`'s provider accepts."""
    ids = _CallIds(spec)
    wired = [message for turn in request.turns if (message := _message(spec, turn, ids))]
    make = family(spec)
    in_a_row = provider(spec).in_a_row and not make.alternates
    wired = _ordered(wired, strict=make.nine_letter_ids, in_a_row=in_a_row)
    if request.system:
        wired.insert(0, {"role": "system", "content": _system(spec, request.system)})
    return wired


def tools(spec: ModelSpec, request: ModelRequest) -> list[dict[str, Any]]:
    """The tools in OpenAI's form; the last one marked for the cache, which keeps them where the prompt has changed."""
    wired = [_tool(spec, tool) for tool in request.tools]
    if wired and _marks_cache(spec):
        wired[-1]["cache_control"] = CACHE_MARK
    return wired


def native_output(spec: ModelSpec, *, has_tools: bool) -> bool:
    """Whether the provider itself can hold an answer to a JSON Schema, tools or not.

    Where this is False, LiteLLM would force a tool of its own on the model, which then can call no other: a
    final-answer tool among the others is the way there.
    """
    native = provider(spec).native_output
    return native == "always" or (native == "alone" and not has_tools)


def response_format(spec: ModelSpec, request: ModelRequest) -> dict[str, Any] | None:
    """The `response_format` of a structured answer. Not strict: few schemas of users fit that subset."""
    if request.output is None:
        return None
    schema = {"name": request.output.name, "schema": _schema(spec, request.output.schema), "strict": False}
    return {"type": "json_schema", "json_schema": schema}


class _CallIds:
    """Call ids as the provider takes them: unique, of its form, the same for the same history each time."""

    def __init__(self, spec: ModelSpec) -> None:
        self._model = spec.name
        self._strict = family(spec).nine_letter_ids
        self._taken: set[str] = set()
        self._waiting: dict[str, deque[str]] = {}  # id in the session -> ids on the wire without a result yet

    def of_call(self, turn: Turn, call: ToolCall) -> str:
        wire_id = call.id if self._may_stay(turn, call.id) else _digest(call.id)
        repeats = 0
        while wire_id in self._taken:
            repeats += 1
            wire_id = _digest(f"{call.id}#{repeats}")
        self._taken.add(wire_id)
        self._waiting.setdefault(call.id, deque()).append(wire_id)
        return wire_id

    def of_result(self, call_id: str) -> str:
        return self._waiting[call_id].popleft()

    def _may_stay(self, turn: Turn, call_id: str) -> bool:
        if self._strict:
            return bool(_STRICT_ID.fullmatch(call_id))
        # Gemini's ids are long and carry a signature that Gemini wants back.
        return bool(call_id and turn.model == self._model) or bool(_SAFE_ID.fullmatch(call_id))


def _digest(text: str) -> str:
    """Nine letters and digits: what the strictest provider takes is good for all."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    letters = []
    for _ in range(9):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)


def _message(spec: ModelSpec, turn: Turn, ids: _CallIds) -> Message | None:
    match turn.role:
        case "user":
            content = _content(spec, turn)
            return {"role": "user", "content": content} if content else None
        case "assistant":
            return _assistant(spec, turn, ids)
        case "tool":
            call_id = ids.of_result(turn.tool_call_id or "")
            return {"role": "tool", "tool_call_id": call_id, "content": _result(turn)}


def _assistant(spec: ModelSpec, turn: Turn, ids: _CallIds) -> Message | None:
    """An answer; None where nothing of it can be sent, since an empty one is refused by most."""
    calls = [
        {
            "id": ids.of_call(turn, call),
            "type": "function",
            # What did not parse in the first place would be refused: the result says what was wrong with it.
            "function": {"name": call.name, "arguments": json.dumps(call.args, ensure_ascii=False)},
        }
        for call in turn.tool_calls or ()
    ]
    if not calls and not turn.text.strip():
        return None
    message: Message = {"role": "assistant", "content": turn.text or None}
    if calls:
        message["tool_calls"] = calls
    if turn.provider_data and turn.model == spec.name:
        message |= {key: turn.provider_data[key] for key in ECHOED if key in turn.provider_data}
    return message


def _result(turn: Turn) -> str:
    if isinstance(turn.content, str):
        return turn.content or NO_OUTPUT
    return "\n".join(_as_text(part) for part in turn.content) or NO_OUTPUT


def _content(spec: ModelSpec, turn: Turn) -> str | list[dict[str, Any]]:
    """Text alone goes as a string, which every provider reads; only media make a list of parts."""
    if isinstance(turn.content, str):
        return turn.content
    if all(isinstance(part, Text) for part in turn.content):
        return turn.text
    if provider(spec).text_alone:
        return "\n".join(map(_as_text, turn.content))
    return [_part(spec, part) for part in turn.content if not (isinstance(part, Text) and not part.text)]


def _part(spec: ModelSpec, part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.url is not None and not _carries_url(spec, part):
        return {"type": "text", "text": _as_text(part)}
    match part.type:
        case "image":
            return {"type": "image_url", "image_url": {"url": part.url or _data_url(part, "image/png")}}
        case "audio":
            sound = _AUDIO_FORMATS.get(part.mime_type or "", (part.mime_type or "wav").rpartition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": sound}}
        case "file":
            if part.url:
                return {"type": "file", "file": {"file_id": part.url}}
            named = {"filename": part.name} if part.name else {}
            return {"type": "file", "file": {"file_data": _data_url(part, "application/pdf"), **named}}


def _carries_url(spec: ModelSpec, part: Media) -> bool:
    """Whether the URL goes on the wire. For who takes none LiteLLM would fetch it here, which an imported session
    must never bring about.
    """
    takes = provider(spec).urls
    if takes == "https":
        return part.type != "audio" and str(part.url).startswith("https://")
    return takes == "images" and part.type == "image"


def _data_url(part: Media, mime_type: str) -> str:
    return f"data:{part.mime_type or mime_type};base64,{part.data}"


def _as_text(part: Part) -> str:
    """A part where only text can stand."""
    if isinstance(part, Text):
        return part.text
    return f"[{part.type}: {part.url or part.name or part.mime_type or 'without a name'}]"


def _ordered(wired: Iterable[Message], *, strict: bool, in_a_row: bool) -> list[Message]:
    """Messages that begin with the user's and alternate: neighbours of one role become one, unless they may stay."""
    ordered: list[Message] = []
    for message in wired:
        role = message["role"]
        last = ordered[-1] if ordered else None
        if last is None and role != "user":
            ordered.append({"role": "user", "content": BEGINS})
        elif in_a_row:
            pass
        elif last and role == last["role"] == "user":
            last["content"] = _joined(last["content"], message["content"])
            continue
        elif last and role == last["role"] == "assistant":
            ordered[-1] = _one_answer(last, message)
            continue
        elif last and strict and last["role"] == "tool" and role == "user":
            ordered.append({"role": "assistant", "content": GO_ON})
        ordered.append(message)
    return ordered


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _one_answer(first: Message, second: Message) -> Message:
    """Two answers in a row as one. Only the second can have calls: theirs are followed by results.

    Signatures belong to the very answer they came with, so they are kept for the second alone.
    """
    texts = [text for text in (first["content"], second["content"]) if text]
    return second | {"content": "\n\n".join(texts) or None}


def _system(spec: ModelSpec, text: str) -> str | list[dict[str, Any]]:
    if not _marks_cache(spec):
        return text
    return [{"type": "text", "text": text, "cache_control": CACHE_MARK}]


def _marks_cache(spec: ModelSpec) -> bool:
    """Whether to mark what is stable. Others cache by themselves, or refuse the mark."""
    return spec.cache and family(spec).marks_cache


def _tool(spec: ModelSpec, tool: ToolSpec) -> dict[str, Any]:
    function: Mapping[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _schema(spec, as_parameters(tool.parameters)),
    }
    return {"type": "function", "function": function}


def _schema(spec: ModelSpec, schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(schema) if provider(spec).references else written_out(schema)
