"""The OpenAPI document holds what the server does: a fuzzer reads it and asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.served import process

pytestmark = pytest.mark.process

CONFIG = """
[agent]
model = "main"

[models.main]
use = "scripted/main"
retries = 0
params = { restart = true, repeat = true, replies = ["You said: {user}"] }

[[middleware]]
use = "auwgent.middleware.SQLModelSessions"
url = "sqlite:///sessions.db"

[[serve.tokens]]
token = "a-token-of-ada"
user = "ada"
"""


def test_a_fuzzer_finds_nothing_else_than_the_document_says(tmp_path: Path) -> None:
    """The same requests in each run. What a document cannot say is not asked, such as an order of messages."""
    (tmp_path / "auwgent.toml").write_text(CONFIG, encoding="utf-8")
    with process(tmp_path) as (url, _):
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"{url}/openapi.json",
                *("--header", "Authorization: Bearer a-token-of-ada"),
                *("--seed", "1", "--max-examples", "3", "--generation-database", "none"),
                *("--exclude-checks", "positive_data_acceptance", "--phases", "coverage,fuzzing"),
                *("--max-failures", "20", "--no-color"),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "Tested: 24" in done.stdout, done.stdout[-3_000:]
