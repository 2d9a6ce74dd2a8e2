"""Anthropic's Messages: https://docs.anthropic.com/en/api/messages, streamed as in …/messages-streaming."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from auwgent.models import wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.events import Unusable
from auwgent.models.formats.params import ARGUMENTS, BETAS, OPENAIS
from auwgent.models.listed import listed
from auwgent.models.providers import base_url_for, own_address, provider
from auwgent.models.received import AnswerReader, Json, believed, count_of, failure_in

VERSION = "2023-06-01"
OAUTH = "sk-ant-oat"  # what tokens of a subscription begin with: they want another header, and a beta
FEDERATION = "ANTHROPIC_FEDERATION_RULE_ID"  # stands for a key that LiteLLM fetches itself

_SCHEMA = ("type", "properties", "required", "additionalProperties", "$defs", "strict", "description")
CALLS = ("tool_use", "server_tool_use")  # blocks of a call
_SEARCHES = ("web_search_tool_result", "web_fetch_tool_result")


def url(spec: ModelSpec, environ: Mapping[str, str], *, streams: bool = True) -> str:
    known = provider(spec)
    parts = urlsplit(base_url_for(spec.provider, own_address(spec, environ)) or known.home)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/v1/messages", parts.query, ""))


def cannot(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    if (spec.api_key or "").startswith(OAUTH):
        return "LiteLLM alone knows what goes with a token of a subscription"
    if not spec.api_key and environ.get(FEDERATION):
        return "LiteLLM alone fetches keys by workload identity federation"
    return None


def litellms(spec: ModelSpec) -> frozenset[str]:
    """Newer models take `thinking` in a form that LiteLLM makes of the older one, and the other way round."""
    thinking, entry = spec.params.get("thinking"), listed(spec) if "thinking" in spec.params else {}
    adapts = entry.get("supports_adaptive_thinking") and not entry.get("supports_legacy_thinking")
    is_plain = isinstance(thinking, Mapping) and thinking.get("type") == "enabled" and entry and not adapts
    return ARGUMENTS | OPENAIS | BETAS | (frozenset() if is_plain else {"thinking"})


def headers(spec: ModelSpec, address: str, environ: Mapping[str, str]) -> dict[str, str]:
    made = {"anthropic-version": VERSION, "Accept": "application/json"}
    token = environ.get("ANTHROPIC_AUTH_TOKEN", "").strip()
    if spec.api_key:
        return made | {"x-api-key": spec.api_key}
    return made | ({"Authorization": f"Bearer {token}"} if token else {})


def body(spec: ModelSpec, request: ModelRequest, params: dict[str, Any], address: str) -> dict[str, Any]:
    limits = [params.pop(name) for name in wire.OUTPUT_LIMITS[1:] if name in params]
    sent = {**params, "model": spec.model}
    sent |= {"max_tokens": limits[0]} if limits else {}
    if stop := sent.pop("stop", None):
        sent["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    messages = wire.messages(spec, request)
    if messages[0]["role"] == "system":
        sent["system"] = _texts(messages.pop(0)["content"])
    sent["messages"] = _messages(messages)
    tools = [_tool(tool) for tool in wire.tools(spec, request)]
    if tools and (request.tools or "tools" not in sent):
        sent["tools"] = tools
        if not request.tools:
            sent.setdefault("tool_choice", {"type": "none"})
    if request.stream:
        sent["stream"] = True
    return sent


def _texts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    schema = {key: value for key, value in function["parameters"].items() if key in _SCHEMA}
    made = {"name": function["name"], "input_schema": schema, "type": "custom"}
    made["description"] = function["description"]
    return made | ({"cache_control": tool["cache_control"]} if "cache_control" in tool else {})


def _messages(wired: list[wire.Message]) -> list[dict[str, Any]]:
    """Results of tools are the user's, beside what he says; neighbours of one role are one message."""
    made: list[dict[str, Any]] = []
    for message in wired:
        role = "assistant" if message["role"] == "assistant" else "user"
        if role == "assistant":
            blocks = list(_answer(message))
        elif message["role"] == "tool":
            blocks = [_result(message)]
        else:
            blocks = [_block(part) for part in _texts(message["content"])]
        if made and made[-1]["role"] == role:
            made[-1]["content"] += blocks
        else:
            made.append({"role": role, "content": blocks})
    if made[-1]["role"] == "assistant":  # white space at the end of it is refused
        for block in made[-1]["content"]:
            if block["type"] == "text":
                block["text"] = block["text"].rstrip()
    return made


def _block(part: dict[str, Any]) -> dict[str, Any]:
    """A part of what a user says, or of a result."""
    mark = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    match part["type"]:
        case "image_url":
            return {"type": "image", "source": _source(part["image_url"]["url"]), **mark}
        case "file":
            file = part["file"]
            return {"type": "document", "source": _source(file.get("file_id") or file["file_data"]), **mark}
        case "input_audio":
            return {"type": "text", "text": "[audio] (this model hears nothing; it was not sent)", **mark}
    return part


