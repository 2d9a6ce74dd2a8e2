"""`auwgent config show`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

CONFIG = """
[agent]
model = "openai/gpt-5-mini"
[api_keys]
openai = "${OPENAI_API_KEY}"
[profiles.strict]
agent.prompt = "Return only data."
"""
ENV = {"OPENAI_API_KEY": "a-very-secret-key", "AUWGENT_LIMITS__TOKENS": "5"}


def test_it_prints_the_effective_config_without_secrets(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    done = auwgent("config", "show", "-p", "strict", "--set", "agent.name=Ada", env=ENV)
    assert (done.returncode, done.stderr) == (0, "")
    shown = tomllib.loads(done.stdout)
    assert (shown["agent"]["name"], shown["agent"]["prompt"]) == ("Ada", "Return only data.")
    assert (shown["limits"]["tokens"], shown["limits"]["llm_calls"]) == (5, 25)
    assert shown["api_keys"] == {"openai": "***"}
    assert "a-very-secret-key" not in done.stdout


def test_origin_says_which_layer_won(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    done = auwgent("config", "show", "--origin", "-p", "strict", "--set", "agent.name=Ada", env=ENV)
    lines = done.stdout.splitlines()
    for line in (
        'model = "openai/gpt-5-mini"  # auwgent.toml:3',
        'prompt = "Return only data."  # auwgent.toml:7 (profile strict)',
        'name = "Ada"  # --set agent.name',
        "tokens = 5  # AUWGENT_LIMITS__TOKENS",
        "llm_calls = 25  # default",
        'openai = "***"  # auwgent.toml:5',
    ):
        assert line in lines


def test_a_wrong_config_ends_with_2(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG + "x = 1")
    done = auwgent("config", "show", env=ENV)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("auwgent.toml:8:1: unknown key `x`")
