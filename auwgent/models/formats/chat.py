"""OpenAI's chat completions, which most providers and nearly every server of one's own speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from auwgent.models import wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.formats.params import ARGUMENTS
from auwgent.models.providers import base_url_for, own_address, provider, provider_of
from auwgent.models.received import AnswerReader, ChatReader


def url(spec: ModelSpec, environ: Mapping[str, str], *, streams: bool = True) -> str:
    base = base_url_for(spec.provider, own_address(spec, environ)) or provider_of(spec.provider).chat
    if not base:
        return ""
    parts = urlsplit(base)
    path = (parts.path.rstrip("/") or "/v1") + "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def cannot(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    if provider_of(spec.provider).chat is None:
        return f"{spec.provider} does not speak OpenAI's chat wire format"
    if spec.model.startswith("responses/"):
        return "OpenAI's Responses API is another wire format than its chat"
    if not url(spec, environ):
        return f"where {spec.provider} is to be found is not known: it needs a base_url"
    return None


def litellms(spec: ModelSpec) -> frozenset[str]:
    return ARGUMENTS


def headers(spec: ModelSpec, address: str, environ: Mapping[str, str]) -> dict[str, str]:
    if spec.api_key and not urlsplit(address).username:
        return {"Authorization": f"Bearer {spec.api_key}"}
    return {}


def body(spec: ModelSpec, request: ModelRequest, params: dict[str, Any], address: str) -> dict[str, Any]:
    known = provider(spec)
    if known.chat and address.startswith(f"{known.chat}/") and "max_tokens" in params:
        params[known.limit_name] = params.pop("max_tokens")  # OpenAI's newer models refuse the old name
    params |= {"model": spec.model, "messages": wire.messages(spec, request), "stream": request.stream}
    if request.stream and known.stream_options:
        params["stream_options"] = {"include_usage": True}
    sent = {**known.body, **params}
    if request.tools:
        sent["tools"] = wire.tools(spec, request)
    if request.output:
        sent["response_format"] = wire.response_format(spec, request)
    return sent


def reader() -> AnswerReader:
    return ChatReader()
