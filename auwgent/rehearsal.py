"""What takes part in a test or a replay: no log, no meter, no memory; and a store of its own that is thrown away."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auwgent.hooks.pipeline import Installed

SITTING_OUT = ("Audit", "Trace", "Remember", "RateLimit", "Budget")
BUNDLED = "auwgent.middleware."


def rehearsing(installed: Sequence[Installed], folder: Path) -> list[Installed]:
    """Return the middleware of a rehearsal; what is kept goes to databases in this folder."""
    return [
        replace(one, instance=_elsewhere(one.instance, folder))
        for one in installed
        if not _is_bundled(one.instance, *SITTING_OUT)
    ]


def _is_bundled(instance: Any, *names: str) -> bool:
    """Return whether it is one of ours, or made of one, without importing those that are not in use."""
    return any(cls.__module__.startswith(BUNDLED) and cls.__name__ in names for cls in type(instance).__mro__)


def _elsewhere(instance: Any, folder: Path) -> Any:
    """Return the middleware with databases in this folder; an index that is only read stays where it is."""
    if _is_bundled(instance, "SQLModelSessions"):
        return instance.elsewhere(f"sqlite:///{folder / 'sessions.db'}")
    name = next((one for one in ("Cache", "Redact") if _is_bundled(instance, one)), None)
    option = {"Cache": "url", "Redact": "vault"}.get(name or "")
    if option is None or (name == "Redact" and not instance.vault):
        return instance
    fresh = copy.copy(instance)
    setattr(fresh, option, f"sqlite:///{folder / f'{name}.db'}")
    fresh.__post_init__()
    return fresh
