"""One model call: the hooks around it, the pieces it streams, and the turn it leaves."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from auwgent.engine.agent import Agent
from auwgent.engine.capabilities import Capability, with_answer
from auwgent.engine.run import Frame, no_answer
from auwgent.errors import (
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    ProviderError,
    SessionConflict,
    SessionNotFound,
)
from auwgent.hooks.answers import Decision
from auwgent.hooks.context import CALL_SETTINGS, SETTABLE
from auwgent.models.base import CallPiece, ModelRequest, RawCall, Reply, Retry, Route, TextPiece
from auwgent.models.resilience import GivenModel
from auwgent.outputs import Output, partial_json
from auwgent.session import Part, Text, ToolCall, Turn, encodable, new_id, paired

FORCED_STARTS = 5  # at most, in a run

# Hooks are told of these, but what they want is not done.
FINAL = (MiddlewareError, ConfigError, SessionConflict, SessionNotFound)


class Undecided(Exception):
    """A failure that the `onError` hooks have been told of, with what they want done about it."""

    def __init__(self, error: Exception, decision: Decision | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.decision = decision


Answered = tuple[Reply, dict[str, Capability]]  # and what the model was offered


async def ask(frame: Frame, own: Mapping[str, Capability]) -> Answered:
    """Ask the agent's model once, offering the agent's `own`; where an `onError` hook forces a start, again."""
    while True:
        try:
            return await _ask_once(frame, own)
        except Exception as error:
            decision = await told(frame, error)
            wanted = decision is not None and decision.force_start == "llm_start" and may_overrule(error)
            if not wanted or not await may_restart(frame):
                raise Undecided(error, decision) from error


async def told(frame: Frame, error: Exception) -> Decision | None:
    """Tell the `onError` hooks; what they put on ctx is in force for this agent for the rest of the run."""
    run, place = frame.run, frame.place
    run.facts.error = error
    if isinstance(error, MiddlewareError) and error.hook == "onError":
        return None  # one that cannot deal with errors would only fail again
    before = copy.deepcopy(place.call)
    place.settable = CALL_SETTINGS
    try:
        decision = await run.chain.error(error, run.session, frame.ctx)
    finally:
        place.settable = ()
    changed = _changed(before, place.call)
    run.is_changed = bool(changed)
    if decision is not None and decision.force_start:
        run.forced.setdefault(place.agent, {}).update(changed)
    return decision


def may_overrule(error: Exception) -> bool:
    """Whether hooks may force another start after this failure: not past a guard, a store or a limit that said no."""
    return not isinstance(error, (*FINAL, LimitExceeded))


async def may_restart(frame: Frame) -> bool:
    """Count a forced start and wait before it; False when there were too many."""
    run = frame.run
    if run.restarts >= FORCED_STARTS:
        return False
    back_off, error = run.services.back_off, run.facts.error
    wait = back_off.first * 2**run.restarts
    if isinstance(error, ProviderError) and error.retry_after is not None and not run.is_changed:
        wait = max(wait, error.retry_after)
    run.restarts += 1
    run.facts.error = None
    await asyncio.sleep(min(wait, back_off.longest))
    return True


async def _ask_once(frame: Frame, own: Mapping[str, Capability]) -> Answered:
    run, place, agent = frame.run, frame.place, frame.agent
    run.count_call()
    place.system_prompt = render_prompt(agent, run.facts.values)
    _offer(frame, own, run.forced.get(agent.name, {}))
    place.output = agent.output.spec.schema if agent.output is not None else None
    model, turns, settings = await _prepared(frame, [*agent.examples, *paired(frame.view())])
    offered = _offer(frame, own, settings)
    if frame is run.base:
        run.session.system_prompt = place.system_prompt
    await frame.checkpoint("llm_start")
    request = ModelRequest(
        system=place.system_prompt,
        turns=turns,
        tools=place.tools,
        output=agent.output.spec if agent.output is not None and answers_as_text(offered) else None,
        stream=run.streams,
    )
    return await _listen(frame, model, request, offered), offered


def _offer(frame: Frame, own: Mapping[str, Capability], settings: Mapping[str, Any]) -> dict[str, Capability]:
    """What the model may call: with other settings it may be another one, which cannot keep to a schema."""
    models, agent = frame.run.services.models, frame.agent
    is_kept = agent.output is None or models.keeps_schema(agent.model, bool(own), **settings)
    offered = with_answer(agent, own, is_kept=is_kept)
    frame.place.tools = tuple(capability.spec for capability in offered.values())
    return offered


def render_prompt(agent: Agent, values: Mapping[str, Any]) -> str:
    """The agent's system prompt with the run's context values."""
    return agent.prompt.render(values, output=agent.output.spec.schema if agent.output else None)


def answers_as_text(offered: dict[str, Capability]) -> bool:
    """Whether a structured answer comes as the text itself, and not through a final-answer tool."""
    return not any(map(_is_answer, offered.values()))


async def _prepared(frame: Frame, turns: Sequence[Turn]) -> tuple[Route, Sequence[Turn], dict[str, Any]]:
    """`onLLMStart`, and what it changed: the model, the messages and the text of this call, and its settings."""
    run, place = frame.run, frame.place
    spec = run.services.models.spec(frame.agent.model)
    standard = {
        "model": spec.name,
        "provider": spec.provider,
        "url": spec.base_url,
        "headers": dict(spec.headers),
        "config": dict(spec.params),
        "apiKey": None,
    }
    place.call = copy.deepcopy({**standard, **run.forced.get(frame.agent.name, {})})
    place.messages, place.reply = turns, None
    models, name = run.services.models, frame.agent.model
    place.window = lambda: models.window(name, **_changed(standard, place.call))
    question = _question(frame, turns)
    asked = question.text if question is not None else ""
    if run.chain.listens("onLLMStart"):
        values, rendered = run.facts.values, place.system_prompt
        place.settable = SETTABLE
        try:
            prompt = await run.chain.llm_start(asked, frame.ctx)
        finally:
            place.settable = ()
        if run.facts.values is not values and place.system_prompt == rendered:
            place.system_prompt = render_prompt(frame.agent, run.facts.values)
        if place.messages is not turns:
            place.messages = paired(place.messages)
        if question is not None and prompt != asked:
            said = question.model_copy(update={"content": _with_text(question.content, prompt)})
            place.messages = [said if turn.id == question.id else turn for turn in place.messages]
    settings = _changed(standard, place.call)
    return _model(frame, settings), place.messages, settings


def _model(frame: Frame, settings: Mapping[str, Any]) -> Route:
    """Who is asked: the agent's model with these settings, unless a hook gave the answer."""
    models, name, given = frame.run.services.models, frame.agent.model, frame.place.reply
    if given is None:
        return models.get(name, **settings)
    spec = models.spec(name)
    return GivenModel(spec, replace(given, model=given.model or spec.name))


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {key: after[key] for key in CALL_SETTINGS if key in after and after[key] != before.get(key)}


