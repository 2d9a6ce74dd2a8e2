"""The configs that come with the project, each the smallest useful one."""

from __future__ import annotations

from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "config"
KEYS = {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a", "GEMINI_API_KEY": "g"}


@pytest.mark.parametrize(
    ("name", "model", "variable"),
    [
        ("local", "local/smollm2", None),
        ("ollama", "ollama_chat/llama3.2", None),
        ("openai", "openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic", "anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini", "gemini/gemini-2.5-flash", "GEMINI_API_KEY"),
        ("openai-compatible", "main", None),
    ],
)
def test_it_loads_and_says_which_key_it_needs(name: str, model: str, variable: str | None) -> None:
    path = FOLDER / f"{name}.toml"
    config = load(path, environ=KEYS)
    assert config.agent.model == model
    assert [entry.use for entry in config.middleware] == ["auwgent.middleware.SQLModelSessions"]
    assert path.read_text(encoding="utf-8").startswith("#:schema ")
    if variable is None:
        assert load(path, environ={}).agent.model == model
    else:
        with pytest.raises(ConfigError, match=variable):
            load(path, environ={})


def test_a_server_of_ones_own_is_named_by_variables() -> None:
    environ = {"LLM_MODEL": "qwen3", "LLM_BASE_URL": "https://llm.example/v1", "LLM_API_KEY": "k"}
    main = load(FOLDER / "openai-compatible.toml", environ=environ).models["main"]
    assert (main.use, main.base_url) == ("openai/qwen3", "https://llm.example/v1")
    assert main.api_key is not None
    assert main.api_key.get_secret_value() == "k"


def test_there_are_no_others() -> None:
    assert len(list(FOLDER.glob("*.toml"))) == 6
