"""The calls of one model message: which may happen, doing them side by side, and the results in their order."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from auwgent.engine import calllog
from auwgent.engine.agent import READ_RESULT
from auwgent.engine.capabilities import Capability, Ending
from auwgent.engine.order import Pause
from auwgent.engine.state import Frame
from auwgent.errors import MiddlewareError, TapeMiss, ToolError, goes_through
from auwgent.hooks.answers import Verdict
from auwgent.hooks.context import NotNow
from auwgent.questions import Kind, Question, question
from auwgent.session import Outcome, Part, ToolCall, Turn, now
from auwgent.tape.base import Asking
from auwgent.tools.function import media_in, result_content
from auwgent.words import describe, did_you_mean

SKIPPED = "This call was skipped: it was not allowed to run. Go on without it."
DENIED = "This call was denied: the user did not approve it. Go on without it."


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a call: its intent, what the model reads, and the ending if the call ended the turn."""

    event: str | None  # None: nobody is told
    value: dict[str, Any]
    content: str | list[Part]
    outcome: Outcome
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One call and what to do with it: run it, unless it is settled already."""

    call: ToolCall
    settled: Settled | None = None
    capability: Capability | None = None
    checked: Any = None
    question: Question | None = None  # it waits for the answer to this


async def settle_calls(
    frame: Frame, offered: Mapping[str, Capability], calls: Sequence[ToolCall], *, again: bool = False
) -> Ending | None:
    """Decide on each call in order, run those that may run side by side, record all results.

    Gives the ending if one of them ended the agent's turn. A failure that is not the tool's own (a hook, a
    limit) cancels the calls still under way and is raised; their results stay open. Where calls wait for an answer,
    here or in a helper, the others are made first, then `Pause` is raised. Calls that are made `again` were counted
    before.
    """
    plans: list[Plan] = []
    for call in calls:
        if not again:
            frame.count_tool(call.name, call.raw_args or json.dumps(call.args, sort_keys=True))
        plans.append(await plan(frame, offered, call))
    progress = frame.run.progress
    ending = _ending_of(progress.endings.pop(frame.key, None))
    questions: list[Question] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                None if one.question is not None else group.create_task(_carry_out(frame, one))
                for one in plans
            ]
            for one, task in zip(plans, tasks, strict=True):
                settled = None if task is None else await task
                if isinstance(settled, Settled):
                    if settled.event is not None:
                        await frame.emit(settled.event, settled.value)
                    ending = ending or settled.ending
                else:
                    questions += [one.question] if one.question is not None else []
                    questions += [] if settled is None else settled.questions
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    if questions:
        if ending is not None:  # it holds once the last call is answered
            progress.endings[frame.key] = json.loads(json.dumps(asdict(ending), default=str))
        raise Pause(questions)
    if not frame.call_id:  # no helper is at work any more
        progress.helpers.clear()
    return ending


def _ending_of(kept: dict[str, Any] | None) -> Ending | None:
    return None if kept is None else Ending(**{**kept, "stack": tuple(kept["stack"])})


async def plan(
    frame: Frame, offered: Mapping[str, Capability], call: ToolCall, *, may_wait: bool = True
) -> Plan:
    """Decide what happens with a call. One that was not declared or does not fit is never executed."""
    capability = offered.get(call.name)
    try:
        if capability is None:
            name = call.name
            guess = did_you_mean(name, offered)
            raise ToolError(
                f"there is no tool {name!r}; {guess}{' ' * bool(guess)}there are: {', '.join(offered) or 'none'}"
            )
        if call.raw_args is not None:
            raise ToolError(_unreadable(call.raw_args))
        args = frame.run.arguments(call)
        checked = capability.check(args)
    except ToolError as error:
        return Plan(call, settled=await failed(frame, call, str(error)))
    except MiddlewareError:  # a hook that changes arguments
        raise
    except BaseException as error:  # a validator of the user's
        if goes_through(error):
            raise
        return Plan(
            call, settled=await failed(frame, call, f"the arguments cannot be checked: {describe(error)}")
        )
    if capability.kind == "intent":
        return Plan(call, None, capability, checked)
    if call.id in frame.run.left:  # a helper that is at work: all were asked before
        return Plan(call, None, capability, checked)
    frame.planned = call.id if may_wait and frame.run.can_pause else None
    try:
        return await _permitted(frame, capability, call, args, checked)
    finally:
        frame.planned = None


async def _permitted(
    frame: Frame, capability: Capability, call: ToolCall, args: dict[str, Any], checked: Any
) -> Plan:
    """Ask the hooks, then the user where the tool wants it. What was answered in an earlier leg is not asked again."""
    kind, answered = capability.kind, frame.run.answer_to(call)
    verdict = Verdict(f"{kind}_call", {"type": call.name, "args": copy.deepcopy(args), "id": call.id})
    is_asked = False  # by a hook
    frame.answered = answered is not None
    try:
        await frame.run.chain.fire("onIntent", frame.ctx, verdict)
    except NotNow:
        is_asked = True
    finally:
        frame.answered = False
    if answered is None:
        await frame.emit(f"{kind}_call", verdict.value)
    if is_asked:
        return _waits(frame, call, "approval")
    if answered is not None and not _is_yes(answered[1]):
        return Plan(call, await _denied(frame, capability, call, answered[1]))
    if verdict.skip:
        return Plan(call, await _refused(frame, capability, call, SKIPPED, "skipped"))
    if verdict.overridden:
        return Plan(call, await succeeded(frame, capability, call, verdict.result, overridden=True))
    if verdict.value["args"] != args:  # a hook changed them in place
        args = verdict.value["args"]
        try:
            checked = capability.check(args)
        except ToolError as error:
            return Plan(call, await failed(frame, call, str(error)))
    if answered is not None and answered[0]["kind"] == "tool":
        return Plan(call, await _given(frame, capability, call, answered[1]))
    if capability.is_callers:
        if frame.planned is not None:
            return _waits(frame, call, "tool")
        return Plan(call, await _denied(frame, capability, call, False))
    answer = await _approved(frame, capability, call, args, answered is not None)
    if answer is None:
        return _waits(frame, call, "approval")
    if answer is not True:
        return Plan(call, await _denied(frame, capability, call, answer))
    return Plan(call, None, capability, checked)


async def _approved(
    frame: Frame, capability: Capability, call: ToolCall, args: dict[str, Any], has_yes: bool
) -> bool | str | None:
    """Return whether the call may be made, or why not; None where that is answered later.

    A yes given to a hook counts, but only for what was asked.
    """
    approved = frame.run.approved.pop(call.id, None)
    if capability.options.approve == "deny" or approved not in (None, (call.name, args)):
        return False
    if capability.options.approve == "allow" or approved is not None or has_yes:
        return True
    return await frame.ask_user({"type": call.name, "args": args, "id": call.id})


def _is_yes(answer: Any) -> bool:
    """Return whether an answer to a question lets the call go on: a yes, or what a tool of the caller's gave."""
    return answer is True or isinstance(answer, Mapping)


