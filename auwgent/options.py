"""The options of a run: which there are, which go together, and the order that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from auwgent.config import Config
from auwgent.engine.agent import Agent
from auwgent.engine.order import Order
from auwgent.errors import ArgumentError
from auwgent.inputs import Input, content_of
from auwgent.runs import asked_of, names_of, settings_of
from auwgent.session import Session, new_id
from auwgent.tape import TapeFile
from auwgent.tools.callers import callers_tools


class RunOptions(TypedDict, total=False):
    """The optional settings of a run."""

    session_id: str | None  # runs with the same one follow one another
    user_id: str | None  # whose session; else the context value `userId`, else the empty user
    context: Mapping[str, Any] | None  # over the values of [context]
    profile: str | None
    session: Session | None  # one to go on with, unless a middleware has a session of its id stored
    whole: bool  # ask models for whole answers instead of streams
    run_id: str | None  # the same one again is the same run: it is joined, goes on, or its outcome is given
    # Answers to what the session's run has paused for, by the ids of calls; without input.
    answers: Mapping[str, Any] | None
    # Each is {name, description, parameters}, and the caller runs it itself.
    caller_tools: Sequence[Mapping[str, Any]] | None
    keep: (
        bool  # False: the session named is read, nothing of the run is written, and it waits for no other run
    )
    agent: str | None  # a helper that answers in the root agent's place
    # The id of the turn that it goes on from. Where the session has later ones when the run gets it, it is copied up to
    # that turn, and the run goes on in the copy.
    behind: str | None
    record: str | Path | None  # a tape that what the run is answered is written to


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse with a `TypeError` what no run can be given."""
    known = RunOptions.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"a run has no option {name!r}; it has {', '.join(known)}")


def check_goes_together(
    content: Any, session_id: str | None, run_id: str | None, answers: Any, keep: bool, *, has_store: bool
) -> None:
    """`ArgumentError` where options of a run do not go together, or need a store that is not there."""
    store = "needs a store that tells of runs, such as auwgent.middleware.SQLModelSessions"
    if not isinstance(keep, bool):
        raise ArgumentError(f"`keep` should be True or False, not {keep!r}")
    for name, value in (("run_id", run_id), ("answers", answers)):
        if not keep and value is not None:
            raise ArgumentError(f"`keep=False` goes without `{name}`: nothing of that run is kept")
    if run_id is not None and not run_id:
        raise ArgumentError("a `run_id` may not be empty")
    if run_id is not None and not has_store:
        raise ArgumentError(f"a `run_id` {store}")
    if answers is None:
        return
    if not has_store:
        raise ArgumentError(f"`answers` {store}")
    if not isinstance(answers, Mapping) or not answers:
        raise ArgumentError("`answers` should be answers by the ids of calls, such as {'call_1': True}")
    if content is not None:
        raise ArgumentError("`answers` go without new input: run(None, session_id=…, answers=…)")
    if session_id is None and run_id is None:
        raise ArgumentError("`answers` need the `session_id`, or the `run_id`, of the run that asked")


def tape_of(record: str | Path | None, *, plays: bool) -> Path | None:
    """Return where a run is written to, once it is known that this can be done."""
    if record is None:
        return None
    if plays:
        raise ArgumentError("a run that is played from a tape cannot be recorded")
    path = Path(record).expanduser().absolute()
    TapeFile(path).check()
    return path


def user_of(values: Mapping[str, Any], user_id: str | None) -> str:
    """Return the user of a run: the one that was named, else the context value `userId`."""
    return str(values.get("userId") or "") if user_id is None else user_id


def order_of(
    input: Input,
    options: RunOptions,
    *,
    config: Config,
    agents: Mapping[str, Agent],
    agent: str,
    has_store: bool,
    profile: str | None,
    overrides: Sequence[str],
) -> Order:
    """Return what a run is to do; `agent` answers. `ArgumentError` where that cannot be."""
    context = options.get("context") or {}
    values = {**config.context, **context}
    session_id, user_id = options.get("session_id"), options.get("user_id")
    session = options.get("session")
    if session is not None:
        session_id = session.id if session_id is None else session_id
        user_id = session.user_id if user_id is None else user_id
    run_id, content = options.get("run_id"), content_of(input)
    answers, keep = options.get("answers"), options.get("keep", True)
    check_goes_together(content, session_id, run_id, answers, keep, has_store=has_store)
    behind = options.get("behind")
    if behind is not None and (session_id is None or not has_store or not keep or answers is not None):
        raise ArgumentError("`behind` needs new input, a `session_id` and a store that keeps the run")
    caller_tools = callers_tools(options.get("caller_tools") or (), names_of(agents))
    settings = settings_of(profile, overrides, context, caller_tools)
    return Order(
        input=content,
        session_id=session_id,
        user_id=user_of(values, user_id),
        values=values,
        session=session,
        behind=behind,
        whole=options.get("whole", False),
        answers=answers,
        context=context,
        caller_tools=caller_tools,
        can_pause=keep and has_store and settings.get("context", {}) is not None,
        keep=keep,
        settings=settings,
        agent=agent,
        asked=None if run_id is None else asked_of(content, agent),
        run_id=run_id or new_id(),
        record=tape_of(options.get("record"), plays=config.plays_tape),
    )
