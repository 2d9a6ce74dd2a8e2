"""What is loaded when: slow modules stay away from what does without them. Figures are in docs/performance.md."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_server import STREAM_END, event, raw_server, stream_head

pytestmark = pytest.mark.process

# Each takes longer to import than `auwgent --help` takes in all.
SLOW = frozenset(
    (
        *("aiohttp", "asyncio", "dotenv", "httpx", "jinja2", "jsonschema", "litellm", "mcp", "openai"),
        *("prompt_toolkit", "pydantic", "pydantic_settings", "rich", "sqlalchemy", "sqlmodel", "tree_sitter"),
        *("docstring_parser", "markdown_it", "xllamacpp"),
    )
)
CONFIG = frozenset(("asyncio", "dotenv", "pydantic", "pydantic_settings"))  # to read and check a config
STORE = frozenset(("sqlalchemy", "sqlmodel"))


def loaded(code: str, folder: Path) -> set[str]:
    """The slow modules that a new process has loaded when this code is over."""
    report = "import json, sys; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, cwd=folder
    )
    return set(SLOW.intersection(json.loads(done.stdout.splitlines()[-1])))


def command(*arguments: str) -> str:
    return f"from auwgent.cli import main; assert main({list(arguments)}) == 0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a config of the plainest kind."""
    (tmp_path / "auwgent.toml").write_text(
        '[agent]\nmodel = "openai/gpt-5-mini"\nprompt = "You help."\n[api_keys]\nopenai = "sk-x"\n'
    )
    return tmp_path


@pytest.mark.parametrize("code", ["import auwgent", command("--help"), command("--version")])
def test_what_tells_only_of_itself_loads_nothing(code: str, folder: Path) -> None:
    assert loaded(code, folder) == set()


def test_a_subcommands_help_loads_no_more_than_a_config_needs(folder: Path) -> None:
    assert loaded(command("run", "--help"), folder) <= CONFIG


def test_check_loads_neither_models_nor_templates_nor_a_database(folder: Path) -> None:
    assert loaded(command("check"), folder) <= CONFIG | {"tree_sitter"}


def test_check_looks_into_a_database_without_sqlalchemy(folder: Path) -> None:
    loaded(command("sessions", "list"), folder)  # makes it
    assert (folder / ".auwgent" / "sessions.db").exists()
    assert loaded(command("check"), folder) <= CONFIG | {"tree_sitter"}


def test_sessions_are_listed_without_models(folder: Path) -> None:
    assert loaded(command("sessions", "list"), folder) <= CONFIG | STORE


def test_a_config_with_the_default_store_loads_no_database_before_it_is_opened(folder: Path) -> None:
    code = "from auwgent import auwgent; auwgent({'agent': {'model': 'openai/gpt-5-mini'}})"
    assert loaded(code, folder) <= CONFIG


def test_a_config_without_a_store_loads_no_database(folder: Path) -> None:
    code = "from auwgent import auwgent; auwgent({'middleware': [], 'agent': {'model': 'openai/gpt-5-mini'}})"
    assert loaded(code, folder) <= CONFIG


RUN = """
from auwgent import auwgent
session = auwgent({config}).run_sync("Hello")
assert session.turns[-1].text == "Hello you", session
"""


async def test_a_run_by_the_direct_route_loads_its_http_client_and_no_more(folder: Path) -> None:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "Hello you"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    answer = [event({"choices": [choice]}), event({"choices": [end]}), event("[DONE]")]
    async with raw_server([stream_head(), *answer, STREAM_END]) as server:
        named = {"use": "openai/gpt-4o-mini", "via": "direct", "api_key": "sk-x", "base_url": server.url}
        config = {"middleware": [], "agent": {"model": "quick", "prompt": "Hi"}, "models": {"quick": named}}
        found = await asyncio.to_thread(loaded, RUN.format(config=config), folder)
    assert found - CONFIG == {"aiohttp"}