def _waits(frame: Frame, call: ToolCall, kind: Kind) -> Plan:
    """Plan a call that waits for an answer: it is asked about as it is recorded."""
    expires = now() + frame.run.services.limits.approval
    return Plan(call, question=question(call, frame.agent.name, kind, expires))


async def _given(frame: Frame, capability: Capability, call: ToolCall, answer: Mapping[str, Any]) -> Settled:
    """Settle a call of a tool that the caller has run."""
    if "error" in answer:
        return await failed(frame, call, answer["error"])
    return await succeeded(frame, capability, call, answer["result"])


async def _denied(frame: Frame, capability: Capability, call: ToolCall, answer: Any) -> Settled:
    words = f"{DENIED} The user said: {answer}" if answer and isinstance(answer, str) else DENIED
    return await _refused(frame, capability, call, words, "denied")


async def _carry_out(frame: Frame, one: Plan) -> Settled | Pause:
    """Run a planned call and record its result, unless a helper pauses in it."""
    try:
        with calllog.tool_called(frame.run, frame.agent.name, one.call) as end:
            settled = await settle(frame, one)
            end.update(outcome=settled.outcome, result=settled.content)
    except Pause as pause:
        return pause
    frame.record(
        Turn(
            role="tool",
            content=settled.content,
            tool_call_id=one.call.id,
            name=one.call.name,
            outcome=settled.outcome,
        )
    )
    await frame.checkpoint("tool_end", call_id=one.call.id, name=one.call.name)
    return settled


