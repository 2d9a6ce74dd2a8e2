from pathlib import Path

import pytest

from tests.support.command import Command


@pytest.fixture
def auwgent(tmp_path: Path) -> Command:
    """`auwgent` in an empty folder."""
    return Command(tmp_path)


@pytest.fixture
def store(folder: Path) -> Path:
    """Where the sessions of the module's `folder` are kept, as they are by default."""
    config = folder / "auwgent.toml"
    config.write_text(config.read_text().replace("middleware = []", ""))
    return folder / ".auwgent"
