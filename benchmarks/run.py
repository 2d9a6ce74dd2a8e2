"""Auwgent beside what it could at best be, and beside others, in one run against one provider on this machine.

`./dev python benchmarks/run.py --floors` takes minutes and compares with LiteLLM, the openai package and aiohttp;
without `--floors`, other frameworks are installed, each into an environment of its own outside of the project, and
take part. All contestants are alive at the same time and take turns, so that a busy machine slows all of them;
what counts are CPU seconds of their processes, and of those the ratios within one round. The figures go to
standard output as Markdown, `--plot FILE` draws them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parent))

import environments
import plot

HERE = Path(__file__).parent
# What LiteLLM is spared in every contestant's process: its downloads at the start.
QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_LOG": "ERROR",
    "OPENAI_API_KEY": "sk-x",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
WITHOUT_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # nobody measures this: what is installed has its bytecode
FLOORS = ("aiohttp", "openai", "litellm")
LLM = "llm"  # a command, no framework: new processes only
OWN = "auwgent run, direct"  # what others' new processes are compared with
OURS = (
    "auwgent direct",
    "auwgent direct, full",
    "auwgent litellm",
    "auwgent litellm, whole",
    "auwgent litellm, full",
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who takes part: a name in a module beside this one, run by some Python."""

    module: str
    name: str
    python: str = sys.executable

    def command(self, model: str, url: str) -> list[str]:
        """What starts its process."""
        return [self.python, str(HERE / "worker.py"), self.module, self.name, model, url]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, how often in a round, and what one figure is for."""

    model: str
    title: str
    count: int
    per: int = 1
    unit: str = "ms"


WARM = (
    Scenario("text", "one turn", 20),
    Scenario("tools-10", "ten tool calls, eleven turns", 3),
    Scenario("pieces-500", "a streamed piece", 2, per=500, unit="µs"),
)

Figures = dict[str, list[float]]  # name -> CPU seconds, one of each round


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """The address of a running provider."""
    command = [sys.executable, str(HERE / "provider.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


class Worker:
    """A contestant's process, warmed up."""

    def __init__(self, who: Contestant, model: str, url: str) -> None:
        self._process = subprocess.Popen(
            who.command(model, url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=tempfile.gettempdir(),
            env={**_environ(url), "PYTHONPATH": str(HERE.parent)},
        )

    @property
    def is_ready(self) -> bool:
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "ready\n"

    def measure(self, count: int) -> float:
        """CPU seconds of one operation."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline()) / count

    def stop(self) -> None:
        self._process.communicate()


def _environ(url: str) -> dict[str, str]:
    """What every contestant's process is told."""
    return {**os.environ, **QUIET, "OPENAI_BASE_URL": f"{url}/v1"}


def warm(scenario: Scenario, contestants: Sequence[Contestant], url: str, rounds: int) -> Figures:
    """All contestants in turns, after one round that does not count."""
    workers = {who.name: Worker(who, scenario.model, url) for who in contestants}
    for name in [name for name, worker in workers.items() if not worker.is_ready]:
        print(f"{name} cannot do {scenario.model}", file=sys.stderr)
        workers.pop(name).stop()
    figures: Figures = {name: [] for name in workers}
    for turn in range(rounds + 1):
        for name, worker in workers.items():
            seconds = worker.measure(scenario.count) / scenario.per
            if turn:
                figures[name].append(seconds)
    for worker in workers.values():
        worker.stop()
    return figures


def cold(commands: Mapping[str, Sequence[str]], folder: Path, url: str, rounds: int) -> Figures:
    """New processes in turns."""
    figures: Figures = {name: [] for name in commands}
    environ = {**_environ(url), "LLM_USER_PATH": str(folder)}
    environ.pop(WITHOUT_BYTECODE, None)
    for turn in range(rounds + 1):
        for name, command in commands.items():
            before = _used()
            subprocess.run(
                command, check=True, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True
            )
            if turn:
                figures[name].append(_used() - before)
    return figures


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cold_commands(folder: Path, url: str) -> dict[str, list[str]]:
    """Our commands, and the imports that are their floors."""

    def python(code: str) -> list[str]:
        return [sys.executable, "-c", code]

    def auwgent(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "auwgent", *arguments]

    for via in ("direct", "litellm"):
        (folder / f"{via}.toml").write_text(
            f'middleware = []\n[agent]\nmodel = "main"\nprompt = "You help."\n[models.main]\nuse = "openai/text"\n'
            f'via = "{via}"\napi_key = "sk-x"\nbase_url = "{url}"\n'
        )
    (folder / "auwgent.toml").write_text((folder / "direct.toml").read_text().partition("\n")[2])
    message = '[{"role": "user", "content": "Hello"}]'
    bare = f'model="openai/text", messages={message}, api_key="sk-x", api_base="{url}/v1"'
    return {
        "import click": python("import click"),
        "import auwgent": python("import auwgent"),
        "auwgent --help": auwgent("--help"),
        "import click, pydantic_settings": python("import click, pydantic_settings"),
        "auwgent check": auwgent("check"),
        "import click, pydantic_settings, sqlmodel": python("import click, pydantic_settings, sqlmodel"),
        "auwgent sessions list": auwgent("sessions", "list"),
        OWN: auwgent("run", "Hello", "-c", "direct.toml", "--no-stdin"),
        "auwgent run, direct, SQLite": auwgent("run", "Hello", "--no-stdin"),
        "bare litellm.acompletion": python(
            f"import asyncio, litellm; asyncio.run(litellm.acompletion({bare}))"
        ),
        "auwgent run, litellm": auwgent("run", "Hello", "-c", "litellm.toml", "--no-stdin"),
    }


def cold_peers(pythons: Mapping[str, str], folder: Path, url: str) -> dict[str, list[str]]:
    """One answer each: a script around the agent of the warm figures, and llm's own command."""
    (folder / "extra-openai-models.yaml").write_text(
        f"- {{model_id: text, model_name: text, api_base: {url}/v1}}\n"
    )
    commands = {who.name: who.command("text", url) for who in _peers(pythons)}
    if LLM in pythons:
        commands[LLM] = [pythons[LLM], "-m", "llm", "-m", "text", "--no-log", "Hello"]
    return commands


def _peers(pythons: Mapping[str, str]) -> list[Contestant]:
    return [Contestant("peers", name, python) for name, python in pythons.items() if name != LLM]


COLD_FLOORS = {
    "import auwgent": "import click",
    "auwgent --help": "import click",
    "auwgent check": "import click, pydantic_settings",
    "auwgent sessions list": "import click, pydantic_settings, sqlmodel",
    "auwgent run, litellm": "bare litellm.acompletion",
    OWN: "import click, pydantic_settings",
    "auwgent run, direct, SQLite": "import click, pydantic_settings, sqlmodel",
}


def ratios(figures: Figures, name: str, floor: str) -> list[float]:
    """Round by round."""
    return [own / other for own, other in zip(figures[name], figures[floor], strict=True)]


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """The median, and where the middle half lies."""
    low, _, high = quantiles(values, n=4)
    return f"{median(values) * scale:.{digits}f} ({low * scale:.{digits}f} to {high * scale:.{digits}f})"


def warm_table(scenario: Scenario, figures: Figures, floors: Sequence[str]) -> str:
    scale = {"ms": 1e3, "µs": 1e6}[scenario.unit]
    heads = ["", f"CPU {scenario.unit}", *(f"÷ {floor}" for floor in floors)]
    rows = [
        [name, spread(values, scale), *(spread(ratios(figures, name, floor)) for floor in floors)]
        for name, values in sorted(figures.items(), key=lambda item: median(item[1]))
    ]
    return f"\n### Warm: {scenario.title}\n\n{_markdown(heads, rows)}"


def cold_table(figures: Figures) -> str:
    rows = []
    for name, values in figures.items():
        floor = COLD_FLOORS.get(name, OWN if name in environments.PACKAGES else None)
        ratio = f"{spread(ratios(figures, name, floor))} × `{floor}`" if floor else ""
        rows.append([f"`{name}`", spread(values, 1e3, 0), ratio])
    return f"\n### Cold: a new process\n\n{_markdown(['', 'CPU ms', 'ratio'], rows)}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Auwgent beside its floors, and beside others.")
    parser.add_argument("--floors", action="store_true", help="without other frameworks")
    parser.add_argument("--rounds", type=int, default=7, help="how often everybody has a turn (7)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the warm ratios as SVG")
    parser.add_argument("--warm", action="store_true", help="leave out the new processes")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more: figures are shown with their spread")
    contestants = [Contestant("floors", name) for name in FLOORS] + [
        Contestant("ours", name) for name in OURS
    ]
    pythons = {} if options.floors else environments.install()
    contestants += _peers(pythons)
    drawn = []
    with provider() as url:
        if not options.warm:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                commands = {**cold_commands(folder, url), **cold_peers(pythons, folder, url)}
                print(cold_table(cold(commands, folder, url, options.rounds)), flush=True)
        for scenario in WARM:
            figures = warm(scenario, contestants, url, options.rounds)
            print(warm_table(scenario, figures, FLOORS[1:]), flush=True)
            bars = {name: median(ratios(figures, name, "openai")) for name in figures}
            drawn.append((scenario.title, bars))
    if options.plot:
        options.plot.write_text(plot.bars("CPU ÷ raw openai", drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
