"""How much a model can read, known offline: from its params, or from the list that LiteLLM ships."""

from __future__ import annotations

from auwgent.models.base import ModelSpec
from auwgent.models.listed import listed

SET_BY_PARAMS = ("n_ctx", "num_ctx")  # llama.cpp's and Ollama's names for the window they set up
LOCAL_WINDOW = 8192  # of a model in process, where its params say nothing


def window(spec: ModelSpec) -> int | None:
    """Tokens that the model and each of its fallbacks can read; None where no window is known."""
    known = [own for one in (spec, *spec.fallbacks) if (own := _own(one)) is not None]
    return min(known, default=None)


def _own(spec: ModelSpec) -> int | None:
    for name in SET_BY_PARAMS:
        if isinstance(spec.params.get(name), int):
            return int(spec.params[name])
    if spec.provider == "local":
        return LOCAL_WINDOW
    entry = listed(spec)
    tokens = entry.get("max_input_tokens") or entry.get("max_tokens")
    return tokens if isinstance(tokens, int) else None
