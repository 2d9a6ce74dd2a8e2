"""What servers really send, to the command itself: both routes show the same text and end with the same exit code."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_odd import ANSWERS, PLAIN, stream
from tests.support.command import Command
from tests.support.raw_server import raw_server

pytestmark = pytest.mark.process

TOOL = "def get_weather(city: str) -> str:\n    return f'sunny in {city}'\n"
# Of each kind one: a whole answer, a call, an end with a line on standard error, a failure. Two processes for each.
KINDS = ("nothing odd", "a call that ends with stop", "cut at the limit", "an error as the first event")
CONFIG = """
middleware = []

[agent]
model = "m"
tools = ["odd_tools.get_weather"]

[models.m]
use = "openai/m"
base_url = "{url}"
api_key = "sk-test-canary-key"
via = "{via}"
retries = 0
timeout = 10
"""


async def ran(folder: Path, name: str, via: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, what `--json` says at last, and the kind of the error."""
    answer, _ = ANSWERS[name]
    (folder / "odd_tools.py").write_text(TOOL)
    async with raw_server(answer, stream(*PLAIN)) as server:
        file = folder / f"{via}.toml"
        file.write_text(CONFIG.format(url=server.url, via=via))
        command = Command(folder, litellm=True)
        done = await asyncio.to_thread(command, "run", "Hi", "-c", file.name, "--json", *options)
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    [kind] = [one["value"]["kind"] for one in said if one.get("name") == "error"] or [""]
    return done.returncode, said[-1], kind


@pytest.mark.parametrize("name", KINDS)
async def test_an_odd_answer_has_the_same_exit_code_on_both_routes(tmp_path: Path, name: str) -> None:
    _, expected = ANSWERS[name]
    is_failure = isinstance(expected, str)
    # In turns, streamed and whole: how it is asked for is no matter of the route.
    options = ("--no-stream",) if KINDS.index(name) % 2 else ()
    direct, litellm = [await ran(tmp_path, name, via, *options) for via in ("direct", "litellm")]
    assert direct[0] == litellm[0] == (1 if is_failure else 0)
    assert direct[1]["status"] == litellm[1]["status"] == ("failed" if is_failure else "completed")
    assert direct[2] == litellm[2]
    if is_failure:
        assert direct[2] == expected
    else:
        assert direct[1]["text"] == litellm[1]["text"] == (expected[0] or "Hello")
