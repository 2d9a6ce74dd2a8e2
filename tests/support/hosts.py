"""Hosts that can be cut off: network namespaces, or processes that are stopped where nobody may make those."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass
class Host:
    """Where one process runs: start it with `before`, and it can be cut off and let back in."""

    namespace: str | None

    @property
    def before(self) -> Sequence[str]:
        return () if self.namespace is None else ("ip", "netns", "exec", self.namespace)

    def cut_off(self, process: subprocess.Popen[bytes]) -> None:
        """Pull the cable: the process goes on, and hears nothing."""
        if self.namespace is None:
            process.send_signal(signal.SIGSTOP)
        else:
            _ip("-n", self.namespace, "link", "set", "cable", "down")

    def let_in(self, process: subprocess.Popen[bytes]) -> None:
        if self.namespace is None:
            process.send_signal(signal.SIGCONT)
        else:
            _ip("-n", self.namespace, "link", "set", "cable", "up")


@contextlib.contextmanager
def hosts(count: int) -> Iterator[tuple[str, list[Host]]]:
    """So many hosts, and the address that this one has for them."""
    number = os.getpid() % 250
    bridge, net = f"awg{number}", f"10.213.{number}"
    made: list[str] = []
    try:
        try:
            _ip("link", "add", bridge, "type", "bridge")
            made.append(bridge)
            _ip("addr", "add", f"{net}.1/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            found = [_host(f"{bridge}h{one}", bridge, f"{net}.{one + 2}/24", made) for one in range(count)]
            address = f"{net}.1"
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or error
            print(f"processes are stopped, for want of network namespaces: {said}")
            found, address = [Host(None) for _ in range(count)], "127.0.0.1"
        yield address, found
    finally:
        for name in reversed(made):
            kind = ("link", "del") if name == bridge else ("netns", "del")
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(*kind, name)


def _host(name: str, bridge: str, address: str, made: list[str]) -> Host:
    _ip("netns", "add", name)
    made.append(name)
    _ip("link", "add", name, "type", "veth", "peer", "name", "cable", "netns", name)
    _ip("link", "set", name, "master", bridge, "up")
    _ip("-n", name, "addr", "add", address, "dev", "cable")
    for link in ("lo", "cable"):
        _ip("-n", name, "link", "set", link, "up")
    return Host(name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)
