"""Answers the tools of a replay from what a session holds of its past."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from auwgent.errors import TapeMiss, ToolError
from auwgent.session import ToolCall, Turn
from auwgent.tape.base import Answer, Asking, Found, Inner
from auwgent.words import cut

SHOWN = 120  # characters of arguments


class StoredCalls:
    """The calls of a conversation and their results. A call that is not among them ends the run."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._results: dict[str, list[Turn]] = {}
        self._given: dict[str, int] = {}
        asked: dict[str, tuple[str, ToolCall]] = {}
        for turn in turns:
            for call in turn.tool_calls or ():
                asked[call.id] = turn.agent or "", call
            if turn.role == "tool" and (found := asked.get(turn.tool_call_id or "")):
                self._results.setdefault(_key(found[0], found[1]), []).append(turn)

    async def call(self, asking: Asking, work: Callable[[], Awaitable[Any]], inner: Inner | None) -> Any:
        """Return what the same call gave then: the n-th one the n-th result, and from then on the last."""
        key = _key(asking.agent, asking.call)
        results = self._results.get(key)
        if not results:
            args = cut(json.dumps(asking.call.args, ensure_ascii=False), SHOWN)
            raise TapeMiss(
                f"the past of this session knows no call {asking.call.name}({args}) of {asking.agent!r}"
            )
        number = self._given.get(key, 0)
        self._given[key] = number + 1
        result = results[min(number, len(results) - 1)]
        if result.outcome not in (None, "ok"):
            raise ToolError(result.text.removeprefix("Error: "), tool=asking.call.name)
        return result.content

    async def tools(self, agent: str, find: Callable[[], Awaitable[Found]]) -> Found:
        """Ask the servers which tools they have; none of them is called."""
        return await find()

    async def answer(self, asking: Asking, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return yes where nothing is known against it: no tool is run."""
        results = self._results.get(_key(asking.agent, asking.call), ())
        return not any(result.outcome == "denied" for result in results)


def _key(agent: str, call: ToolCall) -> str:
    return json.dumps([agent, call.name, call.args], sort_keys=True, default=str)
