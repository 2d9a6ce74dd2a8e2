"""One model call: the hooks around it, the pieces it streams, and the turn it leaves."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

from auwgent.engine import calllog
from auwgent.engine.capabilities import Capability, answers_as_text, with_answer
from auwgent.engine.ends import ReadReply, finish_reason, read
from auwgent.engine.failures import as_ours, no_answer, of_a_hook
from auwgent.engine.pieces import Partials
from auwgent.engine.results import bare, history, note_refused, shortened, with_reader
from auwgent.engine.state import Frame
from auwgent.errors import (
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    ProviderError,
    SessionConflict,
    SessionNotFound,
    TapeMiss,
)
from auwgent.hooks.answers import Decision, Failure, PromptText
from auwgent.hooks.context import CALL_SETTINGS
from auwgent.models.base import ModelRequest, Reply, Retry, Route
from auwgent.models.faults import refuses_thoughts
from auwgent.models.resilience import GivenModel
from auwgent.models.resilience import ask as ask_model
from auwgent.pairing import paired
from auwgent.session import Part, Text, Turn

FORCED_STARTS = 5  # at most, in a run

# Hooks are told of these, but what they want is not done.
FINAL = (MiddlewareError, ConfigError, SessionConflict, SessionNotFound, TapeMiss)


class Reported(Exception):
    """A failure that the `onError` hooks were asked about, with what they decided."""

    def __init__(self, error: Exception, decision: Decision | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.decision = decision


async def ask(frame: Frame, own: Mapping[str, Capability]) -> ReadReply:
    """Ask the agent's model once, offering the agent's `own`; where an `onError` hook forces a start, again."""
    while True:
        try:
            return await _ask_once(frame, own)
        except BaseException as failure:
            error = as_ours(failure)
            decision = await ask_hooks(frame, error)
            if decision is None and _may_be_shortened(frame, own, error):
                frame.is_shortened, frame.run.error = True, None
                continue
            if decision is None and _may_be_bare(frame, own, error):
                frame.is_bare, frame.run.error = True, None
                continue
            wanted = decision is not None and decision.force_start == "llm_start" and may_overrule(error)
            if not wanted or not await may_restart(frame):
                note_refused(frame, error)
                raise Reported(error, decision) from failure
            frame.is_shorter = frame.is_shorter or _is_too_long(error)  # by middleware, which knows better


def _may_be_shortened(frame: Frame, own: Mapping[str, Capability], error: Exception) -> bool:
    """Return whether a request that was too long can be sent once more, with less in it."""
    is_tried = frame.is_shortened or frame.is_shorter
    return _is_too_long(error) and not is_tried and shortened(history(frame, own)) is not None


def _may_be_bare(frame: Frame, own: Mapping[str, Capability], error: Exception) -> bool:
    """Return whether it can be sent once more without thoughts, which another key or another model cannot read."""
    return refuses_thoughts(error) and not frame.is_bare and bare(history(frame, own)) is not None


def _is_too_long(error: Exception) -> bool:
    return isinstance(error, ProviderError) and error.fault == "context"


async def ask_hooks(frame: Frame, error: Exception) -> Decision | None:
    """Ask the `onError` hooks; what they put on ctx is in force for this agent for the rest of the run."""
    run = frame.run
    run.error = error
    if isinstance(error, MiddlewareError) and error.hook == "onError":
        return None  # one that cannot deal with errors would only fail again
    before = copy.deepcopy(frame.call)
    with frame.may_set("onError"):
        failure = await run.chain.fire("onError", frame.ctx, Failure(error, run.session))
    changed = _changed(before, frame.call)
    run.is_changed = bool(changed)
    if failure.decision is not None and failure.decision.force_start:
        run.forced.setdefault(frame.active, {}).update(changed)
    return failure.decision


def may_overrule(error: Exception) -> bool:
    """Whether hooks may force another start after this failure: not past a guard, a store or a limit that said no."""
    return not isinstance(error, (*FINAL, LimitExceeded))


async def may_restart(frame: Frame) -> bool:
    """Count a forced start and wait before it; False when there were too many."""
    run = frame.run
    if run.restarts >= FORCED_STARTS:
        return False
    back_off, error = run.services.back_off, run.error
    wait = back_off.first * 2**run.restarts
    if isinstance(error, ProviderError) and error.retry_after is not None and not run.is_changed:
        wait = max(wait, error.retry_after)
    run.restarts += 1
    run.error = None
    await asyncio.sleep(min(wait, back_off.longest))
    return True


async def _ask_once(frame: Frame, own: Mapping[str, Capability]) -> ReadReply:
    run, agent = frame.run, frame.agent
    run.count_call()
    frame.system_prompt = agent.system_prompt(run.values)
    own, turns = with_reader(frame, own), history(frame, own)
    if frame.is_shortened:
        turns = shortened(turns) or turns
    if frame.is_bare:
        turns = bare(turns) or turns
    _offer(frame, own, run.forced.get(agent.name, {}))
    frame.output_schema = agent.output.spec.schema if agent.output is not None else None
    settings = await _prepared(frame, [*agent.examples, *turns])
    offered = _offer(frame, own, settings)
    # From here on the request is final: this is what is looked up, traced, stored and sent.
    with frame.may_set("final"):
        question = _question(frame, frame.messages)
        await run.chain.fire(
            "onLLMStart", frame.ctx, PromptText(question.text if question is not None else ""), who="watchers"
        )
    if frame is run.base:
        run.session.system_prompt = frame.system_prompt
    await frame.checkpoint("llm_start")
    partials = Partials(frame, offered)
    request = ModelRequest(
        system=frame.system_prompt,
        turns=frame.messages,
        tools=frame.tool_specs,
        output=agent.output.spec if agent.output is not None and answers_as_text(offered) else None,
        stream=run.streams,
        shown=partials.may_be_shown or run.order.record is not None,
        agent=agent.name,
        session_id=run.session.id,
        purse=run.paying(frame.ctx),
    )
    reply = await _listen(frame, _model(frame, settings), request, partials)
    answer = read(frame, reply, offered, partials)
    run.unfinished.pop(id(frame), None)
    said = (answer.message, answer.answer)
    frame.said = {one.id: one.model_copy(deep=True) for one in said if one is not None}
    return answer


def _offer(frame: Frame, own: Mapping[str, Capability], settings: Mapping[str, Any]) -> dict[str, Capability]:
    """Return what the model may call: with other settings it may be another one, which cannot keep to a schema."""
    models, agent = frame.run.services.models, frame.agent
    is_kept = agent.output is None or models.keeps_schema(agent.model, bool(own), **settings)
    offered = with_answer(agent, own, is_kept=is_kept)
    frame.tool_specs = tuple(capability.spec for capability in offered.values())
    return offered


async def _prepared(frame: Frame, turns: Sequence[Turn]) -> dict[str, Any]:
    """Fire `onLLMStart`, then the last changes to the request; gives the settings of this call."""
    run = frame.run
    spec = run.services.models.spec(frame.agent.model)
    standard = {
        "model": spec.name,
        "provider": spec.provider,
        "url": spec.base_url,
        "headers": dict(spec.headers),
        "config": dict(spec.params),
        "apiKey": None,
    }
    frame.call = copy.deepcopy({**standard, **run.forced.get(frame.agent.name, {})})
    frame.messages, frame.reply, frame.is_reply_changed = turns, None, False
    frame.own_prompt = lambda: _own_prompt(frame)
    models, name = run.services.models, frame.agent.model
    frame.window = lambda: models.window(name, **_changed(standard, frame.call))
    question = _question(frame, turns)
    asked = question.text if question is not None else ""
    if run.chain.listens("onLLMStart"):
        values, rendered = run.values, frame.system_prompt
        with frame.may_set("onLLMStart"):
            prompt = (await run.chain.fire("onLLMStart", frame.ctx, PromptText(asked), who="others")).prompt
        if run.values is not values and frame.system_prompt == rendered:
            frame.system_prompt = frame.agent.system_prompt(run.values)
        if frame.messages is not turns:
            frame.messages = paired(frame.messages)
        if question is not None and prompt != asked:
            said = question.model_copy(update={"content": _with_text(question.content, prompt)})
            frame.messages = [said if turn.id == question.id else turn for turn in frame.messages]
        with frame.may_set("onLLMStart"):
            for change in run.request_changes:
                of_a_hook(change, frame.ctx)
    return _changed(standard, frame.call)


def _own_prompt(frame: Frame) -> str:
    values = {**dict.fromkeys(frame.agent.prompt.names, ""), **frame.run.own_values}
    try:
        return frame.agent.system_prompt(values)
    except ConfigError:  # it wants more of a value than that it is there
        return ""


def _model(frame: Frame, settings: Mapping[str, Any]) -> Route:
    """Who is asked: the agent's model with these settings, unless a hook gave the answer."""
    models, name, given = frame.run.services.models, frame.agent.model, frame.reply
    if given is None:
        return models.get(name, **settings)
    spec = models.spec(name)
    return GivenModel(spec, replace(given, model=given.model or spec.name))


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {key: after[key] for key in CALL_SETTINGS if key in after and after[key] != before.get(key)}


