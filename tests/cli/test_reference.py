"""docs/cli.md says what the commands say."""

import subprocess
import sys
from pathlib import Path

import pytest

from auwgent.cli.chat.slash import COMMANDS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.process
def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "cli_help.py", "--check"], check=False)
    assert done.returncode == 0, "run: ./dev python scripts/cli_help.py"


def test_the_page_tells_of_every_command_of_a_chat() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [command.name for command in COMMANDS if f"| `/{command.name}" not in page] == []
