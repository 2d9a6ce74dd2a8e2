"""`auwgent mcp import`: servers of other tools' JSON, as tables of a config."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

CONFIG = '# mine\nmiddleware = []\n\n[agent]\nmodel = "scripted/echo"'


@pytest.fixture
def config(auwgent: Command) -> Path:
    path = auwgent.folder / "auwgent.toml"
    path.write_text(CONFIG)
    return path


def servers(auwgent: Command, tree: Any) -> str:
    (auwgent.folder / "mcp.json").write_text(json.dumps(tree))
    return "mcp.json"


THREE = {
    "mcpServers": {
        "time": {"command": "uvx", "args": ["mcp-server-time", "--tz", "$UTC"], "type": "stdio"},
        "My GitHub": {
            "command": "docker",
            "env": {"GITHUB_TOKEN": "ghp_0123456789", "HOST": "${env:GITHUB_HOST}", "LEVEL": "2"},
        },
        "web": {
            "serverUrl": "https://mcp.example/mcp",
            "headers": {"Authorization": "Bearer abc", "X-Team": "blue"},
        },
        "off": {"command": "x", "disabled": True},
    }
}


def test_servers_become_tables_behind_what_is_there(auwgent: Command, config: Path) -> None:
    done = auwgent("mcp", "import", servers(auwgent, THREE))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = config.read_text()
    assert text.startswith(CONFIG)
    assert tomllib.loads(text)["mcp"] == {
        "time": {"command": "uvx", "args": ["mcp-server-time", "--tz", "$$UTC"]},
        "My-GitHub": {
            "command": "docker",
            "env": {"GITHUB_TOKEN": "${GITHUB_TOKEN}", "HOST": "${GITHUB_HOST}", "LEVEL": "2"},
        },
        "web": {
            "url": "https://mcp.example/mcp",
            "headers": {"Authorization": "${WEB_AUTHORIZATION}", "X-Team": "blue"},
        },
    }
    assert 'tools = ["mcp:time", "mcp:My-GitHub", "mcp:web"]' in done.stderr
    assert "put GITHUB_TOKEN=… into the environment or a .env" in done.stderr
    assert "off: left out, since it is disabled there" in done.stderr
    assert "ghp_" not in text + done.stderr
    names = {"GITHUB_TOKEN": "t", "GITHUB_HOST": "h", "WEB_AUTHORIZATION": "a"}
    assert auwgent("config", "show", env=names).returncode == 0


def test_a_second_import_changes_nothing_and_stdout_only_prints(auwgent: Command, config: Path) -> None:
    file = servers(auwgent, {"servers": {"time": {"command": "uvx"}}})
    assert tomllib.loads(auwgent("mcp", "import", file, "--stdout").stdout) == {
        "mcp": {"time": {"command": "uvx"}}
    }
    assert config.read_text() == CONFIG
    assert auwgent("mcp", "import", file).returncode == 0
    once = config.read_text()
    again = auwgent("mcp", "import", file)
    assert (again.returncode, "time: the config has a server of that name already" in again.stderr) == (
        0,
        True,
    )
    assert config.read_text() == once


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"other": 1}, "there is no table `mcpServers`"),
        ([], "there is no table `mcpServers`"),
        ({"mcpServers": {"a": []}}, "the server 'a' should be a table"),
        ({"mcpServers": {"a": {}}}, "needs exactly one of `command` and `url`"),
        ({"mcpServers": {"a": {"command": 3}}}, "the server 'a' cannot be taken over: command: "),
        ({"mcpServers": {"a": {"url": "https://x", "args": ["y"]}}}, "which goes with `command` only"),
    ],
)
def test_what_cannot_be_taken_over_is_told_and_nothing_is_written(
    auwgent: Command, config: Path, tree: Any, words: str
) -> None:
    done = auwgent("mcp", "import", servers(auwgent, tree))
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert config.read_text() == CONFIG


def test_a_config_that_is_not_there_or_takes_no_tables(auwgent: Command, config: Path) -> None:
    file = servers(auwgent, {"mcpServers": {"time": {"command": "uvx"}}})
    missing = auwgent("mcp", "import", file, "-c", "none.toml")
    assert (missing.returncode, "there is no such file" in missing.stderr) == (2, True)
    config.write_text('mcp = { other = { command = "x" } }\n' + CONFIG)
    before = config.read_text()
    closed = auwgent("mcp", "import", file)
    assert (closed.returncode, "`--stdout` prints the tables" in closed.stderr) == (2, True)
    assert config.read_text() == before
