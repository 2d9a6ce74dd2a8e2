"""What users' own code raises is told without the secrets it was given, wherever it is told."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from auwgent import AuwgentError, ConfigError, MiddlewareError, Runtime, ToolError
from auwgent.cli import main
from auwgent.secrecy import KnownSecrets, scrubbed
from tests.support.alone import alone as alone

pytestmark = pytest.mark.usefixtures("alone")

SECRET = "cAnArY-1"
DATABASE = f"postgresql://shop:{SECRET}%40home@db.example/shop"
CALL = {"tool_calls": [{"name": "pay", "args": {}}]}


class Leaky:
    """Raises what it was given, where it is told to."""

    def __init__(self, at: str, token: str = "", url: str = "") -> None:
        self.at, self.words = at, f"{token} {url} {SECRET}@home"
        self.may("made")

    def may(self, where: str) -> None:
        if where == self.at:
            raise RuntimeError(f"no luck with {self.words}")

    def open(self) -> None:
        self.may("open")

    def onRunStart(self, session: Any, ctx: Any) -> None:
        self.may("onRunStart")

    def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        self.may("onIntent")

    def onRunComplete(self, session: Any, ctx: Any) -> None:
        self.may("onRunComplete")

    def close(self) -> None:
        self.may("close")


def agent(*middleware: Any, tools: Any = (), replies: Any = ("Hello.",), **more: Any) -> Any:
    model = {"use": "scripted/main", "params": {"replies": list(replies)}}
    return Runtime(
        {"middleware": middleware, "agent": {"model": "m", "tools": tools}, "models": {"m": model}} | more
    )


def leaky(at: str) -> dict[str, str | type]:
    return {"use": Leaky, "at": at, "token": SECRET, "url": DATABASE}


def test_a_secret_is_struck_out_for_as_long_as_its_owner_lives() -> None:
    owner = KnownSecrets(["s3cr3t-key", "s3cr3t-key-2", "blue", "ollama"])
    assert scrubbed("s3cr3t-key-2 or s3cr3t-key of blue ollama") == "*** or *** of blue ollama"
    assert "s3cr3t" not in repr(owner)
    del owner
    gc.collect()
    assert scrubbed("s3cr3t-key") == "s3cr3t-key"


def test_a_constructor_that_fails_tells_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        agent(leaky("made"))
    assert "'Leaky' could not be made: RuntimeError: no luck with *** " in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("hook", ["open", "onRunStart", "onIntent", "onRunComplete"])
async def test_a_hook_that_fails_tells_no_secret(hook: str) -> None:
    with pytest.raises(MiddlewareError) as caught:
        await agent(leaky(hook)).run("Hi")
    assert "RuntimeError: no luck with *** " in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_failure_that_is_only_logged_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with agent(leaky("onRunStart") | {"on_error": "warn"}, leaky("close")) as running:
        await running.run("Hi")
    assert caplog.text.count("no luck with ***") == 2
    assert SECRET not in caplog.text


@pytest.mark.process
async def test_a_handler_that_fails_ends_the_run_and_no_secret_of_it_is_shown_or_stored(
    tmp_path: Path,
) -> None:
    def handler(name: str, value: Any, agent: str) -> None:
        if name == "response_text":
            raise RuntimeError(f"no luck with {SECRET}")
        told.append(value)

    told: list[Any] = []
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path}/sessions.db"}
    async with agent(store, api_keys={"openai": SECRET}) as running:
        running.on_intent(handler)
        with pytest.raises(AuwgentError, match="no luck with") as failed:
            await running.run("Hi")
    assert SECRET not in str(failed.value)
    assert told[-1] == {"message": "the run failed: RuntimeError: no luck with ***", "kind": "RuntimeError"}
    stored = (tmp_path / "sessions.db").read_bytes()
    assert SECRET.encode() not in stored
    assert b"no luck with ***" in stored


@pytest.mark.parametrize("kind", [RuntimeError, ToolError])
async def test_the_model_reads_no_secret_in_what_a_tool_raises(kind: type[Exception]) -> None:
    def pay() -> str:
        """Pay."""
        raise kind(f"key {SECRET} was refused")

    keys = {"openai": SECRET}
    session = await agent(tools=[pay], replies=[CALL, "{result}"], api_keys=keys).run("Hi")
    assert session.turns[2].text.endswith("key *** was refused")


@pytest.mark.parametrize(
    "tables",
    [
        {"models": {"m": {"use": "scripted/echo", "headers": {"X-Team": SECRET}}}},
        {"mcp": {"demo": {"command": "demo", "env": {"DEMO": SECRET}}}},
        {"mcp": {"demo": {"url": "http://demo.example", "headers": {"Authorization": f"Bearer {SECRET}"}}}},
        {"mcp": {"demo": {"url": f"http://team:{SECRET}@demo.example"}}},
        {"models": {"m": {"use": "scripted/echo", "params": {"extra_headers": {"X-Key": SECRET}}}}},
    ],
)
def test_what_is_secret_in_a_config_is_struck_out_of_errors(tables: dict[str, Any]) -> None:
    held = agent(**tables)
    assert held.config
    assert str(ToolError(f"no luck with {SECRET}")) == "no luck with ***"


def test_a_key_of_the_environment_is_struck_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    held = agent()
    assert held.config
    assert str(ToolError(f"no luck with {SECRET}")) == "no luck with ***"


MODULE = """
class Made:
    def __init__(self, token):
        raise RuntimeError(f"no luck with {token}")

    def onRunStart(self, session, ctx):
        pass


class Hooked:
    def __init__(self, token):
        self.token = token

    def onRunStart(self, session, ctx):
        raise RuntimeError(f"no luck with {self.token}")
"""
FAILS_ON_IMPORT = """
import os

raise RuntimeError("no luck with " + os.environ["SHOP_TOKEN"])
"""


@pytest.mark.parametrize(
    ("use", "source"),
    [("fails_made.Made", MODULE), ("fails_hooked.Hooked", MODULE), ("fails_imported.Made", FAILS_ON_IMPORT)],
)
def test_no_command_tells_a_secret_that_a_users_module_raises(
    use: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    monkeypatch.setenv("AUWGENT_DEBUG", "1")
    (tmp_path / use).with_suffix(".py").write_text(source)
    file = tmp_path / "auwgent.toml"
    file.write_text(
        f'middleware = ["auwgent.middleware.SQLModelSessions", {{ use = "{use}", token = "${{SHOP_TOKEN}}" }}]\n'
        '[agent]\nmodel = "scripted/echo"\n'
    )
    for command in (["run", "Hi"], ["run", "--json", "Hi"], ["check"]):
        failed = main([*command, "-c", str(file)]) != 0
        told = "".join(capsys.readouterr())
        assert SECRET not in told
        assert not failed or "no luck with ***" in told
    for stored in tmp_path.glob(".auwgent/*"):
        assert SECRET.encode() not in stored.read_bytes()
