"""Files that their owner alone can read, and drafts of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from auwgent.errors import StoreError


def make_private(path: Path) -> None:
    """Create the file for its owner alone, and the folders that are missing; the WAL gets the same mode.

    A file that is there is not even opened: on closing it, the process would lose SQLite's locks on it.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # the umask may have taken something away
        _create(path)
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # another user's file is his affair
                file.chmod(0o600)
    except OSError as error:
        raise unwritable(path, error) from error


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise


@contextlib.contextmanager
def draft(target: Path) -> Iterator[Path]:
    """A private file beside the target, empty at first, and gone afterwards unless it was moved there."""
    path = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}")
    make_private(path)
    try:
        yield path
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error to raise where the system refuses."""
    return StoreError(f"{path}: the database cannot be created or written: {error.strerror}")
