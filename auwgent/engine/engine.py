"""A run from its input to its final session: what happens before the loop, after it, and when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from auwgent.engine.ask import FINAL, Undecided, may_overrule, may_restart, render_prompt, told
from auwgent.engine.capabilities import Ending
from auwgent.engine.loop import converse, help_out, recall, take_up
from auwgent.engine.run import Frame, Order, Run, Services, Sink, Start, deadline
from auwgent.errors import (
    AuwgentError,
    ConfigError,
    MiddlewareError,
    Problem,
    SessionNotFound,
    ToolError,
)
from auwgent.hooks.answers import Decision
from auwgent.hooks.context import SETTABLE_AT_START
from auwgent.hooks.pipeline import describe
from auwgent.prompts import MissingValues
from auwgent.secrecy import scrubbed
from auwgent.session import Session, ToolCall, Turn
from auwgent.tools.function import result_text

log = logging.getLogger("auwgent.engine")


class Engine:
    """Runs an agent. Holds nothing of a run; many runs may be under way at once."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def run(self, order: Order, sink: Sink | None = None) -> Session:
        """One run to its end; the session as it is then."""
        return await self.carry_out(Run(self.services, order, sink))

    async def carry_out(self, run: Run) -> Session:
        """A run to its end. Whatever happens, the hooks see it end once; errors carry the session."""
        root = run.frame(self.services.agents[self.services.root], (self.services.root,))
        failure: BaseException | None = None
        try:
            await self._go(run, root)
            run.facts.status = "completed"
        except asyncio.CancelledError as cancelled:
            failure, run.facts.status, run.facts.error = cancelled, "cancelled", cancelled
        except Exception as error:
            failure = error
        unsaved = await self._complete(run, root)
        if failure is None and unsaved is None:
            return run.session
        if failure is not None and unsaved is not None:
            failure.add_note(f"and then: {unsaved}")
            log.error("the session was not saved: %s", unsaved)
        over = failure or unsaved
        assert over is not None
        if isinstance(over.__context__, Undecided):
            over.__context__ = None  # it stems from the error itself, and a chain must not be a circle
        raise attach(over, run.session) from over.__cause__

    async def _go(self, run: Run, root: Frame) -> None:
        """Start, then converse until nobody forces another start; a failure that stands is reported."""
        began = asyncio.get_running_loop().time()
        ending: Ending | None = None  # of calls that were made again
        while True:
            try:
                async with deadline(self.services.limits, began):
                    if run.start is None:
                        run.start, still_open = await self._start(run, root)
                        check_prompts(run)
                        if still_open:
                            ending = await take_up(self._frames(run), still_open)
                        self._take_input(run)
                        ending = ending or await recall(self._frames(run))
                    if run.facts.input is not None:
                        ending = None  # the user has said more
                    await self._converse(run, ending)
                return
            except Exception as failure:
                error = failure.error if isinstance(failure, Undecided) else failure
                try:
                    decision = failure.decision if isinstance(failure, Undecided) else await told(root, error)
                    if await self._overruled(run, root, error, decision):
                        if decision is not None and decision.swallow:
                            return
                        continue
                except Exception as worse:
                    error = worse
                run.facts.status, run.facts.error = "failed", error
                await self._report(root, error)
                raise error from error.__cause__

    async def _start(self, run: Run, root: Frame) -> tuple[Start, list[ToolCall]]:
        """`onRunStart`, then make the session one that this engine can go on with; gives the calls still to be made."""

        def adopt(session: Session) -> Session:
            if session is not run.facts.session:  # else a hook has changed it in place, or not at all
                run.facts.session = session.model_copy(deep=True)
            self._settle_in(run, root)
            return run.facts.session

        root.place.settable = SETTABLE_AT_START
        try:
            await run.chain.run_start(run.session, root.ctx, adopt)
        finally:
            root.place.settable = ()
        self._settle_in(run, root)
        still_open = run.open_calls()
        session = run.session
        return Start(tuple(session.stack), len(session.turns), session.system_prompt), still_open

    def _settle_in(self, run: Run, root: Frame) -> None:
        session = run.session
        session.stack = self._known(session.stack)
        former = self._former_roots(session.turns)
        for turn in session.turns:
            if turn.agent is None or turn.agent in former:
                turn.agent = self.services.root
        root.place.stack, root.place.agent = tuple(session.stack), session.stack[-1]

    def _former_roots(self, turns: Sequence[Turn]) -> set[str]:
        """Names of agents that this config does not have and nobody called: the root, before it was renamed."""
        unknown = {turn.agent for turn in turns if turn.agent} - self.services.agents.keys()
        if not unknown:
            return set()
        return unknown - {call.name for turn in turns for call in turn.tool_calls or ()}

    def _known(self, stack: list[str]) -> list[str]:
        """The part of a stack that this config still has: each a helper of the one before."""
        known = [self.services.root]
        for name in stack[1:]:
            if name not in self.services.agents[known[-1]].helpers:
                log.warning(
                    "the session waits for %r, which is no helper of %r now; %r goes on",
                    name,
                    *known[-1:] * 2,
                )
                break
            known.append(name)
        return known

    def _take_input(self, run: Run) -> None:
        if run.facts.input is not None:
            run.record(Turn(role="user", content=run.facts.input, agent=run.session.stack[-1]))
        elif not run.session.turns:
            raise SessionNotFound(
                f"there is nothing to go on with: session {run.session.id!r} has no turns yet"
            )

    async def _converse(self, run: Run, ending: Ending | None) -> None:
        """The agent on top of the stack takes the input, unless an `ending` says that its turn is over already.

        When it is done, its callers go on.
        """
        frame = self._frames(run)
        while frame.caller is not None:
            run.base, caller = frame, frame.caller
            try:
                ending = await help_out(frame, ending)
                if ending.stack:
                    run.session.stack = list(ending.stack)
                    return
                news = f"[{frame.agent.name} is done. Its last answer: {result_text(ending.value)}]"
            except ToolError as error:
                news = f"[{error}]"
            run.session.stack = list(caller.place.stack)
            frame, ending = caller, None
            frame.record(Turn(role="user", content=news))
        run.base = frame
        ending = ending or await converse(frame)
        run.session.stack = list(ending.stack or frame.place.stack)

    def _frames(self, run: Run) -> Frame:
        frame: Frame | None = None
        stack = run.session.stack
        for depth, name in enumerate(stack, start=1):
            frame = run.frame(self.services.agents[name], tuple(stack[:depth]), frame)
        assert frame is not None  # _known always leaves the root
        return frame

    async def _overruled(self, run: Run, root: Frame, error: Exception, decision: Decision | None) -> bool:
        """Do what an `onError` hook decided. False: nothing was, or it may not be; the failure stands."""
        if decision is None or run.start is None or isinstance(error, FINAL):
            return False
        if decision.swallow:
            run.unfinished.clear()
            run.close_calls()
            run.facts.error = None
            run.session.stack = [self.services.root]
            if decision.response is not None:
                payload = {"text": decision.response}
                payload = (await run.chain.intent("response_text", payload, root.ctx)).value
                run.record(Turn(role="assistant", content=payload["text"], agent=root.agent.name))
                await run.emit("response_text", payload, root.agent.name)
            return True
        if not may_overrule(error) or decision.force_start == "llm_start" or not await may_restart(root):
            return False  # llm_start was tried where the model was asked
        rewind(run, run.start)
        return True

    async def _report(self, root: Frame, error: Exception) -> None:
        """The `error` intent: one for each failed run. What fails here as well changes nothing any more."""
        kind = getattr(error, "fault", None) or type(error).__name__
        try:
            await root.announce("error", {"message": scrubbed(str(error)), "kind": kind})
        except Exception as also:
            log.warning("while an error was reported: %s", describe(also))

    async def _complete(self, run: Run, root: Frame) -> AuwgentError | None:
        """`onRunComplete`, whatever happens meanwhile: a second cancel waits until the session is saved."""
        if isinstance(run.facts.error, MiddlewareError):
            run.unfinished.clear()  # it may be the very text that a guard has refused
        run.keep_unfinished()
        run.close_calls()
        stack = run.session.stack = run.session.stack or [self.services.root]
        root.place.stack, root.place.agent = tuple(stack), stack[-1]
        saving = asyncio.ensure_future(run.chain.run_complete(run.session, root.ctx))
        cancelled = False
        while not saving.done():
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                cancelled = True
        unsaved = saving.result()
        if cancelled and run.facts.status == "completed":
            if unsaved is not None:
                log.error("the session was not saved: %s", unsaved)
            raise asyncio.CancelledError
        return unsaved


