"""The wire formats byte by byte: what providers answer, also what no well-behaved one does, and what they accept."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.support.raw_server import STREAM_END, Step, piece, stream_head, whole

WORDS = 2**16  # characters of a streamed piece


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call of an answer. `arguments` is JSON text, or no JSON at all; without `id` it has none."""

    name: str
    arguments: str
    id: str | None = "call_1"


class Wire(ABC):
    """A provider's way to answer. `model` is asked there, `via` LiteLLM or without it."""

    model: str

    def __init__(self, via: str = "litellm") -> None:
        self.via = via

    def __str__(self) -> str:
        return self.model.partition("/")[0] + (" direct" if self.via == "direct" else "")

    def streamed(self, text: str = "", *calls: Called) -> list[Step]:
        """A whole answer in pieces."""
        return [*self.begun(text), *map(_event, self._rest(text, calls)), *self._close(), STREAM_END]

    def begun(self, text: str = "") -> list[Step]:
        """A streamed answer so far: its words are there, its end is not."""
        return [stream_head(), *map(_event, self._begin(text))]

    @abstractmethod
    def whole(self, text: str = "", *calls: Called) -> list[Step]:
        """The same answer at once."""

    def can_say(self, arguments: str, *, streams: bool) -> bool:
        """Whether arguments of that text can stand in an answer of this format, JSON or not."""
        return True

    @abstractmethod
    def refusal(self, status: int, message: str, **headers: str) -> list[Step]:
        """An error in the provider's form."""

    @abstractmethod
    def check(self, body: Any) -> None:
        """Assert that the provider would take this request: roles, and each call with its one result."""

    @abstractmethod
    def results(self, body: Any) -> list[str]:
        """The texts of all tool results in a request."""

    @abstractmethod
    def _begin(self, text: str) -> Iterator[Mapping[str, Any]]: ...

    @abstractmethod
    def _rest(self, text: str, calls: Sequence[Called]) -> Iterator[Mapping[str, Any]]: ...

    def _close(self) -> list[Step]:
        return []


class OpenAI(Wire):
    """OpenAI's chat completions."""

    model = "openai/gpt-4o-mini"

    def whole(self, text: str = "", *calls: Called) -> list[Step]:
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [_openai_call(call) for call in calls]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return [
            whole(json.dumps({**_OPENAI, "object": "chat.completion", "choices": [choice], "usage": _TOKENS}))
        ]

    def refusal(self, status: int, message: str, **headers: str) -> list[Step]:
        body = {"error": {"message": message, "type": "invalid_request_error", "code": None}}
        return [whole(json.dumps(body), status=status, **headers)]

    def check(self, body: Any) -> None:
        waiting: list[str] = []
        for message in body["messages"]:
            if message["role"] == "tool":
                waiting.remove(message["tool_call_id"])
                continue
            assert not waiting, "calls without a result"
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
            assert len(set(waiting)) == len(waiting)
            assert all(
                isinstance(json.loads(call["function"]["arguments"]), dict)
                for call in message.get("tool_calls") or ()
            )
        assert not waiting
        assert body["messages"][-1]["role"] in ("user", "tool")

    def results(self, body: Any) -> list[str]:
        return [str(message["content"]) for message in body["messages"] if message["role"] == "tool"]

    def _begin(self, text: str) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(text), WORDS):
            yield _delta({"role": "assistant", "content": text[start : start + WORDS]})

    def _rest(self, text: str, calls: Sequence[Called]) -> Iterator[Mapping[str, Any]]:
        for index, call in enumerate(calls):
            yield _delta({"tool_calls": [{"index": index, **_openai_call(call)}]})
        yield _delta({}, "tool_calls" if calls else "stop")
        yield {**_OPENAI, "object": "chat.completion.chunk", "choices": [], "usage": _TOKENS}

    def _close(self) -> list[Step]:
        return [piece("data: [DONE]\n\n")]


