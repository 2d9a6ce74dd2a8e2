"""Runs that are known by their ids: how they are known again, what is kept of them, and what came of one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from auwgent.engine.agent import ANSWER, READ_RESULT, Agent
from auwgent.engine.order import Order
from auwgent.errors import ArgumentError, RunConflict, RunFailed, RunPaused, SessionNotFound
from auwgent.inputs import content_of
from auwgent.questions import unanswered
from auwgent.secrecy import is_secret, is_secret_name, scrubbed
from auwgent.session import Part, Session
from auwgent.store.base import OVER, RunInfo, RunStore
from auwgent.tools import Tool
from auwgent.tools.callers import as_given, callers_tools

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks at a run that is under way


def settings_of(
    profile: str | None,
    overrides: Sequence[str],
    context: Mapping[str, Any],
    caller_tools: Sequence[Tool] = (),
) -> dict[str, Any]:
    """How a run was asked for, as it may be kept for its later attempts: plain JSON, without keys and passwords.

    Its `context` is None where a value of it is not JSON. What was left out of the call is not in it.
    """
    settings: dict[str, Any] = {}
    if profile is not None:
        settings["profile"] = profile
    if plain := [scrubbed(one) for one in overrides if not _is_secret(one)]:
        settings["overrides"] = plain
    if caller_tools:
        settings["caller_tools"] = as_given(caller_tools)
    if context:
        try:
            text = json.dumps({key: value for key, value in context.items() if not is_secret_name(key)})
            settings["context"] = json.loads(scrubbed(text))
        except (TypeError, ValueError, RecursionError):
            settings["context"] = None
    return settings


def overrides_of(settings: Mapping[str, Any], own: Sequence[str]) -> tuple[str, ...]:
    """The overrides of a run that is taken up by an agent which has its `own`: as kept, and the keys that were not."""
    kept = settings.get("overrides", [])
    if [scrubbed(one) for one in own if not _is_secret(one)] == kept:
        return tuple(own)
    return (*kept, *filter(_is_secret, own))


def _is_secret(override: str) -> bool:
    return is_secret(override.partition("=")[0].strip().split("."))


def asked_of(content: str | list[Part] | None, agent: str) -> str:
    """A hash of what a run was asked; of one that says nothing new, empty: it may be any."""
    if content is None:
        return ""
    parts = content if isinstance(content, str) else [part.model_dump(mode="json") for part in content]
    return hashlib.sha256(json.dumps([parts, agent]).encode()).hexdigest()


def input_of(run: RunInfo) -> str | list[Part] | None:
    """What a run was asked, as far as its row has it; None where it was said and had bytes, which stand in its turn."""
    try:
        return content_of(run.content)
    except ArgumentError:
        return None


def taken_up(
    run: RunInfo, order: Order, root: str, agents: Mapping[str, Agent], values: Mapping[str, Any]
) -> Order:
    """Return the order that goes on with a paused or interrupted run: as it was asked for, by the config of now."""
    kept = run.settings
    context = {**(kept.get("context") or {}), **order.context}
    is_paused = run.status == "paused"
    return replace(
        order,
        agent=run.agent if run.agent in agents else root,
        input=None if is_paused else input_of(run) if order.input is None else order.input,
        session_id=run.session_id,
        leg=run.leg + is_paused,
        values={**values, **context},
        caller_tools=callers_tools(kept.get("caller_tools", ()), ()),
        can_pause=kept.get("context", {}) is not None,
        settings=kept,
    )


def with_output(session: Session, agents: Mapping[str, Agent]) -> Session:
    """Return the session with its structured answer as an instance, where the agent that gave it has a type for it."""
    answer, agent = session.answer(), agents.get(session.stack[-1]) if session.stack else None
    output = None
    if answer is not None and not answer.tool_calls and agent is not None and agent.output is not None:
        output = agent.output.instance(answer.text)
    return session.tell(session.status, session.pending, output)


def names_of(agents: Mapping[str, Agent]) -> set[str]:
    """All names that a model may know: a caller's tool may have none of them."""
    names = {*agents, ANSWER, READ_RESULT}
    for agent in agents.values():
        names.update(agent.tools, agent.workflows, agent.helpers, agent.intents)
        names.update(name for workflow in agent.workflows.values() for name in workflow.tools)
    return names


