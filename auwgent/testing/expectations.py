"""What a test expects, held against what came of it: each thing that does not hold, with what was expected and got."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from auwgent.config.trials import Expectation
from auwgent.errors import TapeMiss, goes_through
from auwgent.session import Session, Usage
from auwgent.words import cut, describe

SHOWN = 300  # characters of an answer


@dataclass(slots=True)
class Outcome:
    """What came of a test: the session, how its last run ended, the calls in their order, and what it took."""

    session: Session
    status: str = "completed"
    calls: list[str] = field(default_factory=list)
    answer: Any = None  # the structured one
    llm_calls: int = 0
    usage: Usage = field(default_factory=lambda: Usage(usd=0.0))
    seconds: float = 0.0
    error: BaseException | None = None
    since: int = 0  # turns that were there before


async def problems(expect: Expectation, check: Callable[..., Any] | None, got: Outcome) -> list[str]:
    """Return what does not hold, in words."""
    if isinstance(got.error, TapeMiss):
        return [str(got.error)]
    found = [*_ending(expect, got), *_calls(expect, got), *_answer(expect, got), *_cost(expect, got)]
    if check is not None and got.error is None:
        found += await _checked(check, got.session)
    return found


def _ending(expect: Expectation, got: Outcome) -> Iterator[str]:
    wanted = expect.status or "completed"
    if got.status != wanted:
        why = f": {describe(got.error)}" if got.error is not None else ""
        yield f"status: expected {wanted}, got {got.status}{why}"


def _calls(expect: Expectation, got: Outcome) -> Iterator[str]:
    made = ", ".join(got.calls) or "none"
    if expect.calls is not None:
        rest = iter(got.calls)
        missing = next((name for name in expect.calls if name not in rest), None)
        if missing is not None:
            lacks = f"no {missing!r}" if missing not in got.calls else f"{missing!r} not in its place"
            yield f"calls: expected {', '.join(expect.calls)} in this order, got {made} ({lacks})"
    for name in expect.not_calls or ():
        if name in got.calls:
            yield f"not_calls: {name!r} was called, {_turn_of_call(got, name)}; got {made}"


def _answer(expect: Expectation, got: Outcome) -> Iterator[str]:
    text = got.session.text
    shown = json.dumps(cut(text, SHOWN), ensure_ascii=False)
    if expect.text is not None and expect.text not in text:
        yield f"text: expected {json.dumps(expect.text, ensure_ascii=False)} in it, got {shown} ({_last_turn(got)})"
    if expect.matches is not None and not re.search(expect.matches, text):
        yield f"matches: expected {expect.matches!r} to be found, got {shown} ({_last_turn(got)})"
    if expect.output is not None:
        answer = got.answer if got.answer is not None else _as_data(text)
        for place, wanted, found in _lacking(expect.output, answer, "output"):
            yield f"{place}: expected {_plain(wanted)}, got {_plain(found)} ({_last_turn(got)})"


def _cost(expect: Expectation, got: Outcome) -> Iterator[str]:
    if expect.max_usd is not None:
        if got.usage.usd is None:
            yield f"max_usd: expected at most ${expect.max_usd:g}, but the price of a model is not known"
        elif got.usage.usd > expect.max_usd:
            yield f"max_usd: expected at most ${expect.max_usd:g}, got ${got.usage.usd:g}"
    if expect.max_llm_calls is not None and got.llm_calls > expect.max_llm_calls:
        yield f"max_llm_calls: expected at most {expect.max_llm_calls}, got {got.llm_calls}"


async def _checked(check: Callable[..., Any], session: Session) -> list[str]:
    try:
        said = check(session)
        said = await said if inspect.isawaitable(said) else said
    except BaseException as error:
        if goes_through(error):
            raise
        words = str(error) if isinstance(error, AssertionError) and str(error) else describe(error)
        return [f"check: {words}"]
    return [] if said in (None, True, "") else [f"check: {said}"]


_NOTHING = object()


def _lacking(wanted: Any, found: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where data is not a part of other data. A list must be as long, and hold as much at each place."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            yield from _lacking(value, found.get(name, _NOTHING), f"{place}.{name}")
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str) and isinstance(found, list):
        if len(wanted) != len(found):
            yield place, wanted, found
            return
        for index, value in enumerate(wanted):
            yield from _lacking(value, found[index], f"{place}[{index}]")
    elif wanted != found or isinstance(wanted, bool) != isinstance(found, bool):
        yield place, wanted, found


def _plain(value: Any) -> str:
    return "nothing" if value is _NOTHING else cut(json.dumps(value, ensure_ascii=False, default=str), SHOWN)


def _as_data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _last_turn(got: Outcome) -> str:
    return f"turn {len(got.session.turns)}"


def _turn_of_call(got: Outcome, name: str) -> str:
    for number, turn in enumerate(got.session.turns[got.since :], got.since + 1):
        if any(call.name == name for call in turn.tool_calls or ()):
            return f"in turn {number}"
    return "by a workflow"
