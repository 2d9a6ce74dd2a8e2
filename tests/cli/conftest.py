from pathlib import Path

import pytest

from tests.support.command import Command


@pytest.fixture
def auwgent(tmp_path: Path) -> Command:
    """`auwgent` in an empty folder."""
    return Command(tmp_path)
