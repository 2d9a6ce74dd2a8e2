"""A PostgreSQL server of a test's own, which it may stop, kill and start again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@dataclass
class Server:
    """Listens on a port of its own, on the loopback."""

    programs: Path
    folder: Path
    port: int
    address: str = "127.0.0.1"  # another one is of a network of the test's own, and trusted

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.address}:{self.port}/postgres"

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses={self.address} -c unix_socket_directories='' -c fsync=off"
        )
        self._as_owner("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        self._as_owner("pg_ctl", "stop", "-w", "-m", "fast", "-D", "data")

    def kill(self) -> None:
        """As a machine that loses its power does: what comes next is a recovery."""
        os.kill(int((self.folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def end(self) -> None:
        self._as_owner("pg_ctl", "stop", "-m", "immediate", "-D", "data")

    def make(self) -> None:
        self._as_owner("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        if not self.address.startswith("127."):
            with (self.folder / "data/pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.address}/24 trust\n")

    def _as_owner(self, program: str, *args: str) -> None:
        command = [str(self.programs / program), *args]
        if os.getuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def running(address: str = "127.0.0.1") -> Iterator[Server]:
    """A server that runs; it is gone afterwards."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL's initdb is not there")
    folder = Path(tempfile.mkdtemp(prefix="auwgent-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    made = Server(PROGRAMS[-1], folder, port, address)
    try:
        made.make()
        made.start()
        yield made
    finally:
        if (folder / "data/postmaster.pid").exists():
            made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback."""
    with running() as made:
        yield made
