"""A run as a store sees it: the hooks that the engine calls, called by hand."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from auwgent.hooks.context import AgentState, Context, RunState
from auwgent.pairing import paired
from auwgent.questions import question
from auwgent.session import Session, ToolCall, Turn, new_id, now


class StoreRun:
    """One run of agent Main on a store. `say` adds to the conversation, `save` is a checkpoint.

    The store is a middleware: some of the hooks, `async` or plain.
    """

    def __init__(
        self,
        store: Any,
        session_id: str | None = None,
        user_id: str = "u1",
        *,
        run_id: str | None = None,
        leg: int = 1,
    ) -> None:
        """With a `run_id` it is known by it; its later legs say nothing new."""
        self.store = store
        session = Session(id=session_id or new_id(), user_id=user_id)
        self.state = RunState(
            run_id=run_id or new_id(),
            root_agent="Main",
            user_id=user_id,
            session=session,
            input="Hello" if leg == 1 else None,
            leg=leg,
            asked=None if run_id is None else "",
        )
        self.ctx = Context(self.state, AgentState("Main", ("Main",)))

    @property
    def session(self) -> Session:
        return self.state.session

    async def start(self) -> StoreRun:
        """Load the session, and take it over healed, as the engine does."""
        stored = await self._call("onRunStart")
        if isinstance(stored, Mapping):
            stored = Session.model_validate(dict(stored))
        if stored is not None:
            healed = stored.turns if self.state.leg > 1 else paired(stored.turns, where_said=True)
            self.state.session = stored.model_copy(update={"turns": list(healed)})
        self.session.stack = ["Main"]
        return self

    # What is said in the run; each gives the new turn.

    def say(self, text: str, role: Any = "user", **fields: Any) -> Turn:
        turn = Turn(role=role, content=text, agent="Main", run_id=self.state.run_id, **fields)
        self.session.turns.append(turn)
        return turn

    def ask(self, *calls: ToolCall) -> Turn:
        return self.say("", "assistant", tool_calls=list(calls))

    def answer(self, call: ToolCall, text: str) -> Turn:
        return self.say(text, "tool", tool_call_id=call.id, name=call.name, outcome="ok")

    async def save(self, **point: Any) -> None:
        if point:
            self.ctx["checkpoint"] = point
        await self._call("onCheckpoint")

    async def pause(self, *calls: ToolCall, until: datetime | None = None) -> Session:
        """End this leg: the run waits for a yes or a no to these calls, for an hour unless it is told how long."""
        expires = until or now() + timedelta(hours=1)
        self.state.pending = [question(call, "Main", "approval", expires) for call in calls]
        return await self.end("paused")

    async def end(self, status: str = "completed", error: BaseException | None = None) -> Session:
        self.state.status = status
        self.state.error = error
        await self._call("onRunComplete")
        return self.session

    async def _call(self, hook: str) -> Any:
        method = getattr(self.store, hook, None)
        outcome = None if method is None else method(self.session, self.ctx)
        return await outcome if inspect.isawaitable(outcome) else outcome


async def talk(store: Any, text: str, session_id: str | None = None, user_id: str = "u1") -> Session:
    """Go through a whole run: the text, a checkpoint, an answer."""
    run = await StoreRun(store, session_id, user_id).start()
    run.say(text)
    await run.save()
    run.say(f"You said: {text}", "assistant")
    return await run.end()


async def stored(store: Any, session_id: str, user_id: str = "u1") -> Session:
    """Return the session as another run finds it."""
    run = await StoreRun(store, session_id, user_id).start()
    await run.end()
    return run.session
