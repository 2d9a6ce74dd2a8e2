"""The wire formats of the direct route, a module each. All are read as chunks in the form of OpenAI's chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.formats import anthropic, chat, gemini
from auwgent.models.providers import provider_of
from auwgent.models.received import AnswerReader


class Format(Protocol):
    """One wire format: where to ask, what to send, and how to read what comes back."""

    def url(self, spec: ModelSpec, environ: Mapping[str, str], *, streams: bool) -> str:
        """Return the URL to ask at; empty where it is not known."""
        ...

    def cannot(self, spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
        """Return why this model cannot be asked in this format; None where it can."""
        ...

    def litellms(self, spec: ModelSpec) -> frozenset[str]:
        """Return the names of params that LiteLLM would translate for this model, or keep to itself."""
        ...

    def headers(self, spec: ModelSpec, address: str, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what every request carries, its key included."""
        ...

    def body(
        self, spec: ModelSpec, request: ModelRequest, params: dict[str, Any], address: str
    ) -> dict[str, Any]:
        """Return what is sent. `params` are those of the model, with a limit where it needs one."""
        ...

    def reader(self) -> AnswerReader:
        """Return what reads one answer."""
        ...


_FORMATS: Mapping[str, Format] = {"chat": chat, "anthropic": anthropic, "gemini": gemini}


def format_of(spec: ModelSpec) -> Format:
    """Return the format in which this model is asked directly."""
    return _FORMATS[provider_of(spec.provider).speaks]
