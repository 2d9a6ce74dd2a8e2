"""Submits a run: what it was asked becomes its row, and a ticket tells what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from auwgent.engine.agent import Agent
from auwgent.engine.order import Order
from auwgent.errors import ArgumentError, SessionNotFound
from auwgent.fleet.queue import Queue
from auwgent.fleet.ticket import Ticket
from auwgent.runs import asked_of, check_same, found, outcome_of, with_output
from auwgent.session import Session, new_id, now
from auwgent.store.line import Submission, queue_named
from auwgent.store.tables import as_key, input_json, micros, to_json

LOOK = 0.2  # seconds between two looks at a run that is to go on

MOST = 1_000_000  # how far priorities go, up and down


async def submit(
    queue: Queue,
    agents: Mapping[str, Agent],
    order: Order,
    *,
    priority: int = 0,
    at: datetime | None = None,
    asks: bool = True,
) -> Ticket[Any]:
    """Accept the run that was ordered; it is in the store when this returns."""
    _check(order, priority, at)
    if not asks:
        order = replace(order, settings={**order.settings, "asks": False})
    if order.answers is not None:
        order = await found(queue.store, order)
        await queue.goes_on(order.user_id, order.run_id)
    else:
        order = replace(
            order, session_id=order.session_id or new_id(), asked=asked_of(order.input, order.agent)
        )
        if not await queue.submit(_as_row(order, priority, at)):
            run = await queue.store.run(order.user_id, order.run_id)
            check_same(run, order)
            order = replace(order, session_id=run.session_id)
    return Ticket(
        id=order.run_id,
        session_id=str(order.session_id),
        user_id=order.user_id,
        _queue=queue,
        _outcome=partial(_outcome, queue, agents, order),
    )


def _check(order: Order, priority: Any, at: Any) -> None:
    """`ArgumentError` where a run cannot be queued as it was ordered."""
    if not order.keep:
        raise ArgumentError("`keep=False` goes without submit: a queued run is kept")
    if order.record is not None:
        raise ArgumentError("`record` goes without submit: the tape would be written on another machine")
    if order.session is not None:
        raise ArgumentError(
            "`session` goes without submit: put it into the store first, and give its `session_id`"
        )
    if order.input is None and order.answers is None:
        raise ArgumentError("submit needs an input, or `answers`")
    if order.settings.get("context", {}) is None:
        raise ArgumentError("the `context` of a queued run must be JSON: another process reads it")
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > MOST:
        raise ArgumentError(
            f"`priority` should be a whole number between -{MOST} and {MOST}, not {priority!r}"
        )
    if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
        raise ArgumentError(f"`at` should be a datetime with a time zone, not {at!r}")


def _as_row(order: Order, priority: int, at: datetime | None) -> Submission:
    return Submission(
        user_id=as_key("user_id", order.user_id),
        session_id=as_key("session id", str(order.session_id)),
        run_id=as_key("run id", order.run_id),
        queue=queue_named(order.agent, order.settings.get("profile")),
        asked=str(order.asked),
        input=input_json(order.input) or "null",
        settings=to_json({"agent": order.agent, **order.settings}),
        priority=priority,
        due_at=None if at is None or at <= now() else micros(at),
    )


async def _outcome(queue: Queue, agents: Mapping[str, Agent], order: Order) -> Session[Any]:
    """Wait for what comes of a run that another process carries out."""
    while True:
        known = await outcome_of(queue.store, order)
        if isinstance(known, Session):
            return with_output(known, agents)
        if known is None:
            raise SessionNotFound(f"there is no run {order.run_id!r} any more")
        await asyncio.sleep(LOOK)
