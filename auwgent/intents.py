"""Intents: every step of a run as a named event, and the handlers that want to hear of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from typing_extensions import TypeVar  # that of typing has no default before Python 3.13

KINDS = ("tool", "workflow", "helper")  # of what a model may call
CALLS = tuple(f"{kind}_call" for kind in KINDS)
RESULTS = tuple(f"{kind}_result" for kind in KINDS)
SKIPPED = tuple(f"{kind}_skipped" for kind in KINDS)
ANSWERS = ("response_text", "response_schema")
STEPS = ("tool_error", "model_call", "model_retry", "paused", "error", "reasoning")
OURS = frozenset((*CALLS, *RESULTS, *SKIPPED, *ANSWERS, *STEPS))  # all others are the user's own

Handler = Callable[[str, Any, str], Awaitable[None] | None]

# A plain `Intent` has any name and payload; the union in `auwgent.payloads` tells them apart by name.
NameT_co = TypeVar("NameT_co", bound=str, default=str, covariant=True)
ValueT_co = TypeVar("ValueT_co", default=Any, covariant=True)
PartialT_co = TypeVar("PartialT_co", bound=bool, default=bool, covariant=True)


@dataclass(frozen=True, slots=True)
class Intent(Generic[NameT_co, ValueT_co, PartialT_co]):
    """One step. `value` is its payload, a plain dict; a partial one carries the name it will have when whole."""

    name: NameT_co
    value: ValueT_co
    agent: str
    run_id: str
    seq: int  # counts from 1 within a run, partial ones included
    time: datetime
    partial: PartialT_co = False  # type: ignore[assignment] # which is what the type says where it is left out

    def as_json(self) -> dict[str, Any]:
        """Return the form `--json` prints, one object a line."""
        return {
            "event": "partial" if self.partial else "intent",
            "name": self.name,
            "value": self.value,
            "agent": self.agent,
            "run_id": self.run_id,
            "seq": self.seq,
            "time": self.time.isoformat(),
        }


class AuwgentBaseIntentHandler:
    """Optional base of a class that handles intents: a method per intent, `async` or plain.

    A method is named like its intent and gets `(value, agent_name)`, as in
    `async def tool_result(self, value, agent_name)`. Intents without a method are passed over.
    """


class Handlers:
    """The functions `(name, value, agent_name)` and handler objects registered on an agent."""

    def __init__(self) -> None:
        self._functions: list[Handler] = []

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, handler: Any) -> None:
        """Register a function, or a class or object with a method per intent."""
        if inspect.isclass(handler):
            handler = handler()
        if inspect.isroutine(handler) or not _has_intent_methods(handler):
            if not callable(handler):
                raise TypeError(
                    f"an intent handler is a function or has a method per intent, not {handler!r}"
                )
            self._functions.append(handler)
        else:
            self._functions.append(_by_method(handler))

    async def emit(self, intent: Intent) -> None:
        """Call every handler, in the order of their registration."""
        for function in self._functions:
            outcome = function(intent.name, intent.value, intent.agent)
            if inspect.isawaitable(outcome):
                await outcome


def _has_intent_methods(handler: Any) -> bool:
    if isinstance(handler, AuwgentBaseIntentHandler):
        return True
    own = type(handler).__module__ != "builtins"  # a dict or a text has methods, too
    return (
        own
        and not callable(handler)
        and any(callable(getattr(handler, name, None)) for name in dir(handler) if not name.startswith("_"))
    )


def _by_method(handler: Any) -> Handler:
    def call(name: str, value: Any, agent: str) -> Awaitable[None] | None:
        if name.startswith("_"):
            return None
        method = getattr(handler, name, None)
        return method(value, agent) if callable(method) else None

    return call
