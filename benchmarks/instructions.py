"""What things cost in instructions, each as a multiple of its floor: the same on a busy machine as on a quiet one.

`./dev python benchmarks/instructions.py` needs valgrind, whose callgrind counts; `./dev check` runs it where that is
installed, and fails where something costs more than it may. The limits have room for what differs between versions of
Python and of the libraries.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import run
from worker import contestant

AT_ONCE = 2  # processes
MORE = 4  # times that an operation is done besides the first
WARM = {  # by model: what it is, the contestant, and the most that it may cost
    "text": ("a turn", "auwgent direct", 9.5),
    "pieces-100": ("a streamed answer of 100 pieces", "auwgent direct", 115.0),
    "tools-10": ("ten tool calls with a store", "auwgent direct, full", 210.0),
}
CONFIG = '[agent]\nmodel = "openai/gpt-5-mini"\nprompt = "You help."\n[api_keys]\nopenai = "sk-x"\n'


@dataclass(frozen=True, slots=True)
class Ratio:
    """What something costs as a multiple of its floor, and the most that it may."""

    title: str
    own: int
    floor: int
    limit: float

    @property
    def value(self) -> float:
        """How many times its floor it costs."""
        return self.own / self.floor

    def __str__(self) -> str:
        return f"{self.title:<44} {self.own / 1e6:8.2f} M = {self.value:5.2f} of at most {self.limit:5.2f}"


def is_there() -> bool:
    """Return whether instructions can be counted here."""
    return shutil.which("valgrind") is not None


def counted(command: Sequence[str], folder: Path | None = None) -> int:
    """Return the instructions of a process, once its modules are compiled."""
    environ = {**os.environ, **run.QUIET, "PYTHONHASHSEED": "0", "PYTHONPATH": str(run.HERE.parent)}
    environ.pop(run.WITHOUT_BYTECODE, None)
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True)
    count = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
    done = subprocess.run(count, text=True, cwd=folder, env=environ, capture_output=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


def cold() -> Iterator[Ratio]:
    """New processes."""

    def python(code: str) -> int:
        return counted([sys.executable, "-c", code])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "auwgent.toml").write_text(CONFIG, encoding="utf-8")

        def auwgent(words: str) -> int:
            return counted([sys.executable, "-m", "auwgent", *words.split()], folder=folder)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            own = pool.map(auwgent, ("check", "--help", "run --help"))
            floors = pool.map(python, ("import click, pydantic_settings", "import click"))
            check, help_, run_help = own
            settings, click = floors
        yield Ratio("auwgent --help ÷ import click", help_, click, 1.6)
        yield Ratio("auwgent run --help ÷ import click", run_help, click, 1.8)
        yield Ratio("auwgent check ÷ import click, pydantic_settings", check, settings, 2.1)


def warm() -> Iterator[Ratio]:
    """What is done again and again in one process. All is done once; what one more of each takes is its cost."""
    with run.provider() as url:

        def cost(module: str, names: Mapping[str, str]) -> dict[str, int]:
            def taken(more: str) -> int:
                work = [f"{name}={model}={1 + MORE * (model == more)}" for model, name in names.items()]
                return counted([sys.executable, __file__, url, module, *work])

            with ThreadPoolExecutor(AT_ONCE) as pool:
                once, *more = pool.map(taken, ("", *names))
            return {model: (count - once) // MORE for model, count in zip(names, more, strict=True)}

        floor = cost("floors", {"text": "aiohttp"})["text"]
        own = cost("ours", {model: name for model, (_, name, _) in WARM.items()})
        for model, (title, _, limit) in WARM.items():
            yield Ratio(f"{title} ÷ a turn over aiohttp", own[model], floor, limit)


async def work(url: str, module: str, given: Sequence[str]) -> None:
    """Do operations of contestants, each as often as `name=model=count` says."""
    for name, model, count in (one.split("=") for one in given):
        operation = await contestant(module, name)(model, url)
        for _ in range(int(count)):
            await operation()


def main() -> int:
    """Print what things cost; gives the exit code, 1 where one costs more than it may."""
    ratios = []
    for ratio in (*cold(), *warm()):
        print(ratio, flush=True)
        ratios.append(ratio)
    wrong = [ratio.title for ratio in ratios if ratio.value > ratio.limit]
    if wrong:
        print(f"costs more than it may: {', '.join(wrong)}", file=sys.stderr)
    return len(wrong[:1])


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(work(sys.argv[1], sys.argv[2], sys.argv[3:]))
    else:
        sys.exit(main() if is_there() else "this needs valgrind")
