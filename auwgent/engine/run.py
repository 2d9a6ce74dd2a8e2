"""A run from its input to its final session: what happens before the loop, after it, and when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from auwgent.engine.aside import ask_aside, embed_aside
from auwgent.engine.ask import FINAL, Reported, ask_hooks, may_overrule, may_restart
from auwgent.engine.capabilities import Ending
from auwgent.engine.failures import as_ours, deadline
from auwgent.engine.loop import converse, finish_helper, make_open_calls, repeat_answer
from auwgent.engine.order import Followed, Pause, Services, Start
from auwgent.engine.reentry import take_up
from auwgent.engine.state import Frame, Run
from auwgent.errors import (
    AuwgentError,
    ConfigError,
    MiddlewareError,
    Problem,
    RunPaused,
    RunTaken,
    SessionNotFound,
    ToolError,
    kind_of,
)
from auwgent.hooks.answers import Decision
from auwgent.prompts import MissingValues
from auwgent.secrecy import scrubbed
from auwgent.session import Session, ToolCall, Turn
from auwgent.tools.function import result_text
from auwgent.words import describe

log = logging.getLogger("auwgent.engine")


async def carry_out(run: Run) -> Session:
    """Carry a run to its end. Whatever happens, the hooks see it end once; errors carry the session."""
    run.ask_model = partial(ask_aside, run)
    if run.services.embed is not None:
        run.embed = partial(embed_aside, run, run.services.embed)
    root = run.frame(run.services.agents[run.services.root], (run.services.root,))
    failure: BaseException | None = None
    try:
        await _go(run, root)
        run.status = "paused" if run.pending else "completed"
    except asyncio.CancelledError as cancelled:
        failure, run.status, run.error = cancelled, "cancelled", cancelled
    except Exception as error:
        failure = error
    unsaved = await _complete(run, root)
    if failure is None and unsaved is None:
        if run.pending:  # said when it can be answered, and not before
            await root.emit("paused", {"calls": [dict(call) for call in run.pending]})
        return run.session
    if failure is not None and unsaved is not None:
        failure.add_note(f"and then: {unsaved}")
        log.error("the session was not saved: %s", unsaved)
    over = failure or unsaved
    assert over is not None
    if isinstance(over.__context__, Reported):
        over.__context__ = None  # it stems from the error itself, and a chain must not be a circle
    raise attach(over, run.session) from over.__cause__


async def _go(run: Run, root: Frame) -> None:
    """Start, then converse until nobody forces another start; a failure that stands is reported."""
    run.began = asyncio.get_running_loop().time()
    ending: Ending | None = None  # of calls that were made again
    while True:
        try:
            async with deadline(run.services.limits, run.began - run.progress.seconds) as used:
                try:
                    if run.start is None:
                        run.start, still_open = await _start(run, root)
                        used(run.progress.seconds)
                        ending = await _begin(run, still_open)
                    if run.input is not None:
                        ending = None  # the user has said more
                    await _go_down_the_stack(run, ending)
                except Pause as pause:
                    await root.ask("paused", {"calls": [dict(call) for call in pause.questions]})
                    run.pending = pause.questions
            return
        except BaseException as failure:
            error = failure.error if isinstance(failure, Reported) else as_ours(failure)
            # What is told of the run is told where it happens.
            if isinstance(error, (RunPaused, RunTaken)):
                run.status, run.error = "failed", error
                raise error from error.__cause__
            try:
                decision = failure.decision if isinstance(failure, Reported) else await ask_hooks(root, error)
                if await _overruled(run, root, error, decision):
                    if decision is not None and decision.swallow:
                        return
                    continue
            except BaseException as worse:
                error = as_ours(worse)
            run.status, run.error = "failed", error
            await _emit_error(root, error)
            raise error from error.__cause__


async def _begin(run: Run, still_open: Sequence[ToolCall]) -> Ending | None:
    """Make the calls that are still open, then say the input; gives how the turn ends, if that is known by then."""
    check_prompts(run)
    ending: Ending | None = None
    if still_open:
        frame = _frames(run)
        ending = await make_open_calls(frame, still_open)
        run.ended.add(frame)  # so that the agent's next frame is shown their results
    if run.input is not None:
        run.record(Turn(role="user", content=run.input, agent=run.session.stack[-1]))
    elif not run.session.turns:
        raise SessionNotFound(f"there is nothing to go on with: session {run.session.id!r} has no turns yet")
    return ending or await repeat_answer(_frames(run))


async def _start(run: Run, root: Frame) -> tuple[Start, list[ToolCall]]:
    """Fire `onRunStart`, then fit the session to this engine; return the calls still to be made."""

    def adopt(session: Session) -> Session:
        run.session = session
        _settle_in(run, root)
        return run.session

    with root.may_set("onRunStart"):
        await run.chain.start(run.session, root.ctx, adopt)
        run.go_on()
    _settle_in(run, root)
    session = run.session
    if run.notes.get("runAttempt", 1) > 1 and any(
        turn.run_id == run.run_id and turn.role == "user" for turn in session.turns
    ):
        run.input = None  # it was said before the process died that had the run
    earlier = tuple(turn.id for turn in session.turns if turn.run_id == run.run_id)
    if isinstance(run.sink, Followed) and (attempt := run.notes.get("runAttempt")):
        run.sink.starts(attempt, earlier)
    still_open = take_up(run)
    run.call_ids.update(call.id for turn in session.turns for call in turn.tool_calls or ())
    return Start(tuple(session.stack), len(session.turns), session.system_prompt, earlier), still_open


def _settle_in(run: Run, root: Frame) -> None:
    """Fit the session to this config: its stack, and which turns are the root's."""
    session = run.session
    session.stack = _known(run.services, session.stack)
    former = _former_roots(run.services, session.turns)
    for turn in session.turns:
        if turn.agent is None or turn.agent in former:
            turn.agent = run.services.root
    root.stack, root.active = tuple(session.stack), session.stack[-1]


