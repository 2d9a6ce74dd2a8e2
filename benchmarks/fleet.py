"""What a queue costs, and what it withstands: `./dev python benchmarks/fleet.py --runs 300 --workers 4`.

Needs a PostgreSQL server (`--url`), in which it makes a database and drops it again, and `auwgent[queue]`. Each run is
model, tool, model, in a session of its own. It is compared with one process without a queue on the same database, and
with a raw loop of the engine: as many workflows that do nothing. Then workers are killed, stopped and drained while
runs are under way, and a checker looks from outside, in the tools' log and in the stored turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import tomli_w

from auwgent import Runtime
from auwgent.session import new_id

TOOLS = '''
import asyncio, os
LOG = os.open(os.environ["TOOL_LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

async def charge(ctx) -> str:
    """Charge the card."""
    os.write(LOG, f"{ctx.runId}\\n".encode())
    await asyncio.sleep(0.02)
    return "charged"
'''
ENGINE = """
import asyncio, sys, time
from auwgent.fleet.dbos import Dbos
async def work(job):
    pass
async def main():
    engine = Dbos(sys.argv[1])
    engine.take(sys.argv[2], {"auwgent/1/Main/": 0.2}, 20, work)
    await asyncio.sleep(3600)
asyncio.run(main())
"""
TICKS = os.sysconf("SC_CLK_TCK")


class Bench:
    """A database, a config, and the processes on it."""

    def __init__(self, url: str, folder: Path, delay: float) -> None:
        self.url, self.folder, self.log = url, folder, folder / "tools.log"
        (folder / "bench_tools.py").write_text(TOOLS)
        replies = [
            {"when": "buy", "tool_calls": [{"name": "charge", "args": {}}], "delay": delay},
            {"result": "", "text": "All done: {result}", "delay": delay},
        ]
        self.config = folder / "auwgent.toml"
        self.config.write_text(
            tomli_w.dumps(
                {
                    "middleware": [{"use": "auwgent.middleware.SQLModelSessions", "url": url}],
                    "agent": {"model": "main", "tools": ["bench_tools.charge"]},
                    "models": {
                        "main": {"use": "scripted/main", "retries": 0, "params": {"replies": replies}}
                    },
                    "queue": {},
                    "serve": {"drain": 5},
                }
            )
        )
        self.env = {**os.environ, "TOOL_LOG": str(self.log)}
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, *line: str) -> subprocess.Popen[bytes]:
        said = self.folder / f"said-{len(self.workers)}"
        line = line or ("-m", "auwgent", "worker", "-c", str(self.config))
        with said.open("wb") as file:
            worker = subprocess.Popen([sys.executable, *line], cwd=self.folder, env=self.env, stderr=file)
        self.workers.append(worker)
        while line[0] == "-m" and b"takes runs" not in said.read_bytes():
            assert worker.poll() is None, said.read_text()
            time.sleep(0.05)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.workers = []

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        end = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=3) as connection:
                    return connection.execute(statement, values).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def commits(self) -> int:
        time.sleep(1.2)  # the server counts a little late
        return int(
            self.query("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][0]
        )

    def cpu(self) -> float:
        """Seconds that the workers have been at work."""
        used = 0
        for worker in self.workers:
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
                used += int(fields[11]) + int(fields[12])
        return used / TICKS

    def megabytes(self) -> list[int]:
        found = []
        for worker in self.workers:
            with contextlib.suppress(OSError):
                pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
                found.append(pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000)
        return found

    async def submit(self, count: int, prefix: str, sessions: int | None = None) -> dict[str, str]:
        accepted: dict[str, str] = {}
        os.environ["TOOL_LOG"] = str(self.log)
        async with Runtime(self.config) as agent:
            at_once = asyncio.Semaphore(8)

            async def one(number: int) -> None:
                async with at_once:
                    session = f"{prefix}s{number % (sessions or count)}"
                    accepted[f"{prefix}{number}"] = session
                    await agent.submit("buy", session_id=session, run_id=f"{prefix}{number}")

            if sessions is None:
                await asyncio.gather(*map(one, range(count)))
            else:  # in their order
                for number in range(count):
                    await one(number)
        return accepted

    def is_over(self, prefix: str, count: int) -> bool:
        over = "SELECT count(*) FROM auwgent_runs WHERE id LIKE %s AND ended_at IS NOT NULL"
        return int(self.query(over, f"{prefix}%")[0][0]) >= count

    def until_over(self, prefix: str, count: int, seconds: float = 900) -> float:
        began = time.monotonic()
        while not self.is_over(prefix, count):
            assert time.monotonic() - began < seconds, "they do not end"
            time.sleep(0.1)
        return time.monotonic() - began

    def check(self, accepted: dict[str, str], prefix: str) -> str:
        """What the log of the tools and the stored turns tell of these runs."""
        runs = dict(self.query("SELECT id, status FROM auwgent_runs WHERE id LIKE %s", f"{prefix}%"))
        starts = Counter(line for line in self.log.read_text().split() if line.startswith(prefix))
        turns = self.query(
            "SELECT r.id, t.role, s.id, t.body FROM auwgent_turns t JOIN auwgent_runs r ON r.no = t.run_no JOIN "
            "auwgent_sessions s ON s.no = t.session_no WHERE r.id LIKE %s ORDER BY t.session_no, t.seat, t.no",
            f"{prefix}%",
        )
        said = [(run, session) for run, role, session, _ in turns if role == "user"]
        order = {name: [run for run in accepted if accepted[run] == name] for name in set(accepted.values())}
        wrong = sum([run for run, of in said if of == name] != order[name] for name in order)
        return (
            f"accepted {len(accepted)}, completed {sum(one == 'completed' for one in runs.values())}, "
            f"lost {len(accepted.keys() - runs.keys())}, tools begun twice {sum(n > 1 for n in starts.values())}, "
            f"inputs twice {len(said) - len({run for run, _ in said})}, sessions out of order {wrong}, "
            f"outcome unknown {sum('unknown' in body for *_, body in turns)}"
        )


def measured(bench: Bench, args: argparse.Namespace) -> None:
    """Runs a second, CPU and commits a run: without a queue, with it, and of the engine alone."""
    before = bench.commits()
    plain = asyncio.run(_plain(bench, args.runs))
    rate = args.runs / plain[0]
    per_run = (bench.commits() - before) / args.runs
    cost = f"{1e3 * plain[1] / args.runs:.1f} CPU ms, {per_run:.1f} commits a run"
    print(f"one process, no queue: {rate:.1f} runs/s, {cost}", flush=True)
    for _ in range(args.workers):
        bench.start()
    warm = 20 * args.workers  # as the one process was, each has done a few
    asyncio.run(bench.submit(warm, "warm-"))
    bench.until_over("warm-", warm)
    before, cpu, began = bench.commits(), bench.cpu(), time.monotonic()
    asyncio.run(bench.submit(args.runs, "f-"))
    accepted = time.monotonic() - began
    bench.until_over("f-", args.runs)
    took, used = time.monotonic() - began, bench.cpu() - cpu
    per_run = (bench.commits() - before) / args.runs
    print(
        f"{args.workers} workers: {args.runs / took:.1f} runs/s ({args.runs / took / rate:.2f} of the plain process), "
        f"submitted in {accepted:.1f} s, {1e3 * used / args.runs:.1f} CPU ms, {per_run:.1f} commits a run, "
        f"{bench.megabytes()} MB"
    )
    bench.stop()
    asyncio.run(_raw(bench, args))
    bench.stop()


async def _plain(bench: Bench, count: int) -> tuple[float, float]:
    os.environ["TOOL_LOG"] = str(bench.log)
    async with Runtime(bench.config) as agent:
        await agent.run("buy")
        at_once = asyncio.Semaphore(80)

        async def one(number: int) -> None:
            async with at_once:
                await agent.run("buy", session_id=f"p{number}", run_id=f"p-{number}")

        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*map(one, range(count)))
        return time.monotonic() - began, time.process_time() - cpu


async def _raw(bench: Bench, args: argparse.Namespace) -> None:
    """As many jobs of the engine that do nothing, handed over as runs are."""
    from auwgent.fleet.dbos import Dbos
    from auwgent.store.line import Job

    for number in range(args.workers):
        bench.start("-c", ENGINE, bench.url, f"raw{number}")
    async with Runtime(bench.config) as agent:
        engine = Dbos(bench.url)
        jobs = [f"raw-{new_id()}" for _ in range(args.runs)]
        before, began = bench.commits(), time.monotonic()
        for job in jobs:
            await agent.queue.write(partial(engine.hand, jobs=[Job(job, "auwgent/1/Main/", 0)]))
        await asyncio.to_thread(_taken, engine, jobs)
        took = time.monotonic() - began
        per_job = (bench.commits() - before) / args.runs
        print(f"the engine alone: {args.runs / took:.1f} jobs/s, {per_job:.1f} commits a job")
        engine.close()


def _taken(engine: Any, jobs: list[str]) -> None:
    while engine.waiting(jobs):
        time.sleep(0.1)


def withstood(bench: Bench, args: argparse.Namespace) -> None:
    """What comes of the runs where workers die, stop and are drained."""
    for name in ("stopped for 12 s", "kill -9", "drained"):
        for turn in range(args.repeat):
            prefix = f"{name[:4].strip()}{turn}-"
            workers = [bench.start() for _ in range(args.workers)]
            began = time.monotonic()
            accepted = asyncio.run(bench.submit(args.runs, prefix, sessions=max(1, args.runs // 5)))
            worker = random.choice(workers)
            while not bench.query(
                "SELECT 1 FROM auwgent_runs WHERE worker IS NOT NULL AND status = 'running'"
            ):
                time.sleep(0.02)
            hit = time.monotonic()
            held = _hit(bench, name, worker, workers.index(worker))
            took = _taken_over(bench, held, hit)
            if name.startswith("stopped"):
                time.sleep(max(0.0, 12 - (time.monotonic() - hit)))
                worker.send_signal(signal.SIGCONT)
            bench.until_over(prefix, args.runs)
            print(
                f"{name}, {len(held)} under way, the last went on after {took:.1f} s: {bench.check(accepted, prefix)}; "
                f"{time.monotonic() - began:.1f} s in all"
            )
            bench.stop()


def _hit(bench: Bench, name: str, worker: subprocess.Popen[bytes], place: int) -> list[tuple[str, int]]:
    numbers = [
        row[0]
        for row in bench.query(
            "SELECT no FROM auwgent_workers WHERE takes IS NOT NULL ORDER BY seen_at DESC, no"
        )
    ]
    mine = sorted(numbers[: len(bench.workers)])[place]
    if name == "drained":
        worker.terminate()
        return []
    worker.send_signal(signal.SIGKILL if name == "kill -9" else signal.SIGSTOP)
    return [
        (str(run), int(attempt))
        for run, attempt in bench.query(
            "SELECT id, attempt FROM auwgent_runs WHERE status = 'running' AND worker = %s", mine
        )
    ]


def _taken_over(bench: Bench, held: list[tuple[str, int]], since: float) -> float:
    left = dict(held)
    while left and time.monotonic() - since < 60:
        rows = bench.query("SELECT id, attempt, status FROM auwgent_runs WHERE id = ANY(%s)", list(left))
        for run, attempt, status in rows:
            if attempt > left[run] or status not in ("running", "queued"):
                del left[run]
        time.sleep(0.05)
    return time.monotonic() - since if held else 0.0


def waiting(bench: Bench, args: argparse.Namespace) -> None:
    """Many runs that wait: how they are accepted, and another user's run behind them."""
    began = time.monotonic()
    asyncio.run(bench.submit(args.waiting, "w-"))
    took = time.monotonic() - began
    print(f"{args.waiting} waiting: accepted {args.waiting / took:.0f} a second")
    for _ in range(args.workers):
        bench.start()
    sizes = bench.megabytes()

    async def other() -> float:
        since = time.monotonic()
        async with Runtime(bench.config) as agent:
            ticket = await agent.submit("buy", session_id="x", user_id="other")
            await ticket.result()
        return time.monotonic() - since

    print(f"another user's run among them was over after {asyncio.run(other()):.1f} s")
    began = time.monotonic()
    bench.until_over("w-", args.waiting, 3600)
    took = time.monotonic() - began
    print(f"drained at {args.waiting / took:.1f} runs/s; workers {sizes} -> {bench.megabytes()} MB")
    bench.stop()


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    name = f"auwgent_bench_{new_id()[:8]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each failure; 0: none")
    parser.add_argument("--waiting", type=int, default=0, help="runs that wait at once; 0: not tried")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds of a model call")
    args = parser.parse_args()
    with database(args.url) as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder), args.delay)
        try:
            measured(bench, args)
            withstood(bench, args)
            if args.waiting:
                waiting(bench, args)
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
