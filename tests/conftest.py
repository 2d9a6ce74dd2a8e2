"""In CI a test that is skipped has failed: nothing may go untested unnoticed. Signals are as on a terminal."""

import os
import signal
from collections.abc import Generator
from typing import TypeVar

import pytest

# Who runs the tests in the background has made them, and so each process that they start, deaf to these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


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
