"""The secrets of this process, and texts without them.

Users' own classes are given keys and passwords by the config, and may put them into what they raise. So every text
that leaves by an error passes here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from weakref import WeakSet

SHORTEST = 6  # characters; shorter values are words like "blue"
MASK = "***"
PLACEHOLDERS = frozenset(("ollama", "lm-studio", "not-needed"))  # given as keys where none is wanted


class KnownSecrets:
    """Values that no error shows for as long as this object lives."""

    __slots__ = ("__weakref__", "_values")

    def __init__(self, values: Iterable[str]) -> None:
        self._values = frozenset(
            value for value in values if len(value) >= SHORTEST and value not in PLACEHOLDERS
        )
        if self._values:
            with _lock:
                _alive.add(self)

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def found_in(self, text: str) -> set[str]:
        """Those that stand in the text."""
        return {value for value in self._values if value in text}


_alive: WeakSet[KnownSecrets] = WeakSet()
_lock = threading.Lock()


def scrubbed(text: str) -> str:
    """The text without the secrets of all that is alive."""
    with _lock:
        alive = list(_alive)
    found = {value for secrets in alive for value in secrets.found_in(text)}
    for value in sorted(found, key=len, reverse=True):  # one may be a part of another
        text = text.replace(value, MASK)
    return text
