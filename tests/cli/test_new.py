"""`auwgent new middleware`: a class and a test of it, to begin with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auwgent.cli.new import place_of
from auwgent.config import load
from tests.support.command import Command

CONFIG = '[agent]\nmodel = "scripted/echo"\n'


def pytest_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """Plain `pytest`, as users run it, but that a warning is an error."""
    options = Command(folder).options({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    line = [sys.executable, "-P", "-m", "pytest", "-q"]
    return subprocess.run(line, check=False, capture_output=True, **options)


@pytest.mark.parametrize("name", ["Brief", "my_app.hooks.Brief"])
def test_what_is_written_works_as_it_is(auwgent: Any, tmp_path: Path, name: str) -> None:
    config = tmp_path / "auwgent.toml"
    config.write_text(CONFIG)
    done = auwgent("new", "middleware", name)
    assert done.returncode == 0
    tested = pytest_in(tmp_path)
    assert (tested.returncode, "1 passed" in tested.stdout) == (0, True), tested.stdout
    config.write_text(done.stdout + CONFIG)
    assert len(load(config, environ={}).middleware) == 2
    assert auwgent("check").returncode == 0
    assert auwgent("run", "Hello").stdout == "You said: Hello\nAnswer briefly.\n"


def test_the_class_is_ten_lines_and_the_next_steps_are_told(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    done = auwgent("new", "middleware", "RateLog")
    assert done.stderr.splitlines() == [
        "rate_log.py and test_rate_log.py are written. Into auwgent.toml:",
        "Then:",
        "  auwgent check",
        "  pytest test_rate_log.py",
    ]
    _, _, written = (tmp_path / "rate_log.py").read_text().partition("class RateLog")
    assert written
    assert len(written.splitlines()) <= 10


def test_a_list_that_is_there_is_added_to(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text("middleware = []\n" + CONFIG)
    done = auwgent("new", "middleware", "Brief")
    assert done.stdout == '  "brief.Brief",  # in the list of `middleware`\n'


def test_the_files_are_beside_the_config(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    assert auwgent("new", "middleware", "Brief", "-c", "deep/my.toml").returncode == 0
    assert sorted(path.name for path in tmp_path.glob("**/*.py")) == ["brief.py", "test_brief.py"]
    assert pytest_in(tmp_path / "deep").returncode == 0


@pytest.mark.parametrize("there", ["brief.py", "test_brief.py"])
def test_nothing_is_overwritten(auwgent: Any, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    done = auwgent("new", "middleware", "Brief")
    assert done.returncode == 2
    assert done.stderr == f"{there}: there is a file already; nothing was written\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_a_place_that_cannot_be_written_is_told(auwgent: Any, tmp_path: Path) -> None:
    (tmp_path / "my_app").touch()
    done = auwgent("new", "middleware", "my_app.brief.Brief")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("my_app/brief.py: ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my-hook", "should be a name such as Brief"),
        ("", "should be a name such as Brief"),
        ("my_app..Brief", "should be a name such as Brief"),
        ("../Brief", "should be a name such as Brief"),
        ("class", "should be a name such as Brief"),
        ("Middleware", "give it a name of its own"),
        ("logging.Brief", "is a module of Python's own"),
        ("Click", "is installed already"),
    ],
)
def test_a_name_that_would_not_work_is_refused(auwgent: Any, tmp_path: Path, name: str, words: str) -> None:
    done = auwgent("new", "middleware", name)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "module", "cls"),
    [
        ("HTTPLog", "http_log", "HTTPLog"),
        ("rate_log", "rate_log", "RateLog"),
        ("my_app.rate_log", "my_app.rate_log", "RateLog"),
        ("my_app.hooks:Brief", "my_app.hooks", "Brief"),
    ],
)
def test_module_and_class_follow_from_either(name: str, module: str, cls: str) -> None:
    place = place_of(name)
    assert (place.module, place.name) == (module, cls)
