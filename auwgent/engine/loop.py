"""The loop of an agent: ask its model, do what it calls, again, until its turn ends. Helpers run the same loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from auwgent.engine.agent import ANSWER, Agent, Workflow
from auwgent.engine.ask import Reported, ask, ask_hooks
from auwgent.engine.calls import plan, settle, settle_calls
from auwgent.engine.capabilities import Capability, Ending, nothing_to_run
from auwgent.engine.ends import ReadReply
from auwgent.engine.order import Left
from auwgent.engine.results import with_reader
from auwgent.engine.state import Frame
from auwgent.errors import ArgumentError, LimitExceeded, ProviderError, ToolError, goes_through
from auwgent.hooks.context import Context
from auwgent.models.base import ToolSpec
from auwgent.outputs import Output, OutputError
from auwgent.session import ToolCall, Turn, encodable, new_id
from auwgent.tape.base import INNER, Inner
from auwgent.tools import Tool
from auwgent.words import describe

REPAIRS = 2  # how often an answer that does not fit its schema is sent back
TASK = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "What to do, with all that is needed to do it."}
    },
    "required": ["input"],
    "additionalProperties": False,
}


async def converse(frame: Frame) -> Ending:
    """Run one agent from the turns it can see to the end of its turn."""
    own = capabilities(frame, await frame.tools())
    try:
        while True:
            said = await ask(frame, own)
            ending = await _go_on(frame, said.offered, said.message) if said.message is not None else None
            if ending is None and said.answer is not None:
                ending = await _finish(frame, said, said.answer)
            if ending is not None:
                await _end_turn(frame, ending)
                return ending
    finally:
        frame.run.ended.add(frame)


async def make_open_calls(frame: Frame, calls: Sequence[ToolCall]) -> Ending | None:
    """Make the calls that an earlier leg or attempt left open, before asking their agent; they may end its turn."""
    own = with_reader(frame, capabilities(frame, await frame.tools()))
    ending = await settle_calls(frame, own, calls, again=True)
    if ending is not None:
        await _end_turn(frame, ending)
    return ending


async def repeat_answer(frame: Frame) -> Ending | None:
    """Show the last answer again if the agent had nothing else to do; None where there is more to do."""
    shown, output, speaker = frame.view(), frame.agent.output, frame.agent.name
    if not shown:
        return None
    turn = shown[-1]
    # What was said of an answer that broke off comes from no model that has answered.
    if turn.role != "assistant" or turn.agent != speaker or turn.tool_calls or turn.model is None:
        return None
    ending = Ending(turn.text, "response_text", {"text": turn.text}, speaker)
    if output is not None:
        try:
            kind, data = _validated(output, turn.text)
        except OutputError:
            return None
        ending = Ending(data, "response_schema", {"type": kind, "response": data}, speaker)
    await frame.emit(ending.event, ending.payload)
    return ending


async def _end_turn(frame: Frame, ending: Ending) -> None:
    if ending.agent == frame.agent.name:  # else a helper has ended it, and told so
        await frame.run.chain.fire("onLLMEnd", frame.ctx, ending.payload)


async def _go_on(frame: Frame, offered: Mapping[str, Capability], turn: Turn) -> Ending | None:
    """Handle a reply with calls: emit its text, then make the calls."""
    if turn.text:
        await _emit_text(frame, turn)
    else:
        frame.record(turn)
    await frame.checkpoint("calls")  # nobody is shown or asked about a call that could be lost
    return await settle_calls(frame, offered, turn.tool_calls or [])


async def _finish(frame: Frame, said: ReadReply, turn: Turn) -> Ending | None:
    """End the turn with this answer, or ask for a repair where it does not fit its schema."""
    output, speaker = frame.agent.output, frame.agent.name
    if output is None:
        if not turn.text:
            value = {"message": f"{turn.model or 'the model'} gave an empty answer", "kind": "empty"}
            await frame.emit("error", (await frame.ask("error", value)).value)
        payload = await _emit_text(frame, turn)
        return Ending(payload["text"], "response_text", payload, speaker)
    try:
        kind, data = _validated(output, turn.text)
    except OutputError as error:
        frame.record(turn)
        if said.failure is not None:  # it would be cut off again
            raise Reported(said.failure, await ask_hooks(frame, said.failure)) from error
        await _count_repair(frame, error)
        how = f"Answer by calling {ANSWER!r}." if ANSWER in said.offered else "Answer again, with JSON only."
        words = Turn(role="user", content=f"The answer does not fit its schema: {error}. {how}")
        frame.asides.add(words.id)
        frame.record(words)
        return None
    payload = {"type": kind, "response": data}
    verdict = await frame.ask("response_schema", payload)
    if verdict.overridden:
        turn.content = json.dumps(verdict.value["response"], ensure_ascii=False, default=str)
    frame.record(turn)
    await frame.emit("response_schema", verdict.value)
    return Ending(verdict.value["response"], "response_schema", verdict.value, speaker)


def _validated(output: Output, text: str) -> tuple[str, Any]:
    """Return which type an answer is of, and its data. A validator of the user's may raise anything: a misfit."""
    try:
        kind, data, _ = output.validate(text)
    except OutputError:
        raise
    except BaseException as error:
        if goes_through(error):
            raise
        raise OutputError(f"it cannot be checked: {describe(error)}") from error
    return kind, data


