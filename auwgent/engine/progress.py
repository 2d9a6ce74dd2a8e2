"""How far a run is: what its later legs and attempts go on from, as JSON that a store keeps with the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Progress:
    """What limits have counted, which turns are whose, and what a sibling of an open call has decided.

    A helper at work is known by the id of the call it answers; an agent that the user talks to by its stack.
    """

    llm_calls: int = 0
    seconds: float = 0.0  # at work, in earlier legs and attempts
    tokens: float = 0.0  # with what was set aside for requests whose usage never came
    usd: float = 0.0
    repeats: dict[str, list[Any]] = field(
        default_factory=dict
    )  # name and arguments of the last call, how often
    helpers: dict[str, list[str]] = field(default_factory=dict)  # call id -> ids of the helper's turns
    memo: dict[str, Any] = field(default_factory=dict)  # what middleware wants to know in later legs
    endings: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # how turns end once all calls are answered

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Return what a store has kept; what it does not know of counts as nothing."""
        known = {name: kept[name] for name in cls.__dataclass_fields__ if name in kept}
        return cls(**json.loads(json.dumps(known)))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data of its own."""
        values = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return {name: deepcopy(value) if isinstance(value, dict) else value for name, value in values}
