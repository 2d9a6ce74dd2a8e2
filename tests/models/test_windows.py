"""Windows: what a model can read is known without a network."""

from __future__ import annotations

import subprocess
import sys

import pytest

from auwgent.models.base import ModelSpec
from auwgent.models.prices import window


@pytest.mark.parametrize(
    ("spec", "tokens"),
    [
        (ModelSpec("openai/gpt-4"), 8192),
        (ModelSpec("anthropic/claude-sonnet-4-5"), 200_000),
        (ModelSpec("gemini/gemini-2.5-flash"), 1_048_576),
        (ModelSpec("hosted_vllm/our-own"), None),
        (ModelSpec("local/smollm2"), 8192),
        (ModelSpec("local/smollm2", params={"n_ctx": 2048}), 2048),
        (ModelSpec("ollama_chat/llama3", params={"num_ctx": 4096}), 4096),
        (ModelSpec("openai/gpt-5-mini", fallbacks=(ModelSpec("openai/gpt-4"),)), 8192),
        (ModelSpec("openai/gpt-4", fallbacks=(ModelSpec("hosted_vllm/our-own"),)), 8192),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_windows(spec: ModelSpec, tokens: int | None) -> None:
    assert window(spec) == tokens


@pytest.mark.process
def test_litellm_is_not_loaded_for_it() -> None:
    program = (
        "import sys; from auwgent.models.base import ModelSpec; from auwgent.models.prices import window; "
        "assert window(ModelSpec('openai/gpt-4')) == 8192; assert 'litellm' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
