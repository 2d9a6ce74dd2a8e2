"""The disk under a SQLite file: whether it is full or on a network, and which file stands there."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

Identity = tuple[int, int]  # device and number
Stamp = tuple[int, int]  # when a file was written last, in nanoseconds, and its size in bytes

ROOM = 64 * 1024  # bytes; with less, SQLite can write neither a page nor its index of the WAL
# SQLite's WAL is shared by memory that only processes of one machine can share.
NETWORKED = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ncpfs|ceph|lustre|glusterfs|gpfs|beegfs|ocfs2|gfs2?"
    r"|fuse\.(sshfs|glusterfs|ceph|s3fs|rclone|gcsfuse|davfs2?|smb\w*|nfs\w*)"
)
MOUNTS = Path("/proc/self/mounts")
SETTLING = 5.0  # seconds in which the checkpoint behind a commit of somebody else ends


def is_full(path: Path) -> bool:
    """Return whether the disk that the file is on has no room left."""
    try:
        return shutil.disk_usage(_nearest(path)).free < ROOM
    except OSError:
        return False


def network_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of network file system that the file is on; None where it is on none, or that cannot be told."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    place = _nearest(path).resolve()
    kind, longest = "", -1
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        where = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[1]))
        if place.is_relative_to(where) and len(where.parts) >= longest:
            kind, longest = fields[2], len(where.parts)
    return kind if NETWORKED.fullmatch(kind) else None


def warning_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return what to tell of a file that other machines may have open as well."""
    kind = network_of(path, mounts)
    if kind is None:
        return None
    return (
        f"{path} is on a network file system ({kind}), where SQLite loses data as soon as a second machine opens "
        "it; use a local disk, or PostgreSQL"
    )


def beside(path: Path, end: str) -> Path:
    """Return a file that SQLite keeps beside its own: `-wal` or `-shm`."""
    return path.with_name(f"{path.name}{end}")


def identity(path: Path) -> Identity | None:
    """Return which file stands at that path; None where none does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Content:
    """Notices that something that is no SQLite wrote over a file in place, as `cp` does.

    In WAL mode a checkpoint alone writes to the file, and it comes with a commit. The file itself must not be opened to
    look: to close it again would let go of SQLite's locks.
    """

    def __init__(self, path: Path, settling: float = SETTLING) -> None:
        self._path = path
        self._settling = settling
        self._seen: Stamp | None = None
        self._version: int | None = None
        self._settled = 0.0

    def note(self) -> None:
        """Take the file as it is now for what it should be: this connection may have written to it."""
        self._seen = self.stamp()

    def was_replaced(self, stamp: Stamp | None, version: int) -> bool:
        """Return whether that happened since the last look.

        `stamp` is of before the transaction began, and `version`, the `PRAGMA data_version` of its connection, of
        after that: a commit of somebody else that has changed the file is then among those that the version tells of.
        """
        before, self._seen = self._seen, stamp
        if version != self._version:  # somebody else has committed
            self._version, self._settled = version, time.monotonic() + self._settling
        return before not in (None, self._seen) and time.monotonic() > self._settled

    def stamp(self) -> Stamp | None:
        """Return when the file was written last, and its size; None where it cannot be told."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
