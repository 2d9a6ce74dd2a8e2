"""The `.env` beside a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from auwgent import ConfigError, auwgent
from auwgent.assembly import environ_of
from auwgent.config import load

CONFIG = '[agent]\nmodel = "scripted/echo"\nprompt = "${WORD:-none} ${OTHER:-none}"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "auwgent.toml"
    file.write_text(CONFIG)
    return file


def test_variables_of_the_file_are_below_the_environment(config: Path) -> None:
    config.with_name(".env").write_text("# ours\nexport WORD='of the file'\nOTHER=a$b\n")
    assert load(config, environ={}).agent.prompt == "of the file a$b"
    assert load(config, environ={"WORD": "of the process"}).agent.prompt == "of the process a$b"


def test_the_process_s_environment_stays_as_it_is(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config.with_name(".env").write_text("OPENAI_API_KEY=sk-of-the-file\nOPENAI_BASE_URL=http://elsewhere\n")
    loaded = load(config)
    assert environ_of(loaded).get("OPENAI_API_KEY") == "sk-of-the-file"
    assert environ_of(loaded).get("OPENAI_BASE_URL") is None  # keys alone
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-process")
    assert environ_of(loaded).get("OPENAI_API_KEY") == "sk-of-the-process"


def test_a_key_of_the_file_is_enough_for_a_run_and_is_never_told(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config.write_text('[agent]\nmodel = "openai/gpt-5-mini"\n')
    config.with_name(".env").write_text("OPENAI_API_KEY=c4n4ryWord\n")
    agent = auwgent(config)
    spec = agent._main.parts.catalog.spec("openai/gpt-5-mini")
    assert spec.api_key == "c4n4ryWord"
    assert str(ConfigError("no luck with c4n4ryWord")) == "no luck with ***"


@pytest.mark.parametrize("where", ["file", "set", "environment", "profile"])
def test_another_file_may_be_named(where: str, config: Path) -> None:
    config.with_name(".env").write_text("WORD=default\n")
    config.with_name("other.env").write_text("WORD=other\n")
    overrides, environ, profile = [], {}, None
    match where:
        case "file":
            config.write_text('env_file = "other.env"\n' + CONFIG)
        case "set":
            overrides = ["env_file=other.env"]
        case "environment":
            environ = {"AUWGENT_ENV_FILE": "other.env"}
        case _:
            config.write_text(CONFIG + '[profiles.x]\nenv_file = "other.env"\n')
            profile = "x"
    loaded = load(config, environ=environ, overrides=overrides, profile=profile)
    assert loaded.agent.prompt == "other none"


def test_the_file_can_be_left_unread(config: Path) -> None:
    config.with_name(".env").write_text("WORD=default\n")
    config.write_text("env_file = false\n" + CONFIG)
    assert load(config, environ={}).agent.prompt == "none none"


def test_a_named_file_that_is_missing_or_no_text_is_told_at_its_place(config: Path) -> None:
    config.write_text('env_file = "other.env"\n' + CONFIG)
    with pytest.raises(
        ConfigError, match=r"auwgent.toml:1:\d+: `env_file`: .*other.env' cannot be read: No such file"
    ):
        load(config, environ={})
    config.with_name("other.env").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load(config, environ={})


def test_our_own_variables_in_it_are_ignored_with_a_warning(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.with_name(".env").write_text("AUWGENT_AGENT__MODEL=openai/x\nWORD=a\n")
    loaded = load(config, environ={})
    assert (loaded.agent.model, loaded.agent.prompt) == ("scripted/echo", "a none")
    assert "AUWGENT_AGENT__MODEL ignored" in caplog.text


def test_a_dict_has_no_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("WORD=a\n")
    assert (
        load({"agent": {"model": "scripted/echo", "prompt": "${WORD:-none}"}}, environ={}).agent.prompt
        == "none"
    )