class Anthropic(Wire):
    """Anthropic's messages."""

    model = "anthropic/claude-sonnet-4-5"

    def can_say(self, arguments: str, *, streams: bool) -> bool:
        return streams or _is_json(arguments)

    def whole(self, text: str = "", *calls: Called) -> list[Step]:
        content: list[Any] = [{"type": "text", "text": text}] if text else []
        content += [{**_tool_use(call), "input": json.loads(call.arguments)} for call in calls]
        stop = "tool_use" if calls else "end_turn"
        return [whole(json.dumps({**_ANTHROPIC, "content": content, "stop_reason": stop}))]

    def refusal(self, status: int, message: str, **headers: str) -> list[Step]:
        body = {"type": "error", "error": {"type": "api_error", "message": message}}
        return [whole(json.dumps(body), status=status, **headers)]

    def check(self, body: Any) -> None:
        messages = body["messages"]
        assert [message["role"] for message in messages][::2] == ["user"] * ((len(messages) + 1) // 2)
        assert all(one["role"] != other["role"] for one, other in pairwise(messages))
        for message, answer in pairwise([*messages, {"content": []}]):
            calls = [block["id"] for block in _blocks(message, "tool_use")]
            results = [block["tool_use_id"] for block in _blocks(answer, "tool_result")]
            assert calls == results
            assert len(set(calls)) == len(calls)
            assert all(isinstance(block["input"], dict) for block in _blocks(message, "tool_use"))

    def results(self, body: Any) -> list[str]:
        blocks = [block for message in body["messages"] for block in _blocks(message, "tool_result")]
        return [json.dumps(block["content"], ensure_ascii=False) for block in blocks]

    def _begin(self, text: str) -> Iterator[Mapping[str, Any]]:
        yield {"type": "message_start", "message": {**_ANTHROPIC, "content": []}}
        if text:
            start = {"type": "text", "text": ""}
            yield {"type": "content_block_start", "index": 0, "content_block": start}
        for at in range(0, len(text), WORDS):
            delta = {"type": "text_delta", "text": text[at : at + WORDS]}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}

    def _rest(self, text: str, calls: Sequence[Called]) -> Iterator[Mapping[str, Any]]:
        if text:
            yield {"type": "content_block_stop", "index": 0}
        for index, call in enumerate(calls, start=1):
            start = {**_tool_use(call), "input": {}}
            yield {"type": "content_block_start", "index": index, "content_block": start}
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 2}}
        yield {"type": "message_stop"}


class Gemini(Wire):
    """Google's Gemini."""

    model = "gemini/gemini-2.5-flash"

    def can_say(self, arguments: str, *, streams: bool) -> bool:
        return _is_json(arguments) and isinstance(json.loads(arguments), dict)

    def whole(self, text: str = "", *calls: Called) -> list[Step]:
        parts: list[Any] = [{"text": text}] if text else []
        parts += [{"functionCall": _function_call(call)} for call in calls]
        return [whole(json.dumps(_candidate(parts, "STOP")))]

    def refusal(self, status: int, message: str, **headers: str) -> list[Step]:
        body = {"error": {"code": status, "message": message, "status": "ANY"}}
        return [whole(json.dumps(body), status=status, **headers)]

    def check(self, body: Any) -> None:
        contents = body["contents"]
        assert contents[0]["role"] == "user"
        assert contents[-1]["role"] == "user"
        for content, answer in pairwise([*contents, {"parts": []}]):
            calls = [part["function_call"] for part in content["parts"] if "function_call" in part]
            results = [part["function_response"] for part in answer["parts"] if "function_response" in part]
            assert [call["name"] for call in calls] == [result["name"] for result in results]
            assert all(isinstance(call["args"], dict) for call in calls)

    def results(self, body: Any) -> list[str]:
        parts = [part for content in body["contents"] for part in content["parts"]]
        found = [part["function_response"]["response"] for part in parts if "function_response" in part]
        return [json.dumps(one, ensure_ascii=False) for one in found]

    def _begin(self, text: str) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(text), WORDS):
            yield _candidate([{"text": text[start : start + WORDS]}])

    def _rest(self, text: str, calls: Sequence[Called]) -> Iterator[Mapping[str, Any]]:
        if calls:
            yield _candidate([{"functionCall": _function_call(call)} for call in calls])
        yield _candidate([], "STOP")