async def settle(frame: Frame, one: Plan) -> Settled:
    """Execute the plan. What the user's function raises is for the model to read; all else ends the run."""
    if one.settled is not None:
        return one.settled
    capability, call = one.capability, one.call
    assert capability is not None  # of a plan that is not settled
    await frame.checkpoint(
        "tool_start",
        call_id=call.id,
        name=call.name,
        args=call.args,
        kind=capability.kind,
        # A helper that was begun is taken up where it was.
        idempotent=capability.options.idempotent or capability.kind == "helper",
    )
    frame.run.begun.add(call.id)
    result, failure = None, None
    try:
        result = await _made(frame, capability, one)
    except ToolError as error:
        failure = str(error)
    except TapeMiss:
        raise
    except BaseException as error:
        if capability.kind == "helper" or (goes_through(error) and not _is_its_own(error)):
            raise
        failure = describe(error)
    if frame.run.stopped is not None:
        raise frame.run.stopped
    if failure is not None:
        return await failed(frame, call, failure)
    return await succeeded(frame, capability, call, result)


async def _made(frame: Frame, capability: Capability, one: Plan) -> Any:
    """Make the call; where there is a tape, it is asked in place of the tool."""
    work, tape = partial(capability.run, frame, one.checked, one.call), frame.run.services.tape
    if tape is None or capability.kind not in ("tool", "workflow") or capability.name == READ_RESULT:
        return await work()
    inner = capability.inner(frame) if capability.inner is not None else None
    return await tape.call(Asking(frame.agent.name, capability.kind, one.call), work, inner)


def _is_its_own(error: BaseException) -> bool:
    """Return whether a tool was cancelled by its own code, and not by us."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()


async def succeeded(
    frame: Frame, capability: Capability, call: ToolCall, result: Any, *, overridden: bool = False
) -> Settled:
    """Return the result as the hooks left it, and as the model reads it."""
    if capability.kind == "intent":
        return await _emitted(frame, capability, result)
    handed = result if isinstance(result, Ending) else None  # a helper that handed over to the user
    if handed is not None:
        result = handed.value
    if parts := media_in(result):
        result = [part.model_dump(mode="json") for part in parts]
    value = {"name": call.name, "args": call.args, "result": result, "id": call.id}
    if overridden:
        value["overridden"] = True
    event = f"{capability.kind}_result"
    value = (await frame.ask(event, value)).value
    try:
        content = result_content(value["result"], parts)
    except ToolError as error:
        return await failed(frame, call, str(error))
    return Settled(event, value, content, "ok", handed)


async def _emitted(frame: Frame, capability: Capability, fields: dict[str, Any]) -> Settled:
    """An intent of the user's own; a terminal one gives the user the word. Nobody hears of one that is skipped."""
    verdict = await frame.ask(capability.name, fields)
    if verdict.skip:
        return Settled(None, verdict.value, SKIPPED, "skipped")
    fields = verdict.value
    ending = Ending(fields, capability.name, fields, frame.agent.name, frame.stack)
    return Settled(capability.name, fields, "ok", "ok", ending if capability.terminal else None)


async def failed(frame: Frame, call: ToolCall, message: str) -> Settled:
    """Settle a call that failed or could not be made; the model is told why."""
    value = {"tool": call.name, "message": message, "id": call.id}
    value = (await frame.ask("tool_error", value)).value
    return Settled("tool_error", value, f"Error: {value['message']}", "error")


async def _refused(
    frame: Frame, capability: Capability, call: ToolCall, words: str, outcome: Outcome
) -> Settled:
    event = f"{capability.kind}_skipped"
    value = {"type": call.name, "args": call.args, "id": call.id}
    value = (await frame.ask(event, value)).value
    return Settled(event, value, words, outcome)


def _unreadable(raw_args: str) -> str:
    if raw_args.strip() in ("", "{}"):
        return "the arguments never came, so it was not run; call it again, with its arguments"
    return (
        "the arguments are not a JSON object, or were cut off, or are nested too deep, so it was not run; "
        "call it again with valid JSON"
    )
