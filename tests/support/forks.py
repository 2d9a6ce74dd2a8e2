"""Commands and scripts in forks of a process that has imported the package: real processes that start at once.

The server is this file run as a script: it imports, then forks for each request. A request is a JSON line with the
standard streams beside it; the answer is the exit status of the fork. Interpreters that start by themselves cost
0.1 s (`--help`) to 5 s (LiteLLM) each. What a test says about starting needs a real one: see `Command.alone`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

Done = subprocess.CompletedProcess[str]

# Heeded by the interpreter when it starts, so a fork comes too late for them.
OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG")
PRELOADED = (
    *("aiohttp", "docstring_parser", "jinja2", "jsonschema", "markdown_it", "prompt_toolkit", "rich.console"),
    *("rich.markdown", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite"),
    *("sqlmodel", "tree_sitter_toml"),
)
# Of the package all is imported but what makes the command, needs pytest, or loads a library of 0.3 s and more.
NOT_PRELOADED = ("auwgent.__main__", "auwgent.testing", "auwgent.models.local")


class Fork:
    """A running fork, as `subprocess.Popen` would describe it."""

    def __init__(self, request: Mapping[str, Any], streams: Sequence[int], *, litellm: bool) -> None:
        self.args = request["args"]
        self.returncode: int | None = None
        self._answers = socket.socket(socket.AF_UNIX)
        self._answers.connect(_server(litellm))
        socket.send_fds(self._answers, [json.dumps(request).encode() + b"\n"], list(streams))
        self._lines = self._answers.makefile()
        self.pid = int(self._lines.readline())

    def wait(self, timeout: float) -> int:
        """The exit code, or minus the signal that ended it."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = os.waitstatus_to_exitcode(int(self._lines.readline()))
            self._lines.close()
            self._answers.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None and not select.select([self._answers], [], [], 0)[0]:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self.send_signal(signal.SIGKILL)


def run(
    args: Sequence[str],
    *,
    stdin: str,
    cwd: Path,
    env: Mapping[str, str],
    litellm: bool = False,
    timeout: float = 180,
) -> Done:
    """Like `subprocess.run([sys.executable, *args])` with its output captured; `args` are `-m MODULE …` or `FILE …`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        reader, writer = os.pipe()
        try:
            request = {"args": list(args), "cwd": str(cwd), "env": dict(env)}
            fork = Fork(request, [reader, out.fileno(), err.fileno()], litellm=litellm)
        finally:
            os.close(reader)
        try:
            _write(writer, stdin.encode())
            code = fork.wait(timeout)
        finally:
            fork.kill()
        return Done(list(args), code, _text(out), _text(err))


def on_terminal(
    args: Sequence[str], terminal: int, *, cwd: Path, env: Mapping[str, str], litellm: bool
) -> Fork:
    """Leave it running in a session of its own, with this terminal as its controlling one."""
    request = {"args": list(args), "cwd": str(cwd), "env": dict(env), "terminal": True}
    return Fork(request, [terminal] * 3, litellm=litellm)


def can_take(env: Mapping[str, str]) -> bool:
    """Whether a fork can have this environment."""
    return _heeded(env) == _heeded(os.environ)


def _heeded(env: Mapping[str, str]) -> dict[str, str]:
    other = ("PYTHON", "PYTHONWARNINGS")  # the one is ours, the other the same in all forks
    return {key: env[key] for key in env if key.startswith(OF_THE_INTERPRETER) and key not in other}


def _write(writer: int, data: bytes) -> None:
    with os.fdopen(writer, "wb") as pipe:
        try:
            pipe.write(data)
            pipe.flush()
        except BrokenPipeError:  # it did not want to read
            return


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


@functools.cache
def _server(litellm: bool) -> str:
    """The address of a server for these tests; it ends with them."""
    folder = tempfile.TemporaryDirectory(prefix="forks-")
    address = str(Path(folder.name) / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(listening.fileno()), *(["litellm"] if litellm else [])],
        pass_fds=[listening.fileno()],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    listening.close()

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return address


def _serve(listening: socket.socket) -> dict[str, Any]:
    """Fork for whoever asks; only a fork returns from here, with what it is to do."""
    running: dict[int, socket.socket] = {}
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([listening, wakes, sys.stdin], [], [])
        if sys.stdin in ready:  # the tests are over
            os._exit(0)
        if wakes in ready:
            os.read(wakes, 1000)
            _tell_ends(running)
        if listening not in ready:
            continue
        asked, _ = listening.accept()
        text, streams, _, _ = socket.recv_fds(asked, 1_000_000, 3)
        while not text.endswith(b"\n"):
            text += asked.recv(1_000_000)
        if pid := os.fork():
            running[pid] = asked
            asked.sendall(b"%d\n" % pid)
            for stream in streams:
                os.close(stream)
            continue
        signal.set_wakeup_fd(-1)
        for held in (listening, asked, *running.values()):
            held.close()
        os.close(wakes)
        os.close(wake)
        return {**json.loads(text), "streams": streams}


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as asked:
            try:
                asked.sendall(b"%d\n" % status)
            except OSError:  # nobody waits for it any more
                continue


def _become(request: dict[str, Any]) -> None:
    """Make this fork what a new interpreter would be."""
    if request.get("terminal"):
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(request["streams"][0], termios.TIOCSCTTY, 0)
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
    for stream in set(request["streams"]) - {0, 1, 2}:
        os.close(stream)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    time.tzset()
    random.seed()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    is_terminal = os.isatty(1)
    sys.stdout = open(1, "w", closefd=False, buffering=1 if is_terminal else -1)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115


def _main() -> None:
    import gc
    import importlib
    import pkgutil

    import auwgent

    names = [module.name for module in pkgutil.walk_packages(auwgent.__path__, "auwgent.")]
    names = [name for name in names if not name.startswith(NOT_PRELOADED)]
    for name in [*PRELOADED, *names]:
        importlib.import_module(name)
    if "litellm" in sys.argv[2:]:
        sys.modules["auwgent.models.litellm"].preload().result()
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    _become(request)
    code = _do(request["args"])
    # All that an interpreter does at its end, but for taking apart what the server has loaded: that takes 0.1 s.
    gc.collect()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code)


def _do(words: list[str]) -> int:
    """Run a module or a script; gives the exit code."""
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).parent.absolute()))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _main()