async def _emit_text(frame: Frame, turn: Turn) -> dict[str, Any]:
    """Emit a text for the user; it is stored and shown as the hooks leave it."""
    payload = (await frame.ask("response_text", {"text": turn.text})).value
    turn.content = encodable(payload["text"])
    frame.record(turn)
    await frame.emit("response_text", payload)
    return payload


async def _count_repair(frame: Frame, error: OutputError) -> None:
    frame.repairs += 1
    if frame.repairs > REPAIRS:
        spec = frame.run.services.models.spec(frame.agent.model)
        failure = ProviderError(
            f"{spec.name} gave no answer that fits the output schema of {frame.agent.name!r}, "
            f"after {REPAIRS} repair attempts: {error}",
            provider=spec.provider,
            model=spec.name,
            fault="protocol",
        )
        raise Reported(failure, await ask_hooks(frame, failure)) from error


def capabilities(frame: Frame, tools: Mapping[str, Tool]) -> dict[str, Capability]:
    """Return what this agent's model may call, by name: what it was given, and nothing else."""
    agent, services = frame.agent, frame.run.services
    if frame.caller is None:
        offered = [
            Capability("tool", tool.spec, tool.check, nothing_to_run, tool.options, is_callers=True)
            for tool in frame.run.order.caller_tools
        ]
        _refuse_shadows(frame, tools)
    else:
        offered = []
    offered += [_tool(tool) for tool in tools.values()]
    offered += [_workflow(workflow) for workflow in agent.workflows.values()]
    offered += [_helper(services.agents[name]) for name in agent.helpers]
    offered += [
        Capability("intent", intent.spec, intent.check, nothing_to_run, terminal=intent.terminal)
        for intent in agent.intents.values()
    ]
    return {capability.name: capability for capability in offered}


def _refuse_shadows(frame: Frame, tools: Mapping[str, Tool]) -> None:
    """`ArgumentError` where a server's tool, which is known only now, has the name of one of the caller's."""
    for tool in frame.run.order.caller_tools:
        if tool.name in tools and frame.run.leg == 1:
            raise ArgumentError(
                f"`caller_tools`: the agent has a tool {tool.name!r} already; give yours another name"
            )


def _tool(tool: Tool) -> Capability:
    async def run(frame: Frame, checked: Any, call: ToolCall) -> Any:
        return await tool.call(checked, frame.ctx)

    return Capability(
        "tool",
        tool.spec,
        tool.check,
        run,
        tool.options,
    )


