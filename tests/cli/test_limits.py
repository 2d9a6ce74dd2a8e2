"""The time of a run is the run's own."""

from pathlib import Path

from tests.support.command import Command

CONFIG = """
middleware = []

[agent]
model = "cohere_chat/command-r"

[api_keys]
cohere_chat = "of-nobody"

[limits]
seconds = 1
"""
SLOW = 'import time\n\ntime.sleep(1.1)\nraise ImportError("this one is of the test")\n'


def test_limits_seconds_does_not_count_the_import_of_litellm(tmp_path: Path, auwgent: Command) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "litellm.py").write_text(SLOW)
    told = auwgent("run", "Hi", env={"PYTHONPATH": str(slow)}).stderr
    assert "this one is of the test" in told
    assert "limits.seconds" not in told
