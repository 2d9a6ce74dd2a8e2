"""A command ends its process at once, and nothing is lost by it."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

CONFIG = """
middleware = ["left.Left"]
[agent]
model = "scripted/echo"
prompt = "You help."
"""
LEFT = """
import atexit, gzip, io, logging, threading, time
from logging.handlers import MemoryHandler
from pathlib import Path

here = Path(__file__).parent
opened = (here / "opened.txt").open("w")
opened.write("left open")
packed = gzip.open(here / "packed.gz", "wt")
packed.write("left open")
raw = io.BufferedWriter(io.FileIO(here / "raw.txt", "w"))
raw.write(b"left open")
memory = MemoryHandler(1000, target=logging.FileHandler(here / "log.txt"))
logging.getLogger("left").addHandler(memory)
logging.getLogger("left").error("left in memory")


def later():
    time.sleep(0.3)
    (here / "thread.txt").write_text("done")


threading.Thread(target=later).start()
atexit.register(lambda: (here / "atexit.txt").write_text("done"))


class Left:
    async def onRunStart(self, session, ctx): ...
"""


def test_what_the_users_code_left_to_the_end_of_the_process_is_done(tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    (tmp_path / "left.py").write_text(LEFT)
    done = subprocess.run(
        [sys.executable, "-m", "auwgent", "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("auwgent.toml: no problems found; no model was asked, --online does\n")
    assert (tmp_path / "opened.txt").read_text() == (tmp_path / "raw.txt").read_text() == "left open"
    assert gzip.decompress((tmp_path / "packed.gz").read_bytes()) == b"left open"
    assert (tmp_path / "log.txt").read_text() == "left in memory\n"
    assert (tmp_path / "thread.txt").read_text() == (tmp_path / "atexit.txt").read_text() == "done"


@pytest.mark.parametrize(
    "around", [["-m", "cProfile", "-o", "profile"], ["-m", "trace", "--count", "-C", "profile"]]
)
def test_what_looks_at_the_process_comes_to_its_end(around: list[str], tmp_path: Path) -> None:
    command = [sys.executable, *around, "--module" if "trace" in around else "-m", "auwgent", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "profile").exists()


def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auwgent"]
    assert subprocess.run([*command, "check"], cwd=tmp_path, capture_output=True, check=False).returncode == 2
    done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
