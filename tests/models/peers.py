"""The providers that are tested against aimock, and what is known to be different with each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from auwgent.models.base import ModelSpec
from tests.support.aimock import Aimock
from tests.support.proxy import Proxy, camel_case, proxy_to, without_cache_points

FEATURES = (
    "text",
    "stream",
    "one tool",
    "parallel tools",
    "streamed tools",
    "tool loop",
    "structured output",
    "output beside tools",
    "reasoning",
    "usage",
    "errors",
)
YES = "yes"
# Why a cell is not simply "yes". The notes stand below the table in docs/providers.md.
WHOLE_CALLS = "whole"
ESTIMATED = "estimated"
SILENT = "not shown"
OWN_TOOL = "own tool"


@dataclass(frozen=True, slots=True)
class Peer:
    """A provider as the tests ask it. `cells` are the features that are not simply there."""

    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    api_key: str | None = "sk-test-canary-key"
    cells: Mapping[str, str] = field(default_factory=dict)
    via: str = "litellm"

    @property
    def name(self) -> str:
        """The provider, with what LiteLLM wants to know of the kind of endpoint, or the way that is taken."""
        provider, kind, *_ = self.model.split("/")
        if self.via == "direct":
            return f"{provider} direct"
        return f"{provider}/{kind}" if kind in ("responses", "converse") else provider

    @property
    def label(self) -> str:
        """Its row in the docs."""
        return f"`{self.name.removesuffix(' direct')}/`{' direct' if self.via == 'direct' else ''}"

    def cell(self, feature: str) -> str:
        return self.cells.get(feature, YES)

    def spec(self, base_url: str, test_id: str = "") -> ModelSpec:
        headers = {"X-Test-Id": test_id} if test_id else {}
        return ModelSpec(
            name=self.model,
            api_key=self.api_key,
            base_url=base_url,
            headers=headers,
            params=self.params,
            timeout=20,
            via=self.via,
        )


_BEDROCK = {
    "aws_region_name": "us-east-1",
    "aws_access_key_id": "AKIATESTCANARY",
    "aws_secret_access_key": "secret-test-canary",
}
_NO_SCHEMA = {"structured output": OWN_TOOL, "output beside tools": OWN_TOOL}
_SCHEMA_ALONE = {"output beside tools": OWN_TOOL}

LITELLM = (
    Peer("openai/gpt-4o-mini", cells={"reasoning": SILENT}),
    Peer("openai/responses/gpt-5-mini"),
    Peer("anthropic/claude-sonnet-4-5", cells=_NO_SCHEMA),
    Peer("gemini/gemini-2.5-flash", cells={"streamed tools": WHOLE_CALLS, **_SCHEMA_ALONE}),
    Peer("azure/gpt-4o-mini", {"api_version": "2024-10-21"}, cells={"reasoning": SILENT}),
    Peer("mistral/mistral-small-latest", cells={"usage": ESTIMATED, **_SCHEMA_ALONE}),
    Peer(
        "ollama_chat/llama3.1",
        api_key=None,
        cells={"streamed tools": WHOLE_CALLS, "reasoning": SILENT, "usage": ESTIMATED, **_SCHEMA_ALONE},
    ),
    Peer("openrouter/anthropic/claude-sonnet-4.5", cells={"reasoning": SILENT, **_NO_SCHEMA}),
    Peer("deepseek/deepseek-reasoner", cells=_NO_SCHEMA),
    Peer("xai/grok-4", cells=_NO_SCHEMA),
    Peer("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", cells=_NO_SCHEMA),
    Peer("groq/llama-3.3-70b-versatile", cells=_NO_SCHEMA),
    Peer("hosted_vllm/qwen3", cells=_SCHEMA_ALONE),
    Peer("bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0", _BEDROCK, None, cells=_NO_SCHEMA),
)


def _direct(model: str, **cells: str) -> Peer:
    return Peer(model, cells={name.replace("_", " "): cell for name, cell in cells.items()}, via="direct")


DIRECT = (
    _direct("openai/gpt-4o-mini", reasoning=SILENT),
    _direct("anthropic/claude-sonnet-4-5", structured_output=OWN_TOOL, output_beside_tools=OWN_TOOL),
    _direct("gemini/gemini-2.5-flash", streamed_tools=WHOLE_CALLS, output_beside_tools=OWN_TOOL),
    *(
        _direct(model, output_beside_tools=OWN_TOOL, **cells)
        for model, cells in (
            ("mistral/mistral-small-latest", {"usage": ESTIMATED}),
            ("ollama/llama3.1", {"structured_output": OWN_TOOL}),
            ("ollama_chat/llama3.1", {}),
            ("hosted_vllm/qwen3", {}),
            ("lm_studio/qwen3", {}),
        )
    ),
    *(
        _direct(model, structured_output=OWN_TOOL, output_beside_tools=OWN_TOOL)
        for model in (
            "openrouter/anthropic/claude-sonnet-4.5",
            "groq/llama-3.3-70b-versatile",
            "deepseek/deepseek-reasoner",
            "xai/grok-4",
            "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "cerebras/llama-3.3-70b",
            "moonshot/kimi-k2",
            "nvidia_nim/meta/llama-3.3-70b-instruct",
            "deepinfra/meta-llama/Llama-3.3-70B-Instruct",
            "llamafile/qwen3",
            "litellm_proxy/any",
        )
    ),
)
PEERS = (*LITELLM, *DIRECT)
ADAPTED = {
    "gemini": camel_case,
    "gemini direct": camel_case,
    "bedrock/converse": without_cache_points,
}  # for aimock


@asynccontextmanager
async def before(aimock: Aimock, peer: Peer) -> AsyncIterator[Proxy]:
    """The proxy through which `peer` is asked, and which sees what LiteLLM sends it."""
    adapt = ADAPTED.get(peer.name, lambda body: body)
    async with proxy_to(aimock.url, adapt) as proxy:
        yield proxy


def table() -> str:
    """All cells as a Markdown table."""
    rows = [["", *FEATURES], ["---"] * (len(FEATURES) + 1)]
    rows += [
        [
            f"`{peer.model.partition('/')[0]}/` direct" if peer.via == "direct" else f"`{peer.name}/`",
            *(peer.cell(feature) for feature in FEATURES),
        ]
        for peer in PEERS
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