def _question(frame: Frame, turns: Sequence[Turn]) -> Turn | None:
    """The user's words that this call answers."""
    said = (turn for turn in reversed(turns) if turn.role == "user" and turn.id not in frame.asides)
    return next(said, None)


def _with_text(content: str | list[Part], text: str) -> str | list[Part]:
    if isinstance(content, str):
        return text
    return [Text(text=text), *(part for part in content if not isinstance(part, Text))]


async def _listen(frame: Frame, model: Route, request: ModelRequest, offered: dict[str, Capability]) -> Reply:
    """Read the model's stream, passing pieces on, to its reply."""
    run = frame.run
    partials = Partials(frame, offered)
    async with aclosing(model.ask(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Reply):
                frame.place.reply = piece
                await partials.close()
                run.unfinished.pop(id(frame), None)
                run.add_usage(piece.usage)
                return piece
            if isinstance(piece, Retry):
                await frame.announce("model_retry", asdict(piece))
            elif request.stream:
                await partials.pass_on(piece)
    raise no_answer(model.spec)


@dataclass(slots=True)
class Block:
    """One streamed block: a text, or one call."""

    segment: int
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def raw(self) -> str:
        """What has come so far."""
        self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0]


@dataclass(slots=True)
class Partials:
    """The pieces of one answer, shown as partial intents."""

    frame: Frame
    offered: dict[str, Capability]
    text: Block | None = None
    calls: dict[int, Block] = field(default_factory=dict)

    async def pass_on(self, piece: Any) -> None:
        """Show what a piece adds to the answer; reasoning is not shown."""
        if isinstance(piece, TextPiece) and piece.text:
            await self._text(piece)
        elif isinstance(piece, CallPiece):
            await self._call(piece)

    async def _text(self, piece: TextPiece) -> None:
        run, frame = self.frame.run, self.frame
        if self.text is None:
            self.text = Block(self._segment())
            run.unfinished[id(frame)] = (frame.agent.name, self.text.pieces)
        self.text.pieces.append(piece.text)
        await self._show(self.text, piece.text)

    async def _call(self, piece: CallPiece) -> None:
        block = self.calls.get(piece.index)
        if block is None:
            block = self.calls[piece.index] = Block(self._segment())
        block.name = piece.name or block.name
        block.pieces.append(piece.arguments)
        if block.name in self.offered:
            await self._show(block, piece.arguments)

    async def close(self) -> None:
        """The answer is whole: hooks that held something back can let it go now."""
        for block in (self.text, *self.calls.values()):
            if block is not None and (block is self.text or block.name in self.offered):
                await self._show(block, "", is_last=True)

    def _will_be(self, block: Block) -> tuple[str, Any]:
        """The intent that a block under way will become, and its value so far."""
        output, raw = self.frame.agent.output, block.raw
        if block is self.text:
            if output is not None and answers_as_text(self.offered):
                return "response_schema", _so_far(output, raw)
            return "response_text", {"text": raw}
        capability = self.offered[block.name]
        if capability.kind == "answer":
            assert output is not None
            return "response_schema", _so_far(output, raw)
        if capability.kind == "intent":
            return capability.name, partial_json(raw)
        return f"{capability.kind}_call", {"type": capability.name, "args": partial_json(raw)}

    async def _show(self, block: Block, delta: str, *, is_last: bool = False) -> None:
        """Show a piece to the hooks, then to everybody, unless a hook holds it back.

        The last one of a block is empty, and for hooks alone unless they put something into it.
        """
        chain, frame = self.frame.run.chain, self.frame
        if not (chain.listens("onIntentPartial") or (frame.run.shows_partials and not is_last)):
            return  # nobody would see it, and to put it together takes time
        name, snapshot = self._will_be(block)
        value = {
            "partial": True,
            "complete": False,
            "mode": "text" if name == "response_text" else "structured",
            "segment": block.segment,
            "snapshot": snapshot,
            "raw": block.raw,
            "delta": delta,
        }
        if is_last:
            await chain.last_partial(name, value, frame.ctx)
        elif chain.listens("onIntentPartial"):
            await chain.intent_partial(name, value, frame.ctx)
        if value["delta"] or not (delta or is_last):
            await frame.run.emit(name, value, frame.agent.name, partial=True)

    def _segment(self) -> int:
        self.frame.run.segments += 1
        return self.frame.run.segments - 1