class Responses(Wire):
    """OpenAI's Responses."""

    model = "openai/responses/gpt-5-mini"

    def __str__(self) -> str:
        return "responses"

    def whole(self, text: str = "", *calls: Called) -> list[Step]:
        return [whole(json.dumps({**_RESPONSE, "status": "completed", "output": self._items(text, calls)}))]

    def refusal(self, status: int, message: str, **headers: str) -> list[Step]:
        body = {"error": {"message": message, "type": "invalid_request_error", "code": None}}
        return [whole(json.dumps(body), status=status, **headers)]

    def check(self, body: Any) -> None:
        kinds = [item["type"] for item in body["input"]]
        assert body["input"][-1].get("role") == "user" or kinds[-1] == "function_call_output"
        calls = [item["call_id"] for item in body["input"] if item["type"] == "function_call"]
        results = [item["call_id"] for item in body["input"] if item["type"] == "function_call_output"]
        assert calls == results
        assert len(set(calls)) == len(calls)

    def results(self, body: Any) -> list[str]:
        found = [item["output"] for item in body["input"] if item["type"] == "function_call_output"]
        return [one if isinstance(one, str) else "".join(part["text"] for part in one) for one in found]

    def _begin(self, text: str) -> Iterator[Mapping[str, Any]]:
        yield {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}}
        if text:
            [item] = self._items(text, ())
            yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
        for at in range(0, len(text), WORDS):
            place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            yield {"type": "response.output_text.delta", **place, "delta": text[at : at + WORDS]}

    def _rest(self, text: str, calls: Sequence[Called]) -> Iterator[Mapping[str, Any]]:
        items = self._items(text, calls)
        for index, item in enumerate(items):
            place = {"output_index": index, "item_id": item["id"]}
            if item["type"] == "function_call":
                begun = {**item, "arguments": ""}
                yield {"type": "response.output_item.added", "output_index": index, "item": begun}
                if item["arguments"]:
                    name = "response.function_call_arguments.delta"
                    yield {"type": name, **place, "delta": item["arguments"]}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        yield {
            "type": "response.completed",
            "response": {**_RESPONSE, "status": "completed", "output": items},
        }

    def _items(self, text: str, calls: Sequence[Called]) -> list[dict[str, Any]]:
        words = {"type": "output_text", "text": text, "annotations": []}
        said = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [words],
        }
        called = [
            {
                "type": "function_call",
                "id": f"fc_{index}",
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
                **({} if call.id is None else {"call_id": call.id}),
            }
            for index, call in enumerate(calls)
        ]
        return [*([said] if text else []), *called]


WIRES: tuple[Wire, ...] = (
    *(OpenAI(), OpenAI("direct")),
    *(Anthropic(), Anthropic("direct")),
    *(Gemini(), Gemini("direct")),
    Responses(),
)

_TOKENS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
_OPENAI = {"id": "c", "created": 1, "model": "m"}
_ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}


def _candidate(parts: Sequence[Any], finish: str | None = None) -> Mapping[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    return {
        "candidates": [{**candidate, **({"finishReason": finish} if finish else {})}],
        "usageMetadata": usage,
    }


def _function_call(call: Called) -> dict[str, Any]:
    """Gemini's calls have no ids, and arguments that are an object."""
    return {"name": call.name, "args": json.loads(call.arguments)}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _event(value: Mapping[str, Any]) -> Step:
    """A server-sent event, as a chunk; Anthropic's are named as well."""
    name = f"event: {value['type']}\n" if "type" in value else ""
    return piece(f"{name}data: {json.dumps(value)}\n\n")


def _delta(content: Mapping[str, Any], finish_reason: str | None = None) -> Mapping[str, Any]:
    choice = {"index": 0, "delta": content, "finish_reason": finish_reason}
    return {**_OPENAI, "object": "chat.completion.chunk", "choices": [choice]}


def _openai_call(call: Called) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"type": "function", "function": function, **({} if call.id is None else {"id": call.id})}


def _tool_use(call: Called) -> dict[str, Any]:
    return {"type": "tool_use", "name": call.name, **({} if call.id is None else {"id": call.id})}


def _blocks(message: Any, kind: str) -> list[Any]:
    content = message["content"]
    return [] if isinstance(content, str) else [block for block in content if block["type"] == kind]
