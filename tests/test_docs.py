"""What the README and the docs say runs: each config block loads, each Python block and command is executed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auwgent.config import load
from auwgent.config.trials import read_tests
from tests.support import forks

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# (\S+\.(?:py|toml|md|json))\n")
NAMES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "TEAM_KEY", "AUWGENT_SESSIONS_KEY")
KEYS = dict.fromkeys(NAMES, "a-key")
DRY = {"AUWGENT_AGENT__MODEL": "scripted/echo"}  # nothing here may cost money or need a network
ELSEWHERE = (
    "./dev",
    "pip",
    "apt-get",
    "export",
    "auwgent model pull",
    "auwgent keys",
    "auwgent run -m openai/",
)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, value in {**KEYS, **DRY, "AUWGENT_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):  # pages use the same names for their own modules
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_works(page: Path, folder: Path) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    for language, text in blocks(page):
        named = NAMED.match(text)
        if named is not None:
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(text, encoding="utf-8")
        if named is not None and named[1].startswith("tests/"):
            assert read_tests(folder / named[1])[1]
        elif language == "toml":
            _loads(folder, text)
        elif language == "python" and named is None:
            with pytest.MonkeyPatch.context() as patch:
                if '"scripted/' in text or "scripted(" in text:  # it costs nothing by itself
                    patch.delenv("AUWGENT_AGENT__MODEL", raising=False)
                _runs(page, text, names)
        elif language == "console":
            _commands_work(folder, text)


def test_a_page_has_only_blocks_that_are_checked_or_shown() -> None:
    shown = {"toml", "python", "console", "json", "text", "sh", "diff"}
    for page in PAGES:
        assert {language for language, _ in blocks(page)} <= shown, page


def _loads(folder: Path, text: str) -> None:
    file = folder / "block.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file, environ={**KEYS}).agent.model


def _runs(page: Path, text: str, names: dict[str, object]) -> None:
    code = compile(text, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:

        async def run() -> None:
            await eval(code, names)

        asyncio.run(run())
    else:
        exec(code, names)


def _commands_work(folder: Path, text: str) -> None:
    for line in text.splitlines():
        if not line.startswith("$ ") or line[2:].startswith(ELSEWHERE):
            continue
        words = shlex.split(line[2:], comments=True)
        if words[:2] == ["auwgent", "init"] and (folder / "auwgent.toml").exists():
            continue  # it never overwrites
        assert words[0] == "auwgent", f"not a command of ours: {line}"
        env = {**os.environ, "NO_COLOR": "1"}
        done = forks.run(["-m", *words], stdin="", cwd=folder, env=env, litellm=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_list_of_pages_for_models_is_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "llms.py", "--check"], check=False)
    assert done.returncode == 0, "run: ./dev python scripts/llms.py"


def test_every_link_leads_somewhere() -> None:
    """Of pages to each other and to files; in README they are those of the package page."""
    base = "https://github.com/auwgent/auwgent/blob/main/"
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            if page.name == "README.md":
                assert "://" in target, f"README.md is a package page, too: {target} should be absolute"
            assert not target.startswith("../"), (
                f"{page.name}: {target} is no part of the site, so it should be absolute"
            )
            if "://" in path and not path.startswith(base):
                continue
            file = ROOT / path.removeprefix(base) if path.startswith(base) else page.parent / path
            file = file if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor and file.suffix == ".md":
                titles = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
                slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in slugs, f"{page.name}: {target}"


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of the client that Starlette's test client is made of
def test_both_endpoints_of_the_page_on_streaming_stream(folder: Path) -> None:
    from starlette.testclient import TestClient

    apps: list[Any] = []
    names: dict[str, object] = {"__name__": "docs"}
    page = ROOT / "docs" / "stream-to-a-browser.md"
    for language, text in blocks(page):
        if language == "python":
            _runs(page, text, names)
            apps.append(names["app"])
    assert [type(app).__name__ for app in apps] == ["Starlette", "FastAPI"]
    for number, app in enumerate(apps):
        with TestClient(app) as client:
            answer = client.post("/chat", json={"text": "Hello", "session": f"s{number}"})
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
        assert answer.headers["content-type"].startswith("text/event-stream")
        said = [
            one["value"]["text"]
            for one in events
            if (one["event"], one["name"]) == ("intent", "response_text")
        ]
        assert said == ["You said: Hello"]
