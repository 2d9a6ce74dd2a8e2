"""A request in the messages LiteLLM takes: a history of any provider, valid for the one that is asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from auwgent.errors import ConfigError
from auwgent.models import caching, parts
from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.models.dialects import as_parameters, written_out
from auwgent.models.providers import family, provider
from auwgent.session import ToolCall, Turn

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

RESPONSES = "responses/"  # what a model's name begins with where OpenAI's Responses API is asked

# What may be left empty in a session but not on every wire.
BEGINS = "(The conversation begins with your words.)"
GO_ON = "(Noted.)"

NAME_LENGTH = 64  # of a tool; OpenAI and Gemini refuse longer ones

# What of an answer is kept as provider_data, and goes back where it came from.
ENCRYPTED = "reasoning_items"  # of OpenAI's Responses
ECHOED = ("thinking_blocks", "reasoning_details")
THOUGHTS = "reasoning_content"  # as above, for those who want the text itself back beside calls
SERVER_CALLS, SERVER_RESULTS = "server_calls", "server_results"  # of tools that the provider runs itself

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # OpenAI refuses longer ones, Anthropic other characters
_STRICT_ID = re.compile(r"[A-Za-z0-9]{9}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def check_params(spec: ModelSpec) -> None:
    """Refuse `params` that would undo what is decided here."""
    own = sorted(OWN_ARGUMENTS & spec.params.keys())
    if own:
        raise ConfigError(f"params of {spec.label or spec.name} may not set {', '.join(map(repr, own))}")


def params(spec: ModelSpec, known: Mapping[str, Any], most: int | None = None) -> dict[str, Any]:
    """Return the params as they are, and `max_tokens` for a Claude; `known` is what LiteLLM lists of the model.

    `most` are the tokens of output that are paid for, whatever the params say.
    """
    made = dict(spec.params)
    if family(spec).needs_limit:
        thinking = spec.params.get("thinking") or {}
        limit = known.get("max_output_tokens") or OUTPUT_TOKENS
        made = {"max_tokens": int(min(limit, OUTPUT_TOKENS + thinking.get("budget_tokens", 0))), **made}
    if spec.model.startswith(RESPONSES) and known.get("supports_reasoning"):
        made.setdefault("include", ["reasoning.encrypted_content"])  # others than these models refuse it
    if most is not None:
        made[next((name for name in OUTPUT_LIMITS if name in made), OUTPUT_LIMITS[0])] = most
    return made


def messages(spec: ModelSpec, request: ModelRequest) -> list[Message]:
    """Return the system prompt and the turns, with roles, call ids and contents that `spec`'s provider accepts."""
    wired = list(_messages(spec, request.turns))
    make = family(spec)
    in_a_row = provider(spec).in_a_row and not make.alternates
    wired = _ordered(wired, strict=make.nine_letter_ids, in_a_row=in_a_row)
    marks = caching.is_marked(spec, request)
    if marks:
        caching.mark_newest(spec, wired)
    if request.system:
        system = caching.marked_content(request.system) if marks else request.system
        wired.insert(0, {"role": "system", "content": system})
    return wired


def tools(spec: ModelSpec, request: ModelRequest) -> list[dict[str, Any]]:
    """The tools in OpenAI's form; the last one marked for the cache, which keeps them where the prompt has changed.

    Who refuses a history of calls without tools is told of those that were called; `tool_choice` is "none" then.
    """
    known: Iterable[ToolSpec] = request.tools
    if not request.tools and provider(spec).tools_beside_calls:
        names = dict.fromkeys(_name(call.name) for turn in request.turns for call in turn.tool_calls or ())
        known = (ToolSpec(name, "No longer there: do not call it.", {}) for name in names)
    wired = [_tool(spec, tool) for tool in known]
    if wired and caching.is_marked(spec, request):
        wired[-1]["cache_control"] = caching.MARK
    return wired


def native_output(spec: ModelSpec, *, has_tools: bool) -> bool:
    """Return whether the provider itself can hold an answer to a JSON Schema, tools or not.

    Where this is False, LiteLLM would force a tool of its own on the model, which then can call no other: a
    final-answer tool among the others is the way there.
    """
    native = provider(spec).native_output
    return native == "always" or (native == "alone" and not has_tools)


def response_format(spec: ModelSpec, request: ModelRequest) -> dict[str, Any] | None:
    """Return the `response_format` of a structured answer. Not strict: few schemas of users fit that subset."""
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


def _messages(spec: ModelSpec, turns: Iterable[Turn]) -> Iterator[Message]:
    """Each turn as a message. What results cannot hold follows them as the user's."""
    ids = _CallIds(spec)
    behind: list[parts.Wired] = []
    for turn in turns:
        if behind and turn.role != "tool":
            yield {"role": "user", "content": behind}
            behind = []
        match turn.role:
            case "user":
                if content := parts.content(spec, turn):
                    yield {"role": "user", "content": content}
            case "assistant":
                if message := _assistant(spec, turn, ids):
                    yield message
            case "tool":
                content, more = parts.result(spec, turn)
                behind += more
                yield {
                    "role": "tool",
                    "tool_call_id": ids.of_result(turn.tool_call_id or ""),
                    "content": content,
                }
    if behind:
        yield {"role": "user", "content": behind}


def _assistant(spec: ModelSpec, turn: Turn, ids: _CallIds) -> Message | None:
    """Return an answer; None where nothing of it can be sent, since an empty one is refused by most."""
    calls = [
        {
            "id": ids.of_call(turn, call),
            "type": "function",
            # What did not parse in the first place would be refused: the result says what was wrong with it.
            "function": {"name": _name(call.name), "arguments": json.dumps(call.args, ensure_ascii=False)},
        }
        for call in turn.tool_calls or ()
    ]
    own = turn.provider_data or {} if turn.model == spec.name else {}
    server_calls = [_server_call(call) for call in own.get(SERVER_CALLS, ())]
    if not calls and not server_calls and not turn.text.strip():
        return None
    message: Message = {"role": "assistant", "content": turn.text or None}
    if server_calls or calls:
        message["tool_calls"] = [*server_calls, *calls]
    message |= {key: own[key] for key in (*ECHOED, ENCRYPTED) if key in own}
    if calls and THOUGHTS in own and provider(spec).thoughts_back:
        message[THOUGHTS] = own[THOUGHTS]
    if SERVER_RESULTS in own:
        message["provider_specific_fields"] = own[SERVER_RESULTS]
    return message


def _server_call(call: Mapping[str, str]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def _name(name: str) -> str:
    """Return a tool's name as every provider takes it, whatever a model has made up."""
    name = _NOT_IN_NAMES.sub("_", name)[:NAME_LENGTH]
    return name if name[0].isalpha() or name[0] == "_" else f"_{name[1:]}"


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


def _tool(spec: ModelSpec, tool: ToolSpec) -> dict[str, Any]:
    function: Mapping[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _schema(spec, as_parameters(tool.parameters)),
    }
    return {"type": "function", "function": function}


def _schema(spec: ModelSpec, schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(schema) if provider(spec).references else written_out(schema)
