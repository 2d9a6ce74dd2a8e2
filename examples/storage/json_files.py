"""Sessions as JSON files, one for each: readable, easy to copy, and never half written."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auwgent import Session, SessionConflict


class JsonFiles:
    """Keeps each session in a file of `folder`. Of two runs at once on one session, the second fails."""

    def __init__(self, folder: str = "sessions") -> None:
        self.folder = Path(folder)

    def open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def onRunStart(self, session: Session, ctx: Any) -> dict[str, Any] | None:
        stored = self.read(self.path(ctx.userId, ctx.sessionId))
        ctx["json_files_found"] = stored
        return None if stored is None else json.loads(stored)

    def onRunComplete(self, session: Session, ctx: Any) -> None:
        path = self.path(ctx.userId, session.id)
        with self.locked():
            if self.read(path) != ctx.get("json_files_found"):
                raise SessionConflict(f"another run saved session {session.id!r} meanwhile")
            self.replace(path, json.dumps(session.model_dump(mode="json")).encode())

    def path(self, user_id: str, session_id: str) -> Path:
        """A name that no two sessions share, and that leads out of no folder, whatever the ids hold."""
        name = hashlib.sha256(json.dumps([user_id, session_id]).encode()).hexdigest()
        return self.folder / f"{name}.json"

    def read(self, path: Path) -> bytes | None:
        """What is stored. Only a file that is not there is a new session; every other failure is raised."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, path: Path, content: bytes) -> None:
        """Whoever reads meanwhile, or after a crash, finds the old content or the new one."""
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time. The lock goes with the process that held it."""
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