class WorkflowContext(Context):
    """The `ctx` of a workflow: it can call the workflow's own tools."""

    __slots__ = ("_frame", "_tools")

    _frame: Frame
    _tools: Mapping[str, Capability]

    def __init__(self, frame: Frame, tools: Mapping[str, Capability]) -> None:
        super().__init__(frame.run, frame)
        object.__setattr__(self, "_frame", frame)
        object.__setattr__(self, "_tools", tools)

    async def call_tool(self, name: str, args: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Call a tool of the workflow's `tools`, with all hooks and intents; its failure is a `ToolError`."""
        frame = self._frame
        call = ToolCall(id=f"call_{new_id()[:24]}", name=name, args={**(args or {}), **more})
        if (noted := INNER.get()) is not None:
            noted.append((name, call.args))
        try:
            settled = await settle(frame, await plan(frame, self._tools, call, may_wait=False))
            await frame.checkpoint("tool_end", call_id=call.id, name=name)
            if settled.event is not None:
                await frame.emit(settled.event, settled.value)
        except Exception as error:
            frame.run.stopped = error  # a guard's no ends the run, also where the workflow catches it
            raise
        if settled.outcome != "ok":
            raise ToolError(settled.value.get("message", settled.content), tool=name)
        return settled.value["result"]


def _workflow(workflow: Workflow) -> Capability:
    function = workflow.function
    scoped = {name: _tool(tool) for name, tool in workflow.tools.items()}

    async def run(frame: Frame, checked: Any, call: ToolCall) -> Any:
        return await function.call(checked, WorkflowContext(frame, scoped))

    def inner(frame: Frame) -> Inner:
        return WorkflowContext(frame, scoped).call_tool

    return Capability("workflow", function.spec, function.check, run, function.options, inner=inner)


def _helper(agent: Agent) -> Capability:
    def check(args: dict[str, Any]) -> str:
        task = args.get("input")
        if not isinstance(task, str) or args.keys() != {"input"}:
            raise ToolError(f"helper {agent.name!r} takes one argument, a string `input`")
        return task

    async def run(frame: Frame, checked: Any, call: ToolCall) -> Any:
        return await call_helper(frame, agent, checked, call.id)

    return Capability("helper", ToolSpec(agent.name, agent.description, TASK), check, run)


async def call_helper(caller: Frame, agent: Agent, task: str, call_id: str) -> Any:
    """Run a helper to the end of its turn; gives its result, or an `Ending` where the user has the word next.

    One that was at work for this call in an earlier leg or attempt goes on with the turns it has.
    """
    run = caller.run
    depth = run.services.limits.helper_depth
    if caller.depth + 1 > depth:
        raise LimitExceeded(
            f"{agent.name!r} would be helper number {caller.depth + 1} in a row; `limits.helper_depth` = {depth}",
            key="limits.helper_depth",
        )
    frame = run.frame(agent, (*caller.stack, agent.name), caller)
    frame.call_id = call_id
    left = run.left.pop(call_id, None)
    if left is None:
        frame.record(Turn(role="user", content=task))
    else:
        frame.adopt(left)
    ending = await finish_helper(frame, left=left)
    run.progress.repeats.pop(frame.key, None)
    return ending if ending.stack else ending.value


async def finish_helper(frame: Frame, ending: Ending | None = None, *, left: Left | None = None) -> Ending:
    """Run a helper's turn to its end; its `handoff` may end the run, too. A failure of its own is a `ToolError`.

    With an `ending` its turn is over already; with what is `left` of it, that comes first.
    """
    try:
        if left is not None:
            ending = await make_open_calls(frame, left.calls) if left.calls else await repeat_answer(frame)
        ending = ending or await converse(frame)
    except Reported as failure:
        if failure.decision is not None or not isinstance(failure.error, ProviderError):
            raise
        frame.run.keep_unfinished(frame)
        raise ToolError(f"helper {frame.agent.name!r} failed: {describe(failure.error)}") from failure.error
    if ending.stack or frame.agent.handoff != "user":
        return ending
    stack = frame.stack
    return replace(ending, stack=stack if _asks(ending.value) else stack[:1])


def _asks(value: Any) -> bool:
    return isinstance(value, str) and value.rstrip(" \t\n\"'*_)”’»").endswith(("?", "？", "؟"))
