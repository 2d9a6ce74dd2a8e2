"""What LiteLLM's list of models says of one: read as plain JSON, without loading LiteLLM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from auwgent.imports import packaged_file
from auwgent.models.base import ModelSpec

LIST = "model_prices_and_context_window_backup.json"
ENDPOINTS = (
    "responses/",
    "converse/",
)  # of a provider; they stand before the model's name, and not in the list


def listed(spec: ModelSpec) -> Mapping[str, Any]:
    """The entry of this model; empty where it is not listed."""
    entries, model = _entries(), spec.model
    for endpoint in ENDPOINTS:
        model = model.removeprefix(endpoint)
    return entries.get(spec.name) or entries.get(model) or {}


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    """The list by model; empty where LiteLLM is not installed, or keeps it elsewhere."""
    file = packaged_file("litellm", LIST)
    if file is None:
        return {}
    entries: dict[str, Mapping[str, Any]] = json.loads(file.read_bytes())
    return entries
