"""The calls of one model message: which may happen, doing them side by side, and the results in their order."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from auwgent.engine import calllog
from auwgent.engine.agent import READ_RESULT
from auwgent.engine.capabilities import Capability, Ending
from auwgent.engine.state import Frame
from auwgent.errors import MiddlewareError, TapeMiss, ToolError, goes_through
from auwgent.session import Outcome, Part, ToolCall, Turn
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


async def settle_calls(
    frame: Frame, offered: Mapping[str, Capability], calls: Sequence[ToolCall]
) -> Ending | None:
    """Decide on each call in order, run those that may run side by side, record all results.

    Gives the ending if one of them ended the agent's turn. A failure that is not the tool's own (a hook, a
    limit) cancels the calls still under way and is raised; their results stay open.
    """
    plans: list[Plan] = []
    for call in calls:
        frame.count_tool(call.name, call.raw_args or json.dumps(call.args, sort_keys=True))
        plans.append(await plan(frame, offered, call))
    ending: Ending | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_carry_out(frame, one)) for one in plans]
            for task in tasks:
                settled = await task
                if settled.event is not None:
                    await frame.emit(settled.event, settled.value)
                ending = ending or settled.ending
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    return ending


async def plan(frame: Frame, offered: Mapping[str, Capability], call: ToolCall) -> Plan:
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
    return await _permitted(frame, capability, call, args, checked)


async def _permitted(
    frame: Frame, capability: Capability, call: ToolCall, args: dict[str, Any], checked: Any
) -> Plan:
    """Ask the hooks, then the user where the tool wants it."""
    kind = capability.kind
    value = {"type": call.name, "args": copy.deepcopy(args), "id": call.id}
    verdict = await frame.ask(f"{kind}_call", value)
    await frame.emit(f"{kind}_call", verdict.value)
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
    answer = await _approved(frame, capability, call, args)
    if answer is not True:
        words = f"{DENIED} The user said: {answer}" if answer else DENIED
        return Plan(call, await _refused(frame, capability, call, words, "denied"))
    return Plan(call, None, capability, checked)


async def _approved(frame: Frame, capability: Capability, call: ToolCall, args: dict[str, Any]) -> bool | str:
    """Return whether the call may be made, or why not. A yes given to a hook counts, but only for what was asked."""
    approved = frame.run.approved.pop(call.id, None)
    if capability.options.approve == "deny" or approved not in (None, (call.name, args)):
        return False
    if capability.options.approve == "allow" or approved is not None:
        return True
    return await frame.ask_user({"type": call.name, "args": args, "id": call.id})


async def _carry_out(frame: Frame, one: Plan) -> Settled:
    """Run a planned call and record its result."""
    with calllog.tool_called(frame.run, frame.agent.name, one.call) as end:
        settled = await settle(frame, one)
        end.update(outcome=settled.outcome, result=settled.content)
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
        idempotent=capability.options.idempotent,
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
    work, tape = partial(capability.run, frame, one.checked), frame.run.services.tape
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
