"""The provider server that no one here wrote: aimock, in a process of its own, answering from tests/aimock."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parent.parent / "aimock"
PROGRAM = HOME / "node_modules" / "@copilotkit" / "aimock" / "dist" / "aimock-cli.js"


@dataclass(frozen=True, slots=True)
class Aimock:
    """A running server. `url` is its root, without a path."""

    url: str

    def journal(self, test_id: str) -> list[dict[str, Any]]:
        """The requests that carried this X-Test-Id, oldest first, in the server's own form."""
        query = urllib.parse.urlencode({"testId": test_id})
        # urlopen would keep the proxies of the first test that called it.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/__aimock/journal?{query}", timeout=10) as response:
            entries: list[dict[str, Any]] = json.load(response)
        return entries


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """A provider server that answers from the fixtures in tests/aimock; one for all tests."""
    if reason := missing():
        pytest.skip(reason)
    with running_aimock(tmp_path_factory.mktemp("aimock")) as running:
        yield running


def missing() -> str:
    """Why aimock cannot be started here; empty where it can."""
    if shutil.which("node") is None:
        return "there is no node"
    if not PROGRAM.exists():
        return "aimock is not installed: run npm ci in tests/aimock"
    return ""


@contextmanager
def running_aimock(folder: Path, **sections: Any) -> Iterator[Aimock]:
    """aimock on a free port, with the fixtures of tests/aimock/fixtures and more sections of its config.

    The config goes to `folder`.
    """
    config = folder / "aimock.json"
    llm = {"fixtures": str(HOME / "fixtures"), "chunkSize": 12}
    config.write_text(json.dumps({"strict": True, "llm": llm, **sections}))
    command = ["node", str(PROGRAM), "--config", str(config), "--port", "0"]
    with (
        (folder / "aimock.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield Aimock(_address(process))
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        if found := re.search(r"listening on (http://\S+)", line):
            return found[1]
        seen.append(line)
    raise RuntimeError(f"aimock did not start: {''.join(seen)}")