async def found(store: RunStore, order: Order) -> Order:
    """The order with the id of the run that it goes on with, where it brings answers or says nothing new.

    The answers are written down. `RunPaused` where the session's run waits for others.
    """
    if order.answers is not None:
        run = await _asked(store, order)
        run = await store.answer(order.user_id, run.run_id, order.answers)
    elif order.input is not None or order.asked is not None or order.session_id is None:
        return order
    else:
        last = await store.runs(order.user_id, session_id=order.session_id, limit=1)
        paused = await store.runs(order.user_id, "paused", session_id=order.session_id, limit=1)
        if not paused and (not last or last[0].status != "interrupted"):
            return order
        run = (paused or last)[0]
        if paused and (calls := unanswered(run.calls, run.answers)):
            error = RunPaused(run.run_id, calls)
            error.session = await store.get(order.user_id, order.session_id)
            raise error
    return replace(order, run_id=run.run_id, session_id=run.session_id, asked=run.asked or "")


async def _asked(store: RunStore, order: Order) -> RunInfo:
    """The run that these answers are for: that of the id, or the newest of the session that asked about one."""
    if order.asked is not None:
        return await store.run(order.user_id, order.run_id)
    runs = await store.runs(order.user_id, session_id=order.session_id)
    for run in runs:
        if {call["id"] for call in run.calls} & set(order.answers or ()) or run.status == "paused":
            return run
    raise ArgumentError(f"no run of session {order.session_id!r} waits for answers")


async def outcome_of(store: RunStore, order: Order) -> Session | RunInfo | None:
    """What came of the run of that id, which is waited for; the run, where it has to go on; None: it is to begin.

    `RunConflict` where it was asked something else, `RunFailed` where it did not complete.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            run = await store.run(order.user_id, order.run_id)
        except SessionNotFound:
            return None
        check_same(run, order)
        if run.status in OVER:
            return await _outcome(store, run)
        if run.session_id is None:
            raise SessionNotFound(f"the session of run {run.run_id!r} was deleted")
        if run.status == "paused" and unanswered(run.calls, run.answers):
            return await store.get(run.user_id, run.session_id)
        if run.status in ("interrupted", "paused"):
            return run
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


async def over(store: RunStore, user_id: str, run_id: str, seconds: float) -> RunInfo:
    """The run when it is over, or as it stands after so many seconds."""
    pause, waited = FIRST_PAUSE, 0.0
    while (run := await store.run(user_id, run_id)).status not in OVER and waited < seconds:
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
    return run


def check_same(run: RunInfo, order: Order) -> None:
    """`RunConflict` where the run of that id was asked something else."""
    what = None
    if order.session_id is not None and run.session_id not in (None, order.session_id):
        what = "for another session"
    elif order.asked and run.asked and order.asked != run.asked:
        what = "with another input, or of another agent"
    if what is not None:
        raise RunConflict(f"there is a run {run.run_id!r} already, {what}; an id is for one run alone")


async def _outcome(store: RunStore, run: RunInfo) -> Session:
    """The session up to the last turn of a run that is over; `RunFailed` with it where that did not complete."""
    if run.session_id is None:
        raise SessionNotFound(f"run {run.run_id!r} is {run.status}; its session was deleted")
    session = await store.get(run.user_id, run.session_id)
    last = max((place for place, turn in enumerate(session.turns) if turn.run_id == run.run_id), default=None)
    if last is not None:
        session.turns = session.turns[: last + 1]
    session.tell(run.status, run.calls)
    if run.status == "completed":
        return session
    told = run.error or {"message": f"the run was {run.status}", "kind": run.status}
    error = RunFailed(told["message"], kind=told["kind"])
    error.session = session
    raise error