def _former_roots(services: Services, turns: Sequence[Turn]) -> set[str]:
    """Return names of agents that this config does not have and nobody called: the root, before it was renamed."""
    unknown = {turn.agent for turn in turns if turn.agent} - services.agents.keys()
    if not unknown:
        return set()
    return unknown - {call.name for turn in turns for call in turn.tool_calls or ()}


def _known(services: Services, stack: list[str]) -> list[str]:
    """Return the part of a stack that this config still has: each a helper of the one before."""
    known = [services.root]
    for name in stack[1:]:
        if name not in services.agents[known[-1]].helpers:
            log.warning(
                "the session expects %r, which is no longer a helper of %r; continuing with %r",
                name,
                *known[-1:] * 2,
            )
            break
        known.append(name)
    return known


async def _go_down_the_stack(run: Run, ending: Ending | None) -> None:
    """Give the input to the agent on top of the stack, unless an `ending` says that its turn is over already.

    When it is done, its callers go on.
    """
    frame = _frames(run)
    while frame.caller is not None:
        run.base, caller = frame, frame.caller
        try:
            ending = await finish_helper(frame, ending)
            if ending.stack:
                run.session.stack = list(ending.stack)
                return
            news = f"[{frame.agent.name} is done. Its last answer: {result_text(ending.value)}]"
        except ToolError as error:
            news = f"[{error}]"
        run.session.stack = list(caller.stack)
        frame, ending = caller, None
        frame.record(Turn(role="user", content=news))
    run.base = frame
    ending = ending or await converse(frame)
    run.session.stack = list(ending.stack or frame.stack)


def _frames(run: Run) -> Frame:
    frame: Frame | None = None
    stack = run.session.stack
    for depth, name in enumerate(stack, start=1):
        frame = run.frame(run.services.agents[name], tuple(stack[:depth]), frame)
    assert frame is not None  # _known always leaves the root
    return frame


async def _overruled(run: Run, root: Frame, error: Exception, decision: Decision | None) -> bool:
    """Do what an `onError` hook decided. False: nothing was, or it may not be; the failure stands."""
    if decision is None or run.start is None or isinstance(error, FINAL):
        return False
    if decision.swallow:
        run.unfinished.clear()
        run.close_calls()
        run.error = None
        run.session.stack = [run.services.root]
        if decision.response is not None:
            payload = (await root.ask("response_text", {"text": decision.response})).value
            run.record(Turn(role="assistant", content=payload["text"], agent=root.agent.name))
            await root.emit("response_text", payload)
        return True
    if not may_overrule(error) or decision.force_start == "llm_start" or not await may_restart(root):
        return False  # llm_start was tried where the model was asked
    rewind(run, run.start)
    return True


async def _emit_error(root: Frame, error: Exception) -> None:
    """Emit the `error` intent: one for each failed run. What fails here as well changes nothing any more."""
    try:
        value = {"message": scrubbed(str(error)), "kind": kind_of(error)}
        await root.emit("error", (await root.ask("error", value)).value)
    except Exception as also:
        log.warning("while an error was reported: %s", describe(also))


async def _complete(run: Run, root: Frame) -> AuwgentError | None:
    """Fire `onRunComplete`, whatever happens meanwhile: a second cancel waits until the session is saved."""
    if isinstance(run.error, MiddlewareError):
        run.unfinished.clear()  # it may be the very text that a guard has refused
    run.keep_unfinished()
    if not run.pending:
        run.close_calls()
    stack = run.session.stack = run.session.stack or [run.services.root]
    root.stack, root.active = tuple(stack), stack[-1]
    saving = asyncio.ensure_future(run.chain.complete(run.session, root.ctx))
    cancelled = False
    while not saving.done():
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            cancelled = cancelled or run.status in ("completed", "paused")
            run.status = "cancelled" if cancelled else run.status  # for the hooks that are still to come
    unsaved = saving.result()
    if cancelled:
        if unsaved is not None:
            log.error("the session was not saved: %s", unsaved)
        raise asyncio.CancelledError
    return unsaved


def attach(error: BaseException, session: Session) -> BaseException:
    """Return the error with the session as far as it got."""
    if isinstance(error, AuwgentError) and (error.session is None or not isinstance(error, RunPaused)):
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
            run.services.agents[name].system_prompt(run.values)
        except MissingValues as error:
            missing += [replace(problem, key=f"prompt of {name}") for problem in error.problems]
    if missing:
        raise ConfigError(missing)


def rewind(run: Run, start: Start) -> None:
    """Go back to the session of `onRunStart` and the input, but keep the results of finished tool calls."""
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
    run.left.clear()
    run.progress.helpers.clear()
    run.progress.endings.clear()
    run.stopped = None
