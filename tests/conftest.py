"""How the suite runs: what is quick, what is random, and what a skipped test means."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from typing import Any, TypeVar

import hypothesis
import pytest

# Who runs the tests in the background has made them, and so each process that they start, deaf to these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples for everybody, so that a newcomer's run is green or red as it is everywhere.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("fixed"), max_examples=20)
hypothesis.settings.register_profile("random", deadline=None, print_blob=True)

# Fixtures that start processes of their own, or talk to a server.
STARTS_PROCESSES = {"aimock", "auwgent", "chat", "talk", "smollm2", "wheels"}
STARTING = ("postgresql", "litellm-", "litellm]")  # in the parameters of a test
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only what starts no process and loads no LiteLLM")
    parser.addoption(
        "--random", action="store_true", help="other examples in each run, where tests make their own"
    )


def pytest_configure(config: pytest.Config) -> None:
    profile = next((name for name in ("random", "quick") if config.getoption(name)), "fixed")
    hypothesis.settings.load_profile(profile)
    # Keys that whoever runs the tests has kept are none of theirs.
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="auwgent-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)
    if config.getoption("quick"):
        sys.addaudithook(_refuse_processes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & STARTS_PROCESSES or any(name in item.name for name in STARTING):
            item.add_marker("process")
    if config.getoption("quick"):
        slow = [item for item in items if any(item.get_closest_marker(name) for name in ("process", "clock"))]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep the quick tests quick: say so where one is not."""
    starts = event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec")
    if starts or (event == "import" and arguments[0] == "litellm"):
        what = "loads LiteLLM" if event == "import" else "starts a process"
        raise AssertionError(f"this test {what}: mark it with @pytest.mark.process")


def _skip_is_failure(report: Report) -> Report:
    expected_to_fail = hasattr(report, "wasxfail")
    if os.environ.get("AUWGENT_NO_SKIP") and report.skipped and not expected_to_fail:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"AUWGENT_NO_SKIP is set, but this was skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _skip_is_failure(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _skip_is_failure(report)


@pytest.fixture
def no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process moves its beat, whose statements come at their own times, where statements are counted."""
    monkeypatch.setattr("auwgent.store.heart.SECONDS", 3600.0)
