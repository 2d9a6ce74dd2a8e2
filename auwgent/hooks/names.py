"""The names of the hooks, and what is taken for a misspelt one."""

from __future__ import annotations

import inspect
import re
from typing import Any

from auwgent.words import nearest

HOOKS = (
    "onRunStart",
    "onCheckpoint",
    "onLLMStart",
    "onIntentPartial",
    "onIntent",
    "onLLMEnd",
    "onRunComplete",
    "onError",
)
METHODS = (*HOOKS, "open", "close")  # one of these makes an object a middleware
NEAR = 0.7  # how like a hook's name another one must be to be taken for a misspelt one


def answers_to_anything(instance: object) -> bool:
    """Return whether an object has whatever attribute it is asked for, so that having one tells nothing."""
    return getattr(instance, "a_name_that_nothing_has", None) is not None


def misspelt_hooks(instance: Any) -> dict[str, str]:
    """Methods that never fire although they look as if they should, each with the hook that may be meant.

    That is any hook in another spelling, such as `on_run_start`, and what begins with `on` and a capital letter,
    as hooks alone do, where it is near one of them.
    """
    by_letters = {hook.lower(): hook for hook in HOOKS}
    meant: dict[str, str] = {}
    for name in dir(instance):
        letters = name.replace("_", "").lower()
        if name in HOOKS or name.startswith("_") or not letters.startswith("on"):
            continue
        near = nearest(letters, by_letters, cutoff=NEAR)
        is_like = letters in by_letters or re.match("on[A-Z]", name)
        if near and is_like and callable(inspect.getattr_static(instance, name, None)):
            meant[name] = by_letters[near]
    return meant