def _source(address: str) -> dict[str, str]:
    if not address.startswith("data:"):
        return {"type": "url", "url": address}
    kind, _, data = address.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _result(message: wire.Message) -> dict[str, Any]:
    content = message["content"]
    made = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
    made["content"] = content if isinstance(content, str) else [_block(part) for part in content]
    return made | ({"cache_control": message["cache_control"]} if "cache_control" in message else {})


def _answer(message: wire.Message) -> Iterator[dict[str, Any]]:
    """What the model said, in the order that it wants back: thoughts, what the server did for them, text, calls."""
    fields = message.get("provider_specific_fields") or {}
    results = {block["tool_use_id"]: block for blocks in fields.values() for block in blocks}
    thoughts = [block for block in message.get("thinking_blocks", ()) if _is_signed(block)]
    calls = [_call(call, results) for call in message.get("tool_calls") or ()]
    done = [call for call in calls if call["type"] == "server_tool_use"]
    if not thoughts:
        done = []
    for place in range(max(len(thoughts), len(done))):
        yield from thoughts[place : place + 1]
        for call in done[place : place + 1]:
            yield from (call, results[call["id"]])
    if message["content"]:
        yield {"type": "text", "text": message["content"]}
    for call in calls:
        if call not in done:
            yield call
            if call["type"] == "server_tool_use":
                yield results[call["id"]]


def _is_signed(block: Mapping[str, Any]) -> bool:
    return block.get("type") != "thinking" or bool(block.get("signature"))