def _so_far(output: Output, raw: str) -> dict[str, Any]:
    kind, response = output.partial(partial_json(raw))
    return {"type": kind, "response": response}


def turns_of(
    frame: Frame, reply: Reply, offered: Mapping[str, Capability]
) -> tuple[Turn | None, Turn | None]:
    """A reply as its message, if it goes on, and the agent's answer, if it has one.

    A call of the final-answer tool becomes an answer like any other, so that a history looks the same whatever
    the provider could do. Other calls get ids that are unique in the session.
    """
    answers = [raw.arguments for raw in reply.calls if _is_answer(offered.get(raw.name))]
    taken = frame.run.call_ids  # with those of helpers at work beside it that are not recorded yet
    taken.update(call.id for turn in frame.run.session.turns for call in turn.tool_calls or () if reply.calls)
    calls: list[ToolCall] = []
    for raw in reply.calls:
        if not _is_answer(offered.get(raw.name)):
            call = _tool_call(raw, taken)
            taken.add(call.id)
            calls.append(call)
    turn = Turn(
        role="assistant",
        content=reply.text,
        tool_calls=calls or None,
        model=reply.model or None,
        usage=reply.usage,
        provider_data=reply.provider_data,
    )
    if not answers:
        return (turn, None) if calls else (None, turn)
    if calls or turn.text:
        return turn, Turn(role="assistant", content=answers[0])
    turn.content = encodable(answers[0])
    return None, turn


def _is_answer(capability: Capability | None) -> bool:
    return capability is not None and capability.kind == "answer"


def _tool_call(raw: RawCall, taken: set[str]) -> ToolCall:
    call_id = raw.id if raw.id and raw.id not in taken else f"call_{new_id()[:24]}"
    try:
        args = json.loads(raw.arguments, parse_constant=_refuse) if raw.arguments.strip() else {}
        json.dumps(args, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # half a character is a ValueError, too
        args = None
    if isinstance(args, dict):
        return ToolCall(id=call_id, name=raw.name, args=args)
    return ToolCall(id=call_id, name=raw.name, raw_args=encodable(raw.arguments))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
