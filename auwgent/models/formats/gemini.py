"""Gemini's generateContent: https://ai.google.dev/api/generate-content."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from auwgent.models import wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.events import Unusable
from auwgent.models.formats.openapi import as_openapi
from auwgent.models.formats.params import ARGUMENTS, OPENAIS
from auwgent.models.providers import base_url_for, own_address, provider
from auwgent.models.received import AnswerReader, Json, believed, count_of, failure_in
from auwgent.session import new_id

# What of params belongs to the generation; all else stands beside it.
_GENERATION = """temperature top_p top_k candidate_count max_output_tokens stop_sequences presence_penalty
    frequency_penalty response_mime_type response_schema response_json_schema seed responseLogprobs logprobs
    responseModalities imageConfig thinkingConfig mediaResolution speechConfig"""
GENERATION = frozenset(_GENERATION.split())
OWN_NAMES = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "stop": "stop_sequences",
}
# Older ones know no ids of calls and want no signatures; newer ones are served under another version.
_OLDER = re.compile(r"gemini-(1|2|exp|(pro|flash)(?!-(lite-)?latest$))(\.\d+)?(-|$)")
SIGNED = (
    "__thought__"  # stands in the id of a call between itself and the signature that has to go back with it
)
NO_SIGNATURE = base64.b64encode(
    b"skip_thought_signature_validator"
).decode()  # Google's word for a call of others


def url(spec: ModelSpec, environ: Mapping[str, str], *, streams: bool = True) -> str:
    version = "v1beta" if _is_older(spec) else "v1alpha"
    own = base_url_for(spec.provider, own_address(spec, environ))
    parts = urlsplit(own or f"{provider(spec).home}/{version}")
    path = f"{parts.path}/models/{spec.model}:{'streamGenerateContent' if streams else 'generateContent'}"
    query = "&".join(filter(None, (parts.query, "alt=sse" if streams else "")))
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def cannot(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    if not spec.model.startswith("gemini-") or spec.model.startswith("gemini-1"):
        return f"LiteLLM alone knows what {spec.model} takes"
    return None


def litellms(spec: ModelSpec) -> frozenset[str]:
    return (ARGUMENTS | OPENAIS | {"thinking", "cached_content"}) - {"seed"}


def headers(spec: ModelSpec, address: str, environ: Mapping[str, str]) -> dict[str, str]:
    return {"x-goog-api-key": spec.api_key} if spec.api_key else {}


def body(spec: ModelSpec, request: ModelRequest, params: dict[str, Any], address: str) -> dict[str, Any]:
    named = {OWN_NAMES.get(name, name): value for name, value in params.items()}
    generation = {name: value for name, value in named.items() if name in GENERATION}
    if isinstance(stop := generation.get("stop_sequences"), str):
        generation["stop_sequences"] = [stop]
    if shape := wire.response_format(spec, request):
        generation |= {"response_mime_type": "application/json"}
        generation |= {"response_json_schema": shape["json_schema"]["schema"]}
    messages = wire.messages(spec, request)
    sent: dict[str, Any] = {}
    if messages[0]["role"] == "system":
        sent["system_instruction"] = {"parts": [{"text": messages.pop(0)["content"]}]}
    sent["contents"] = _contents(spec, messages)
    if request.tools:
        functions = [tool["function"] for tool in wire.tools(spec, request)]
        declared = [{**one, "parameters": as_openapi(one["parameters"])} for one in functions]
        sent["tools"] = [{"function_declarations": declared}]
    if generation:
        sent["generationConfig"] = generation
    safety = {"safetySettings": named.pop("safety_settings")} if "safety_settings" in named else {}
    return sent | safety | {name: value for name, value in named.items() if name not in GENERATION}


def _is_older(spec: ModelSpec) -> bool:
    return bool(_OLDER.match(spec.model))


def _contents(spec: ModelSpec, wired: list[wire.Message]) -> list[dict[str, Any]]:
    """What a user says stands beside the results before it, in a content of its own."""
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}  # of the functions that were called, by the ids of the calls
    before = ""
    for message in wired:
        role = message["role"]
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if role == "assistant":
            parts = list(_answer(spec, message))
        elif role == "tool":
            parts = [_result(spec, message, names)]
        else:
            parts = list(_said(message["content"]))
        if role == before == "tool":
            made[-1]["parts"] += parts
        else:
            made.append({"role": "model" if role == "assistant" else "user", "parts": parts})
        before = role
    return made


def _said(content: str | list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    has_text = False
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        match part["type"]:
            case "text":
                has_text = True
                yield {"text": part["text"]}
            case "image_url":
                yield _inline(part["image_url"]["url"])
            case "file":
                yield _inline(part["file"]["file_data"])
            case "input_audio":
                sound = part["input_audio"]
                yield _inline(f"data:audio/{sound['format']};base64,{sound['data']}")
    if not has_text:
        yield {"text": " "}  # some models refuse media alone


def _inline(address: str) -> dict[str, Any]:
    kind, _, data = address.removeprefix("data:").partition(";base64,")
    return {"inline_data": {"data": data, "mime_type": kind}}


def _answer(spec: ModelSpec, message: wire.Message) -> Iterator[dict[str, Any]]:
    if message["content"]:
        yield {"text": message["content"]}
    for place, call in enumerate(message.get("tool_calls") or ()):
        id_, _, signature = call["id"].partition(SIGNED)
        made = {"name": call["function"]["name"], "args": json.loads(call["function"]["arguments"])}
        if not _is_older(spec):
            made["id"] = id_
            signature = signature or (NO_SIGNATURE if place == 0 else "")
        yield {"function_call": made} | ({"thoughtSignature": signature} if signature else {})


def _result(spec: ModelSpec, message: wire.Message, names: Mapping[str, str]) -> dict[str, Any]:
    text = message["content"]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    response = value if isinstance(value, dict) else {"content": text}
    made = {"name": names[message["tool_call_id"]], "response": response}
    if not _is_older(spec):
        made["id"] = message["tool_call_id"].partition(SIGNED)[0]
    return {"function_response": made}


def reader() -> AnswerReader:
    return _Reader()


class _Reader:
    """Reads the parts of one answer: each event is an answer of its own, with what is new."""

    def __init__(self) -> None:
        self._calls = 0
        self._thought = 0  # characters

    def take(self, sent: Any, *, whole: bool) -> Iterator[Json]:
        if whole and isinstance(sent, list):  # a stream where no events were asked for
            for one in sent:
                yield from self.take(one, whole=False)
            return
        if not isinstance(sent, Json):
            raise Unusable("sent JSON that is not an answer")
        if failure := failure_in(sent if whole else Json(sent, choices=None)):
            raise failure
        if whole and not (sent.candidates or sent.promptFeedback):
            raise Unusable("sent JSON that is not an answer of Gemini's")
        chunk = Json(choices=[], sent=sent)
        candidates = sent.candidates if isinstance(sent.candidates, list) else []
        if candidates and isinstance(candidate := candidates[0], Json):
            content = candidate.content if isinstance(candidate.content, Json) else Json()
            parts = content.parts if isinstance(content.parts, list) else []
            chunk["choices"] = [
                Json(
                    index=0,
                    delta=self._delta([part for part in parts if isinstance(part, Json)]),
                    finish_reason=_text(candidate.finishReason) or None,
                )
            ]
        if isinstance(sent.usageMetadata, Json):
            chunk["usage"] = _usage(sent.usageMetadata, self._thought, searched=_has_searched(sent))
        yield chunk

    def _delta(self, parts: list[Json]) -> Json:
        said, thought, calls = "", "", []
        for part in parts:
            text = _text(part.text)
            if part.thought is True:
                thought += text
            else:
                said += text
            if isinstance(part.functionCall, Json):
                calls.append(self._call(part.functionCall, _text(part.thoughtSignature)))
        self._thought += len(thought)
        return Json(content=said or None, reasoning_content=thought or None, tool_calls=calls or None)

    def _call(self, call: Json, signature: str) -> Json:
        id_ = _text(call.id) or f"call_{new_id()[:28]}"
        arguments = json.dumps({} if call.args is None else call.args, ensure_ascii=False)
        self._calls += 1
        return Json(
            index=self._calls - 1,
            id=f"{id_}{SIGNED}{signature}" if signature else id_,
            type="function",
            function=Json(name=_text(call.name), arguments=arguments),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _has_searched(sent: Json) -> bool:
    """Whether it searched the web or maps, whose texts are not part of what is paid for."""
    candidates = sent.candidates if isinstance(sent.candidates, list) else []
    for candidate in candidates:
        found = candidate.groundingMetadata if isinstance(candidate, Json) else None
        if isinstance(found, Json) and (
            found.webSearchQueries or any("maps" in chunk for chunk in found.groundingChunks or ())
        ):
            return True
    return False


def _usage(usage: Json, thought: int, *, searched: bool) -> Json | None:
    """Gemini's counts in OpenAI's form: there, thoughts are part of the output, and what tools read of the input.

    Without a count of its own, reasoning is estimated by the `thought` characters.
    """
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
    counts = [count_of(usage.get(name)) for name in names]
    if None in counts:
        return None
    sent, received, thoughts, read = (count or 0 for count in counts)
    if sent + received + read != count_of(usage.totalTokenCount):  # they are not counted in yet
        received += thoughts
    return believed(
        Json(
            prompt_tokens=sent + (0 if searched else read),
            completion_tokens=received,
            prompt_tokens_details=Json(cached_tokens=usage.cachedContentTokenCount),
            completion_tokens_details=Json(reasoning_tokens=thoughts or (thought + 3) // 4),
        )
    )
