"""What type checkers say to people who write agents in Python: nothing where all is well, and each mistake."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auwgent.hooks.context import NAMES
from auwgent.hooks.typed import TypedNames

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("passes.py", "mistakes.py")
PYRIGHT = ROOT / "tests" / "aimock" / "node_modules" / "pyright" / "index.js"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files as in somebody's project: our own settings of the checkers do not count."""
    for name in FILES:
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


def complaints(folder: Path, *command: str) -> set[tuple[str, int]]:
    """The lines that a checker finds wrong."""
    done = subprocess.run(
        [*command, *FILES], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.findall(r"(\w+\.py):(\d+):(?:\d+ -)? error:?", done.stdout)
    return {(name, int(line)) for name, line in found}


def mistakes() -> set[tuple[str, int]]:
    lines = (HERE / "mistakes.py").read_text(encoding="utf-8").splitlines()
    return {("mistakes.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_mypy_finds_each_mistake_and_nothing_else(folder: Path) -> None:
    options = ("--strict", "--follow-imports=silent", "--cache-dir", str(folder / "cache"))
    assert complaints(folder, sys.executable, "-m", "mypy", *options) == mistakes()


def test_pyright_finds_each_mistake_and_nothing_else(folder: Path) -> None:
    node = shutil.which("node")
    if node is None or not PYRIGHT.exists():
        pytest.skip("pyright is not there: it comes from npm with `./dev test`")
    assert complaints(folder, node, str(PYRIGHT), "--pythonpath", sys.executable) == mistakes()


def test_every_name_of_ctx_has_a_type() -> None:
    source = (ROOT / "auwgent" / "hooks" / "typed.py").read_text(encoding="utf-8")
    declared = {*re.findall(r"(?m)^        (\w+): ", source), *re.findall(r"def (\w+)\(\n? *self", source)}
    assert set(NAMES) <= declared
    assert not TypedNames.__slots__


def test_the_typed_config_is_made_of_the_tables() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "config_types.py", "--check"], check=False)
    assert done.returncode == 0, "run: ./dev python scripts/config_types.py"
