"""Checks what hooks return, and applies it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from auwgent.errors import MiddlewareError
from auwgent.intents import ANSWERS, CALLS, RESULTS, SKIPPED
from auwgent.session import Session, Turn, misfits

Valid = TypeVar("Valid", Session, Turn)

# What `{"result": x}` replaces, by intent.
RESULT_KEY = {**dict.fromkeys(RESULTS, "result"), "response_text": "text", "response_schema": "response"}
# What may be returned for other intents. Those that are not here are of the user's own.
NO_SKIP = 'None or {"result": value}, but no skip: '
ONLY_TOLD = "None: this intent only tells what has happened"
MAY_RETURN = {
    **{result: f"{NO_SKIP}it has run; skip its {call}" for call, result in zip(CALLS, RESULTS, strict=True)},
    **dict.fromkeys(ANSWERS, f"{NO_SKIP}an answer can be replaced only"),
    **dict.fromkeys((*SKIPPED, "model_retry"), ONLY_TOLD),
    "tool_error": 'None: change its value["message"] in place',
}


# What is returned for these changes nothing, whatever it is.
IGNORED = ("paused", "model_call", "error")


@dataclass(slots=True)
class PromptText:
    """The user's text that a model call answers, as the hooks left it."""

    prompt: str


@dataclass(slots=True)
class Piece:
    """A streamed piece; hooks change its `value` in place.

    The last one of a block is empty and is for middleware that `holdsBack`; what that lets go, those behind it
    are shown, too.
    """

    name: str
    value: dict[str, Any]
    is_last: bool = False
    had_words: bool = field(init=False)

    def __post_init__(self) -> None:
        self.had_words = bool(self.value.get("delta"))

    @staticmethod
    def is_for(instance: Any, piece: Piece) -> bool:
        """Return whether a middleware is shown the piece: not where one before it has held back all of it."""
        has_words = bool(piece.value.get("delta"))
        if piece.is_last:
            piece.value["complete"] = getattr(instance, "holdsBack", False) is True
            return has_words or piece.value["complete"]
        return has_words or not piece.had_words


@dataclass(slots=True)
class Failure:
    """An error that `onError` hooks are asked about, and the first decision of theirs."""

    error: Exception
    session: Session
    decision: Decision | None = None


@dataclass(slots=True)
class Verdict:
    """An intent after the hooks: its value now, and whether the call still happens."""

    name: str
    value: dict[str, Any]
    skip: bool = False
    overridden: bool = False
    result: Any = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of an `onError` hook."""

    swallow: bool = False
    response: str | None = None
    force_start: Literal["llm_start", "run_start"] | None = None


def started_session(who: str, current: Session, owner: str, returned: Any) -> Session:
    """Return the session after an `onRunStart`, checked. Its owner must be the run's; what it does not say stays."""
    if isinstance(returned, Mapping):
        returned = _valid(who, Session, dict(returned))
    elif not isinstance(returned, Session | None):
        raise _wrong_answer(who, "onRunStart", returned, "a Session, a dict of its form, or None")
    session: Session = current if returned is None else returned
    if not all(isinstance(turn, Turn) for turn in session.turns):  # put there as dicts, which do as well
        session.turns[:] = [
            _valid(who, Turn, turn, f"turns[{index}]") for index, turn in enumerate(session.turns)
        ]
    if session is not current:
        unsaid = {"id", "user_id"} - session.model_fields_set
        session = session.model_copy(update={name: getattr(current, name) for name in unsaid})
    if session.user_id != owner:
        raise MiddlewareError(
            f"middleware {who!r} returned a session of another user from onRunStart; it is refused",
            middleware=who,
            hook="onRunStart",
        )
    return session


def _valid(who: str, kind: type[Valid], value: Any, place: str = "") -> Valid:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise MiddlewareError(
            f"middleware {who!r} left no valid session in onRunStart: {misfits(error, place)}",
            middleware=who,
            hook="onRunStart",
        ) from None


def prompted(who: str, asked: PromptText, returned: Any) -> None:
    """Let the model read what `onLLMStart` returned."""
    if isinstance(returned, str):
        asked.prompt = returned
    elif returned is not None:
        raise _wrong_answer(who, "onLLMStart", returned, "a string or None")


def judged(who: str, verdict: Verdict, returned: Any) -> None:
    """Put what `onIntent` returned into the verdict. A skip wins over a later result."""
    name = verdict.name
    if returned is None or name in IGNORED:
        return
    if not isinstance(returned, Mapping) or not returned.keys() <= {"skip", "result"}:
        raise _wrong_answer(who, "onIntent", returned, 'None, {"skip": True} or {"result": value}')
    if not returned or returned == {"skip": False}:
        return
    if name in CALLS:
        if returned.get("skip"):
            verdict.skip = True
        if "result" in returned:
            verdict.overridden, verdict.result = True, returned["result"]
    elif name in RESULT_KEY and "result" in returned and not returned.get("skip"):
        result = returned["result"]
        if name == "response_text" and not isinstance(result, str):
            raise _wrong_answer(who, "onIntent for 'response_text' as result", result, "a string")
        verdict.value = {**verdict.value, RESULT_KEY[name]: result}
        verdict.overridden = True
        if name.endswith("_result"):
            verdict.value["overridden"] = True
    elif name not in MAY_RETURN and "result" not in returned:
        verdict.skip = True
    else:
        allowed = MAY_RETURN.get(name, 'None or {"skip": True}: change its fields in place')
        raise _wrong_answer(who, f"onIntent for {name!r}", returned, allowed)


def decided(who: str, failure: Failure, returned: Any) -> None:
    """Apply what `onError` returned. All hooks are called; the first decision wins."""
    made = _decision(who, returned)
    failure.decision = failure.decision or made


def _decision(who: str, returned: Any) -> Decision | None:
    if returned is None or returned is False:
        return None
    if returned is True:
        return Decision(swallow=True)
    match returned:
        case {"forceStart": "llm_start" | "run_start" as where, **rest} if not rest:
            return Decision(force_start=where)
        case {"swallow": True, **rest} if rest.keys() <= {"response"}:
            response = rest.get("response")
            if isinstance(response, str | None):
                return Decision(swallow=True, response=response)
        case {"swallow": False, **rest} if rest.keys() <= {"response"}:
            return None
    allowed = 'None, True, {"swallow": True, "response": "…"} or {"forceStart": "llm_start" | "run_start"}'
    raise _wrong_answer(who, "onError", returned, allowed)


def _wrong_answer(who: str, hook: str, returned: Any, allowed: str) -> MiddlewareError:
    shown = list(returned) if isinstance(returned, dict) else ""
    return MiddlewareError(
        f"middleware {who!r} returned {type(returned).__name__}{shown} from {hook}; it may return {allowed}",
        middleware=who,
        hook=hook.split()[0],
    )
