"""Remembers the descriptions of MCP tools when first seen, so that a change is noticed."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from auwgent.files import replace


class Pins:
    """Hashes of descriptions by server and tool, in a file only its owner can read, or in memory without one.

    A file that cannot be read is started again, one that cannot be written is done without: it guards descriptions,
    and does not keep anybody from working.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._hashes: dict[str, Any] | None = None

    def changed(self, server: str, tool: str, description: Any, *, remember: bool = True) -> bool:
        """Whether the tool described itself differently when it was last seen; what it says now is remembered."""
        if self._hashes is None:
            self._hashes = self._read()
        known = self._hashes
        key = f"{server}:{tool}"
        seen = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
        before = known.get(key)
        if remember and before != seen:
            known[key] = seen
            self._save({**known, **self._read(), key: seen})  # others may have written since it was read
        return before is not None and before != seen

    def _read(self) -> dict[str, Any]:
        if self._file is None:
            return {}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self, known: dict[str, Any]) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            replace(self._file, json.dumps(known, indent=1, sort_keys=True))
