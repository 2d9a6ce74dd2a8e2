"""Runs that are known by their ids: how they are known again, what is kept of them, and what came of one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from auwgent.engine.agent import Agent
from auwgent.engine.state import Order
from auwgent.errors import RunConflict, RunFailed, SessionNotFound
from auwgent.secrecy import is_secret, is_secret_name, scrubbed
from auwgent.session import Part, Session
from auwgent.store.base import OVER, RunInfo, RunStore

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks at a run that is under way


def settings_of(profile: str | None, overrides: Sequence[str], context: Mapping[str, Any]) -> dict[str, Any]:
    """How a run was asked for, as it may be kept for its later attempts: plain JSON, without keys and passwords.

    Its `context` is None where a value of it is not JSON. What was left out of the call is not in it.
    """
    settings: dict[str, Any] = {}
    if profile is not None:
        settings["profile"] = profile
    plain = [one for one in overrides if not is_secret(one.partition("=")[0].strip().split("."))]
    if plain:
        settings["overrides"] = [scrubbed(one) for one in plain]
    if context:
        try:
            text = json.dumps({key: value for key, value in context.items() if not is_secret_name(key)})
            settings["context"] = json.loads(scrubbed(text))
        except (TypeError, ValueError, RecursionError):
            settings["context"] = None
    return settings


def asked_of(content: str | list[Part] | None, agent: str) -> str:
    """A hash of what a run was asked; of one that says nothing new, empty: it may be any."""
    if content is None:
        return ""
    parts = content if isinstance(content, str) else [part.model_dump(mode="json") for part in content]
    return hashlib.sha256(json.dumps([parts, agent]).encode()).hexdigest()


def with_output(session: Session, agents: Mapping[str, Agent]) -> Session:
    """Return the session with its structured answer as an instance, where the agent that gave it has a type for it."""
    answer, agent = session.answer(), agents.get(session.stack[-1]) if session.stack else None
    output = None
    if answer is not None and not answer.tool_calls and agent is not None and agent.output is not None:
        output = agent.output.instance(answer.text)
    return session.tell(session.status, session.pending, output)


async def outcome_of(store: RunStore, order: Order) -> Session | Order:
    """What came of the run of that id, which is waited for; or the order, where the run has to begin or to go on.

    `RunConflict` where it was asked something else, `RunFailed` where it did not complete.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            run = await store.run(order.user_id, order.run_id)
        except SessionNotFound:
            return order
        _check_same(run, order)
        if run.status in OVER:
            return await _outcome(store, run)
        if run.session_id is None:
            raise SessionNotFound(f"the session of run {run.run_id!r} was deleted")
        if run.status == "interrupted":
            return replace(order, session_id=run.session_id)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _check_same(run: RunInfo, order: Order) -> None:
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