def _question(frame: Frame, turns: Sequence[Turn]) -> Turn | None:
    """Return the user's words that this call answers."""
    said = (turn for turn in reversed(turns) if turn.role == "user" and turn.id not in frame.asides)
    return next(said, None)


def _with_text(content: str | list[Part], text: str) -> str | list[Part]:
    if isinstance(content, str):
        return text
    return [Text(text=text), *(part for part in content if not isinstance(part, Text))]


async def _listen(frame: Frame, model: Route, request: ModelRequest, partials: Partials) -> Reply:
    """Read the model's stream, passing pieces on, to its reply."""
    began = time.monotonic()
    try:
        with partials.under_way():
            reply = await _reply(frame, model, request, partials)
    except BaseException as error:
        calllog.model_failed(frame.run, frame.agent.name, model.spec.name, error, began)
        raise
    calllog.model_called(frame.run, frame.agent.name, request, reply, began)
    await _emit_call(frame, reply, time.monotonic() - began)
    return reply


async def _reply(frame: Frame, model: Route, request: ModelRequest, partials: Partials) -> Reply:
    run = frame.run
    async with aclosing(ask_model(model, request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Reply):
                frame.reply, frame.raw_block = piece, piece.raw or piece.text
                if piece.text:  # kept where it turns out to be no answer
                    run.unfinished.setdefault(id(frame), (frame.agent.name, [piece.text]))
                await partials.close()
                run.usage += piece.usage
                return piece
            if isinstance(piece, Retry):
                await frame.emit("model_retry", (await frame.ask("model_retry", asdict(piece))).value)
            elif request.stream:
                await partials.pass_on(piece)
    raise no_answer(model.spec)


async def _emit_call(frame: Frame, reply: Reply, seconds: float) -> None:
    value = {
        "model": reply.model,
        "usage": reply.usage.model_dump(mode="json"),
        "finish_reason": finish_reason(reply),
        "seconds": round(seconds, 3),
    }
    await frame.emit("model_call", (await frame.ask("model_call", value)).value)
