"""Tools that callers run themselves, in protocols where nobody names a session: runs that wait for their results.

Such a run is kept for its user until its calls are answered, or an hour is over. The ids of its calls name it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from auwgent.errors import AuwgentError, SessionNotFound
from auwgent.inputs import Input
from auwgent.serve.desk import Desk
from auwgent.serve.faults import Refusal, bad_request
from auwgent.serve.live import Live
from auwgent.serve.users import Who
from auwgent.session import Session, new_id, now
from auwgent.store.base import RunInfo
from auwgent.words import describe

log = logging.getLogger("auwgent.serve")

PREFIX = "open-calls-"  # of the ids of sessions that are there for their open calls alone
KEPT = timedelta(hours=1)


def caller_tools(
    desk: Desk, tools: Sequence[Mapping[str, Any]] | None, *, nested: bool
) -> list[dict[str, Any]]:
    """Return the tools of a request as a run is given them; `nested` ones stand under `function`, as in chats."""
    if not tools:
        return []
    if not desk.config.caller_tools:
        words = "requests may bring no tools here: `caller_tools` in [serve] says so"
        raise bad_request(words, "tools", "unsupported_parameter")
    return [_tool(one, number, nested=nested) for number, one in enumerate(tools)]


def _tool(given: Mapping[str, Any], number: int, *, nested: bool) -> dict[str, Any]:
    place = f"tools[{number}]"
    if given.get("type") != "function":
        raise bad_request(f"`{place}` should be of type function; others are not run here", place)
    function = given.get("function") if nested else given
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise bad_request(f"`{place}` has no name", place)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": parameters,
    }


def call_id(run_id: str, of: str) -> str:
    """Return the id under which a caller knows an open call: it names the run as well."""
    return f"call_{_mark(of)}_{run_id}"


def run_of(given: str) -> str | None:
    """Return the run that a call's id names."""
    kind, _, rest = given.partition("_")
    mark, found, run_id = rest.partition("_")
    return run_id if kind == "call" and found and len(mark) == len(_mark("")) else None


def _mark(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:10]


def matched(run_id: str, calls: Sequence[Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers by the calls' own ids; `Refusal` where an open call has none."""
    known = {call_id(run_id, call["id"]): call["id"] for call in calls}
    found = {known.get(given, given): answer for given, answer in answers.items()}
    if missing := [call["type"] for call in calls if call["id"] not in found]:
        words = f"the run waits for {', '.join(missing)} as well; answer all of its calls at once"
        raise Refusal(409, "run_paused", words, param="messages", retry=False)
    return found


class Pending:
    """Begins such runs, and goes on with them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()

    def begun(
        self, who: Who, input: Input, history: Session | None, agent: str, options: Mapping[str, Any]
    ) -> Live:
        """Begin a run that is kept only where it ends in open calls."""
        session_id = PREFIX + new_id()
        if history is not None:
            options = {
                **options,
                "session": history.model_copy(update={"id": session_id, "user_id": who.user}),
            }
        live = self._desk.begin(who, input, agent=agent, session_id=session_id, **options)
        self._watch(live)
        return live

    async def answered(
        self,
        who: Who,
        answers: Mapping[str, Any],
        session_id: str | None,
        run: RunInfo | None = None,
        *,
        background: bool = False,
        asks: bool = False,
    ) -> Live:
        """Go on with a run: this one, or the one that the answered calls name, or that of the session."""
        store = self._desk.run_store()
        if run is None:
            run = await self._run(who, answers, session_id)
        if (
            run.status == "paused"
            and (run.session_id or "").startswith(PREFIX)
            and now() - run.made_at > KEPT
        ):
            await self._forget(who.user, run.session_id or "", run.run_id)
            raise Refusal(410, "expired", "those calls were open for more than an hour", retry=False)
        run = await store.answer(who.user, run.run_id, matched(run.run_id, run.calls, answers))
        live = self._desk.goes_on(run, background=background, asks=asks)
        if (run.session_id or "").startswith(PREFIX):
            self._watch(live)
        return live

    async def _run(self, who: Who, answers: Mapping[str, Any], session_id: str | None) -> RunInfo:
        store = self._desk.run_store()
        named = {run_of(one) for one in answers}
        if len(named) == 1 and None not in named:
            run = await store.run(who.user, str(named.pop()))
            if session_id in (None, run.session_id):
                return run
        elif session_id is not None:
            runs = await store.runs(who.user, session_id=session_id, limit=1)
            if runs:
                return runs[0]
        words = "no run of yours has such calls open; their ids are those of the answer that asked for them"
        raise Refusal(404, "not_found", words, param="messages")

    def _watch(self, live: Live) -> None:
        task = asyncio.get_running_loop().create_task(self._watched(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watched(self, live: Live) -> None:
        """Delete the session once the run is over, or its calls have been open for too long."""
        await live.ended()
        if live.status == "paused":
            await asyncio.sleep(KEPT.total_seconds())
            try:
                run = await self._desk.run_store().run(live.user, live.run_id)
            except (SessionNotFound, Refusal):
                return
            if run.status != "paused" or run.leg != live.leg:
                return
        await self._forget(live.user, live.session_id or "", live.run_id)

    async def _forget(self, user: str, session_id: str, run_id: str) -> None:
        try:
            await self._desk.run_store().delete(user, session_id)
        except SessionNotFound:
            pass  # it never came to be
        except AuwgentError as error:
            log.warning(
                "what was kept of run %s for its open calls could not be deleted: %s", run_id, describe(error)
            )
