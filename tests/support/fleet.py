"""Workers as users start them, on a PostgreSQL database of the test's own, and a checker that looks from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import tomli_w

from auwgent import Runtime
from auwgent.session import new_id
from tests.support.databases import POSTGRES

ROOT = Path(__file__).parents[2]
REPLIES = [
    {"when": "buy", "tool_calls": [{"name": "charge", "args": {}}], "delay": 0.1},
    {"when": "refund", "tool_calls": [{"name": "refund", "args": {}}]},
    {"when": "crash", "tool_calls": [{"name": "crash", "args": {}}]},
    {"result": "", "text": "All done: {result}", "delay": 0.1},
    {"when": "slow", "text": "word " * 40, "pause": 0.1},
    {"when": "hang", "text": "at last", "delay": 60},
    {"text": "You said {user}"},
]


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database of its own: an engine has tables of its own there."""
    name = f"auwgent_{new_id()}"
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {error}")
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRES.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def config(url: str, folder: Path, **queue: Any) -> Path:
    """A config file with a queue, whose tools note what they do in `tools.log`."""
    tree: dict[str, Any] = {
        "middleware": [{"use": "auwgent.middleware.SQLModelSessions", "url": url}],
        "agent": {
            "model": "main",
            "tools": [
                {"use": "tests.support.fleet_tools.crash", "idempotent": True},
                "tests.support.fleet_tools.charge",
                {"use": "tests.support.fleet_tools.refund", "approve": "ask"},
            ],
        },
        "models": {"main": {"use": "scripted/main", "retries": 0, "params": {"replies": REPLIES}}},
        "imports": {"path": [str(ROOT)]},
        "queue": {"lease": "2s", **queue},
        "serve": {"drain": 20},
    }
    path = folder / "auwgent.toml"
    path.write_text(tomli_w.dumps(tree))
    return path


class Fleet:
    """A config, and the workers that were started with it. What is left is killed at the end."""

    def __init__(self, url: str, folder: Path, **queue: Any) -> None:
        self.url, self.folder = url, folder
        self.path = config(url, folder, **queue)
        self.log = folder / "tools.log"
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def env(self) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("AUWGENT_")}
        return {**ours, "TOOL_LOG": str(self.log)}

    def agent(self) -> Runtime[Any]:
        """The agent in this process, to submit with."""
        os.environ.setdefault("TOOL_LOG", str(self.log))
        return Runtime(self.path)

    def start(
        self, *args: str, program: Sequence[str] = ("-m", "auwgent"), before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it takes runs. What it says is in a file of its number."""
        line = [*before, sys.executable, *program, "worker", "-c", str(self.path), *args]
        said = self.folder / f"worker-{len(self.workers)}.log"
        with said.open("wb") as file:
            worker = subprocess.Popen(line, cwd=self.folder, env=self.env, stderr=file)
        self.workers.append(worker)
        end = time.monotonic() + 60
        while "takes runs" not in said.read_text():
            assert worker.poll() is None, said.read_text()
            assert time.monotonic() < end, "it does not take runs"
            time.sleep(0.05)
        return worker

    def end(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()

    def noted(self) -> list[list[str]]:
        """What the tools have noted: run, tool, start or end, process."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def starts(self, tool: str = "charge") -> Counter[str]:
        """How often a tool began, by run."""
        return Counter(line[0] for line in self.noted() if line[1:3] == [tool, "start"])

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def runs(self) -> dict[str, str]:
        """How each run stands, by its id."""
        return dict(self.query("SELECT id, status FROM auwgent_runs"))

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until that holds."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"never: {self.runs()}"
            time.sleep(0.05)
        return found

    def until_begun(self, count: int) -> None:
        """Wait until so many runs have charged a card."""
        self.until(lambda: len(self.starts()) >= count)

    def check(self, accepted: Mapping[str, str]) -> None:
        """Look from outside: each accepted run ended once, in its place, and no tool began twice."""
        runs = self.query(
            "SELECT r.id, r.status, r.no, s.id, r.ended_at FROM auwgent_runs r JOIN auwgent_sessions s "
            "ON s.no = r.session_no ORDER BY r.no"
        )
        found = {run: status for run, status, *_ in runs}
        assert {run: found.get(run) for run in accepted} == dict.fromkeys(accepted, "completed")
        doubled = {run: count for run, count in self.starts().items() if count > 1}
        assert not doubled, f"begun twice: {doubled}"
        turns = self.query(
            "SELECT r.id, t.role, t.body, s.id FROM auwgent_turns t JOIN auwgent_runs r ON r.no = t.run_no "
            "JOIN auwgent_sessions s ON s.no = t.session_no ORDER BY t.session_no, t.seat, t.no"
        )
        said = Counter(run for run, role, *_ in turns if role == "user")
        assert said == Counter(list(accepted)), "each input is in its session once"
        for session in set(accepted.values()):
            order = [run for run, role, _, of in turns if role == "user" and of == session]
            assert order == [run for run in accepted if accepted[run] == session], f"order in {session}"
            last = [
                json.loads(body) for run, role, body, of in turns if of == session and role == "assistant"
            ]
            assert last, session


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet without workers yet."""
    with database() as url:
        made = Fleet(url, tmp_path)
        try:
            yield made
        finally:
            made.end()
