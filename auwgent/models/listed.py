"""What LiteLLM's files say of models and providers: read as plain text, without loading LiteLLM."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from auwgent.imports import packaged_file
from auwgent.models.base import ModelSpec

LIST = "model_prices_and_context_window_backup.json"
FIRST, BEFORE, BEHIND, END = b'{\n    "', b"\n    ", b": {\n", b"\n    }"  # how its entries are set
ENUM = "types/utils.py"  # has the providers that are written in Python
MORE = "llms/openai_like/providers.json"  # and this those that are a few settings
ENDPOINTS = ("responses/", "converse/")  # they stand before a model's name, and not in the list
CONVERSING = ("chat", "responses")  # the modes of models that talk

_PROVIDERS = re.compile(r"^class LlmProviders\(.*?\):\n(?P<members>.*?)^\S", re.DOTALL | re.MULTILINE)
_MEMBER = re.compile(r"^    [A-Z0-9_]+ = \"(?P<name>[^\"]+)\"", re.MULTILINE)


def listed(spec: ModelSpec) -> Mapping[str, Any]:
    """Return the entry of this model; empty where it is not listed."""
    model = spec.model
    for endpoint in ENDPOINTS:
        model = model.removeprefix(endpoint)
    return _entry(spec.name) or _entry(model)


def model_names(provider: str) -> list[str]:
    """Return the listed models of this provider that one can talk to, as `provider/model`."""
    names = {
        name if name.startswith(f"{provider}/") else f"{provider}/{name}"
        for name, entry in _entries().items()
        if entry.get("mode") in CONVERSING and _provider(entry) == provider
    }
    return sorted(names)


def _provider(entry: Mapping[str, Any]) -> str:
    """What stands before the model's name, which the list has as `vertex_ai-mistral_models` or `bedrock_converse`."""
    return str(entry.get("litellm_provider")).partition("-")[0].removesuffix("_converse")


def _entry(name: str) -> Mapping[str, Any]:
    """Return the entry under this name, or of what it is another name of: `…-latest` is the latest now."""
    entry, seen = _found(name), {name}
    while (other := entry.get("alias_of", name)) not in seen and (meant := _found(other)):
        entry = meant
        seen.add(other)
    return entry


@lru_cache(1024)
def _found(name: str) -> Mapping[str, Any]:
    """Return the one entry: parsing all thousands of them takes 20 ms, and keeping them megabytes."""
    file = packaged_file("litellm", LIST)
    text = b"" if file is None else file.read_bytes()
    if not text.startswith(FIRST):  # there is none, or it is written in another way
        return _entries().get(name, {})
    key = BEFORE + json.dumps(name).encode() + BEHIND
    begin = text.rfind(key) + len(key)
    if begin < len(key):
        return {}
    entry: dict[str, Any] = json.loads(b"{" + text[begin : text.index(END, begin) + len(END)])
    return entry


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    """Return the list by model; empty where LiteLLM is not installed, or keeps it elsewhere."""
    file = packaged_file("litellm", LIST)
    if file is None:
        return {}
    entries: dict[str, Mapping[str, Any]] = json.loads(file.read_bytes())
    return entries


def provider_names() -> frozenset[str]:
    """Return what LiteLLM takes for a provider; empty where that cannot be known.

    A user's own code may have brought more into LiteLLM by now, which it then has loaded.
    """
    own = getattr(sys.modules.get("litellm"), "custom_provider_map", ())
    names = _names()
    return names | {str(each["provider"]) for each in own} if names else names


@cache
def _names() -> frozenset[str]:
    enum, more = packaged_file("litellm", ENUM), packaged_file("litellm", MORE)
    found = _PROVIDERS.search(enum.read_text(encoding="utf-8")) if enum is not None else None
    if found is None or more is None:
        return frozenset()
    return frozenset((*_MEMBER.findall(found["members"]), *json.loads(more.read_bytes())))