def _call(call: dict[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    kind = "server_tool_use" if call["id"] in results else "tool_use"
    return {
        "type": kind,
        "id": call["id"],
        "name": function["name"],
        "input": json.loads(function["arguments"] or "{}"),
    }


def reader() -> AnswerReader:
    return _Reader()


class _Reader:
    """Reads the events of one answer; a whole one is read as if it had come in events."""

    def __init__(self) -> None:
        self._usage = Json()  # of all events: later ones leave out what has not changed
        self._open: Json = Json()  # the block that is being written
        self._written = False  # whether its arguments came in pieces
        self._in_a_row = InARow()
        self._calls = 0
        self._thought = 0  # characters
        self._results: dict[str, list[Json]] = {}

    def take(self, sent: Any, *, whole: bool) -> Iterator[Json]:
        if not isinstance(sent, Json):
            raise Unusable("sent JSON that is not an answer")
        if failure := failure_in(sent if whole else Json(sent, choices=None)):
            raise failure
        if whole and sent.type != "message":
            raise Unusable("sent JSON that is not an answer of Anthropic's")
        for event in events_of(sent) if sent.type == "message" else (sent,):
            for one in self._in_a_row.take(event):
                yield from self._event(one)

    def _event(self, event: Json) -> Iterator[Json]:
        match event.type:
            case "message_start" if isinstance(event.message, Json):
                yield self._counted(event.message.usage, event)
            case "content_block_start" if isinstance(event.content_block, Json):
                self._open, self._written = event.content_block, False
                yield from self._begun(event.content_block)
            case "content_block_delta" if isinstance(event.delta, Json):
                yield from self._delta(event.delta)
            case "content_block_stop":
                if self._open.type in CALLS and not self._written:
                    yield self._arguments("{}")
                self._open = Json()
            case "message_delta" if isinstance(event.delta, Json):
                chunk = self._counted(event.usage, event)
                chunk["choices"] = [_choice(finish=_text(event.delta.stop_reason) or "stop")]
                yield chunk

    def _counted(self, usage: Any, event: Json) -> Json:
        chunk = Json(choices=[], sent=event)
        if isinstance(usage, Json):
            self._usage |= {name: value for name, value in usage.items() if value is not None}
            chunk["usage"] = _usage(self._usage, self._thought)
        return chunk

    def _begun(self, block: Json) -> Iterator[Json]:
        kind = _text(block.type)
        if kind in CALLS:
            name = Json(name=_text(block.name), arguments="")
            call = Json(index=self._calls, id=_text(block.id), type="function", function=name)
            self._calls += 1
            yield _said(tool_calls=[call])
        elif kind == "redacted_thinking":
            yield _said(thinking_blocks=[Json(type=kind, data=_text(block.data))])
        elif kind.endswith("_tool_result") and kind != "tool_search_tool_result":
            place = "web_search_results" if kind in _SEARCHES else "tool_results"
            self._results.setdefault(place, []).append(block)
            yield _said(provider_specific_fields=Json(self._results))
        else:
            yield from self._delta(block)

    def _delta(self, delta: Json) -> Iterator[Json]:
        if text := _text(delta.text):
            yield _said(content=text)
        if thought := _text(delta.thinking):
            self._thought += len(thought)
            block = Json(type="thinking", thinking=thought)
            yield _said(reasoning_content=thought, thinking_blocks=[block])
        if signature := _text(delta.signature):
            yield _said(thinking_blocks=[Json(type="thinking", thinking="", signature=signature)])
        if (part := _text(delta.partial_json)) and self._open.type in CALLS:
            self._written = True
            yield self._arguments(part)

    def _arguments(self, text: str) -> Json:
        call = Json(index=self._calls - 1, type="function", function=Json(arguments=text))
        return _said(tool_calls=[call])


class InARow:
    """Puts the blocks of an answer in a row: all of a call before what comes next, its arguments in pieces."""

    def __init__(self) -> None:
        self._call: Json | None = None  # the one that has begun
        self._index: Any = None  # its
        self._written = False
        self._waiting: dict[Any, list[Json]] = {}  # events of other blocks, by index

    def take(self, event: Json) -> Iterator[Json]:
        """Yield the events whose turn has come."""
        is_block = _text(event.type).startswith("content_block_")
        if is_block and self._call is not None and event.index not in (None, self._index):
            self._waiting.setdefault(event.index, []).append(event)
            return
        if event.type in ("message_delta", "message_stop"):
            self._call = None
            yield from self._next()
        yield from self._passed(event)
        yield from self._next()

    def _next(self) -> Iterator[Json]:
        while self._waiting and self._call is None:
            for event in self._waiting.pop(next(iter(self._waiting))):
                yield from self._passed(event)

    def _passed(self, event: Json) -> Iterator[Json]:
        block = event.content_block
        if event.type == "content_block_start" and isinstance(block, Json) and block.type in CALLS:
            self._call, self._index, self._written = block, event.index, False
        elif event.type == "content_block_delta":
            self._written = True
        elif event.type == "content_block_stop":
            if self._call is not None and self._call.input and not self._written:
                text = json.dumps(self._call.input, ensure_ascii=False)
                delta = Json(type="input_json_delta", partial_json=text)
                yield Json(type="content_block_delta", index=event.index, delta=delta)
            self._call = None
        yield event


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _choice(delta: Json | None = None, finish: str | None = None) -> Json:
    return Json(index=0, delta=delta or Json(), finish_reason=finish)


def _said(**delta: Any) -> Json:
    return Json(choices=[_choice(Json(delta))], sent=Json())


_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def _usage(usage: Json, thought: int) -> Json | None:
    """Anthropic's counts in OpenAI's form: there, what caches have to do with is part of the input.

    Without a count of its own, reasoning is estimated by the `thought` characters.
    """
    rounds = usage.iterations if isinstance(usage.iterations, list) and usage.iterations else [usage]
    counts = {name: [count_of(one.get(name)) for one in rounds if isinstance(one, Json)] for name in _COUNTS}
    if any(None in found for found in counts.values()):
        return None
    fresh, output, written, cached = (sum(filter(None, counts[name])) for name in _COUNTS)
    told = [one.output_tokens_details for one in rounds if isinstance(one, Json)]
    reasoned = sum(count_of(one.thinking_tokens) or 0 for one in told if isinstance(one, Json))
    return believed(
        Json(
            prompt_tokens=fresh + written + cached,
            completion_tokens=output,
            prompt_tokens_details=Json(cached_tokens=cached, cache_creation_tokens=written),
            completion_tokens_details=Json(reasoning_tokens=reasoned or (thought + 3) // 4),
        )
    )


def events_of(message: Json) -> Iterator[Json]:
    """Yield a whole answer as the events of a stream."""
    blocks = message.content if isinstance(message.content, list) else []
    yield Json(type="message_start", message=Json({**message, "content": [], "stop_reason": None}))
    for index, block in enumerate(one for one in blocks if isinstance(one, Json)):
        start, deltas = Json(block), []
        if block.type == "text":
            start["text"], deltas = "", [Json(type="text_delta", text=block.text or "")]
        elif block.type == "thinking":
            start |= {"thinking": "", "signature": ""}
            deltas = [Json(type="thinking_delta", thinking=block.thinking or "")]
            deltas += [Json(type="signature_delta", signature=block.signature)] if block.signature else []
        elif block.type in CALLS:
            start["input"], text = Json(), json.dumps(block.input or {}, ensure_ascii=False)
            deltas = [Json(type="input_json_delta", partial_json=text)]
        yield Json(type="content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield Json(type="content_block_delta", index=index, delta=delta)
        yield Json(type="content_block_stop", index=index)
    names = ("stop_reason", "stop_sequence", "stop_details")
    ending = Json({name: message[name] for name in names if name in message})
    yield Json(type="message_delta", delta=ending, usage=message.usage or Json())
    yield Json(type="message_stop")
