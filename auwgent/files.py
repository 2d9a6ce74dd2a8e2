"""Files that their owner alone can read, drafts that become a file at once, and locks on files."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER, FILE = 0o700, 0o600  # the modes of what is private


def make_folder(folder: Path) -> None:
    """Create a folder and those above it that are missing, for their owner alone. One that is there is left alone."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=FOLDER, exist_ok=True)
        each.chmod(FOLDER)  # the umask may have taken something away


def make_file(path: Path) -> None:
    """Create an empty private file, and the folders that are missing. A file that is there is not even opened.

    On closing it, this process would lose all locks that it holds on it (POSIX), SQLite's among them.
    """
    make_folder(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))
    except FileExistsError:
        if not path.is_file():
            raise


def write_new(path: Path, text: str) -> None:
    """Write a new private file; `~` is the home. `FileExistsError` where there is one."""
    descriptor = os.open(path.expanduser(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def replace(path: Path, text: str) -> None:
    """Write a private file whole or not at all: a reader sees the old text or the new one."""
    with draft(path) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(path)


@contextlib.contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a private file beside the target, empty at first, and gone afterwards unless it was moved there."""
    path = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}")
    make_file(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def appending(path: Path) -> Iterator[int]:
    """Open a private file to be read, and written at its end; made with its folders where it is missing."""
    make_folder(path.parent)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE)
    try:
        yield file
    finally:
        os.close(file)


if sys.platform == "win32":
    import msvcrt

    @contextlib.contextmanager
    def locked(
        file: int, *, shared: bool = False, waiting: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """Let no other process in meanwhile; a byte far behind the end stands for the file."""
        place = os.lseek(file, 0, os.SEEK_CUR)
        os.lseek(file, 2**40, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
        os.lseek(file, place, os.SEEK_SET)
        try:
            yield
        finally:
            os.lseek(file, 2**40, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    @contextlib.contextmanager
    def locked(
        file: int, *, shared: bool = False, waiting: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """Let no other process in meanwhile, or only those that share it. `waiting` is called before a wait."""
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
