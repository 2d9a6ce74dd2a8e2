"""Options of pytest for what `auwgent.testing.auwgent_tests` makes. Loaded with each pytest: imports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the tests that `auwgent_tests` makes."""
    group = parser.getgroup("auwgent", "tests of Auwgent agents")
    group.addoption("--auwgent-record", action="store_true", help="Run for real, and write the tapes.")
    group.addoption("--auwgent-live", action="store_true", help="Run tests without a tape for real, too.")
