import json
from pathlib import Path

import pytest

from auwgent.cli.providers import KeyRow, found
from auwgent.config import load
from auwgent.models.providers import PROVIDERS
from tests.support.command import Command

CONFIG = """
[agent]
name = "Main"
model = "scripted/echo"

[api_keys]
openai = "sk-canary"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "auwgent.toml"
    path.write_text(CONFIG)
    return path


def rows(config: Path | None = None, **environ: str) -> dict[str, KeyRow]:
    loaded = None if config is None else load(config, environ=environ)
    return {row.provider: row for row in found(loaded, environ)}


def test_every_provider_is_there_with_the_variables_of_its_key() -> None:
    listed = rows()
    assert list(listed) == list(PROVIDERS)
    assert listed["openai"] == KeyRow("openai", ("OPENAI_API_KEY",), True, None, "")
    assert not listed["ollama"].needs_key


def test_a_key_of_the_environment_is_found_under_any_of_its_names() -> None:
    assert rows(GOOGLE_API_KEY="x")["gemini"].key_from == "GOOGLE_API_KEY"


def test_an_empty_variable_is_no_key() -> None:
    assert rows(OPENAI_API_KEY="")["openai"].key_from is None


def test_a_key_of_the_config_wins(config: Path) -> None:
    origin = rows(config, OPENAI_API_KEY="x")["openai"].key_from
    assert origin == f"{config}:7"


def test_a_key_of_one_model_is_found_and_said_to_be_for_it(config: Path) -> None:
    config.write_text(CONFIG + '[models.team]\nuse = "mistral/m"\napi_key = "sk-canary"\n')
    assert rows(config)["mistral"].key_from == f"{config}:10 (for models.team)"
    assert rows(config, MISTRAL_API_KEY="x")["mistral"].key_from == "MISTRAL_API_KEY"
    assert rows(config)["anthropic"].key_from is None


def test_a_provider_that_only_the_config_names_is_there_as_well(config: Path) -> None:
    config.write_text(CONFIG.replace("scripted/echo", "own/model") + 'gateway = "sk-canary"\n')
    listed = rows(config)
    assert list(listed)[len(PROVIDERS) :] == ["gateway", "own"]
    assert listed["own"] == KeyRow("own", ("OWN_API_KEY",), False, None, "")
    assert listed["gateway"].key_from == f"{config}:8"


def test_keys_are_never_shown(config: Path, auwgent: Command) -> None:
    told = auwgent("providers", env={"ANTHROPIC_API_KEY": "sk-other-canary"})
    listed = auwgent("providers", "--json", env={"ANTHROPIC_API_KEY": "sk-other-canary"})
    assert "there, from ANTHROPIC_API_KEY" in told.stdout
    assert json.loads(listed.stdout)[0]["key_from"] == "auwgent.toml:7"
    assert "canary" not in told.stdout + told.stderr + listed.stdout + listed.stderr


def test_a_config_that_lacks_a_variable_is_told_and_the_list_still_comes(
    config: Path, auwgent: Command
) -> None:
    config.write_text(CONFIG.replace("sk-canary", "${NOWHERE}").replace("scripted/echo", "openai/x"))
    done = auwgent("providers")
    assert done.returncode == 0
    assert "NOWHERE" in done.stderr
    assert "openai" in done.stdout