def attach(error: BaseException, session: Session) -> BaseException:
    """The error with the session as far as it got."""
    if isinstance(error, AuwgentError):
        error.session = session
    return error


def check_prompts(run: Run) -> None:
    """Render the prompts of all agents a run can reach, so that a missing value is found before any call."""
    reachable = list(run.session.stack)
    for name in reachable:
        reachable += [one for one in run.services.agents[name].helpers if one not in reachable]
    missing: list[Problem] = []
    for name in reachable:
        try:
            render_prompt(run.services.agents[name], run.facts.values)
        except MissingValues as error:
            missing += [replace(problem, key=f"prompt of {name}") for problem in error.problems]
    if missing:
        raise ConfigError(missing)


def rewind(run: Run, start: Start) -> None:
    """Back to the session of `onRunStart` and the input, but tool calls that finished keep their results."""
    session = run.session
    session.stack, session.system_prompt = list(start.stack), start.system_prompt
    since = session.turns[start.turns :]
    finished = {turn.tool_call_id for turn in since if turn.role == "tool"}
    asked = next((turn for turn in since if turn.role == "user"), None)
    kept: list[Turn] = []
    explained: set[str | None] = set()  # agents whose calls are kept, and so the words they followed
    for turn in reversed(since):
        calls = [call for call in turn.tool_calls or () if call.id in finished]
        if calls:
            explained.add(turn.agent)
            kept.append(turn.model_copy(update={"tool_calls": calls}))
        elif turn.role == "tool":
            kept.append(turn)
        elif turn.role == "user" and (turn is asked or turn.agent in explained):
            explained.discard(turn.agent)
            kept.append(turn)
    session.turns[start.turns :] = reversed(kept)
    run.unfinished.clear()
    run.stopped = None
