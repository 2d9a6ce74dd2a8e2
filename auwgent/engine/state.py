"""The state of one run: its session, its ctx, its limits, and the way out for its intents."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from auwgent.engine.agent import Agent, ApprovalRequest, Remote
from auwgent.engine.failures import limit, of_a_hook
from auwgent.engine.order import Left, Order, Services, Sink, Start
from auwgent.engine.progress import Progress
from auwgent.engine.purse import CallPurse, RunPurse
from auwgent.errors import LimitExceeded, MiddlewareError, goes_through
from auwgent.hooks.answers import Verdict
from auwgent.hooks.context import AgentState, Context, NotNow, RunState
from auwgent.hooks.pipeline import Chain
from auwgent.intents import Intent
from auwgent.models.base import RawCall
from auwgent.pairing import paired, place_of_result, skipped_result, unknown_result
from auwgent.questions import Question
from auwgent.session import Session, ToolCall, Turn, Usage, new_id, now, spoken_by
from auwgent.tape.base import Asking
from auwgent.tools import Tool
from auwgent.words import describe

log = logging.getLogger("auwgent.engine")


class Run(RunState):
    """One run. Helpers within it share this object; each agent at work has a `Frame`."""

    def __init__(
        self, services: Services, order: Order, sink: Sink | None, cancel: Callable[[], None] = lambda: None
    ) -> None:
        session = order.session.model_copy(deep=True) if order.session is not None else Session()
        session.id, session.user_id = order.session_id or session.id, order.user_id
        session.stack = session.stack or [services.root]
        session.tell()  # what was told of an earlier run
        super().__init__(
            run_id=order.run_id,
            rehearsal=services.rehearsal,
            root_agent=services.root,
            user_id=order.user_id,
            session=session,
            input=order.input,
            values=dict(order.values),
            own_values=dict(order.values),
            settings=order.settings,
            asked=order.asked,
            behind=order.behind,
            job=order.job,
            keep=order.keep,
            leg=order.leg,
            told_progress=self.told_progress,
            embed_model=getattr(services.embed, "model", ""),
            ask_user=self.ask_for_hook,
            cancel=cancel,
        )
        self.services = services
        self.order = order
        self.sink = sink
        self.progress = Progress()
        self.began = 0.0  # by the loop's clock, when this leg did
        self.left: dict[str, Left] = {}  # call id -> where the helper goes on that it was for
        self.answers: Mapping[str, Any] = {}  # call id -> what was answered
        self.asked_before: dict[str, Question] = {}  # call id -> the question of an earlier leg
        self.chain: Chain = services.pipeline.begin()
        self.purse = RunPurse(services.limits, self.chain, self.note_set_aside)
        # Only of a stream can it be told whether the provider is still there, and what it had said when it broke.
        self.streams = not order.whole
        self.start: Start | None = None  # None until `onRunStart` is over
        self.base: Frame | None = None  # the agent that took the input; its prompt is the session's
        self.forced: dict[str, dict[str, Any]] = {}  # by agent: what an onError hook put in force
        self.is_changed = False  # whether the last of those hooks put any in force
        self.restarts = 0
        self.segments = 0  # streamed blocks so far
        self.seq = 0  # of the newest intent
        self.unfinished: dict[int, tuple[str, list[str]]] = {}  # frame -> (agent, text so far) of an answer
        self.stopped: Exception | None = None  # first error of a workflow's tool; no workflow may hide it
        # Agents whose turn is over. One that was at work in an earlier leg or attempt is known by its call's id.
        self.ended: set[object] = set()
        self.authors: dict[str, object] = {}  # turn id -> the agent at work that it belongs to
        self.approved: dict[str, tuple[str, Any]] = {}  # call id -> the call the user said yes to for a hook
        self.begun: set[str] = set()  # ids of the calls that are or were under way
        self.call_ids: set[str] = set()  # of all calls of the session, recorded or not

    @property
    def shows_partials(self) -> bool:
        """Whether anybody but the hooks wants to see pieces."""
        return getattr(self.sink, "wants_pieces", self.sink is not None) or bool(
            self.services.partial_handlers
        )

    def frame(self, agent: Agent, stack: tuple[str, ...], caller: Frame | None = None) -> Frame:
        """Put an agent to work, under its caller where it has one."""
        return Frame(agent.name, stack, run=self, agent=agent, caller=caller, before=frozenset(self.ended))

    def record(self, turn: Turn) -> None:
        """Append a turn. A tool's result goes before those of later calls of the same message."""
        for change in self.turn_changes:
            of_a_hook(change, turn)
        turns = self.session.turns
        turn.run_id = self.run_id
        turns.insert(place_of_result(turn, turns), turn) if turn.role == "tool" else turns.append(turn)

    def call_id(self, wanted: str | None) -> str:
        """Return an id for a call that no other call of the session has: the wanted one, if that is so."""
        call_id = wanted if wanted and wanted not in self.call_ids else f"call_{new_id()[:24]}"
        self.call_ids.add(call_id)
        return call_id

    def arguments(self, call: ToolCall) -> dict[str, Any]:
        """Return what a call is executed with: the arguments that are recorded, as hooks want them changed."""
        args = deepcopy(call.args)
        for change in self.argument_changes:
            args = of_a_hook(change, call.name, args)
        return args

    def close_calls(self) -> None:
        """Give every call a result, so that the history is valid. Those of this run that never began are skipped."""

        def missing(turn: Turn, call: ToolCall) -> Turn:
            is_own = turn.run_id == self.run_id
            return (
                skipped_result(turn, call)
                if is_own and call.id not in self.begun
                else unknown_result(turn, call)
            )

        self.session.turns[:] = paired(self.session.turns, missing, where_said=True)

    def keep_unfinished(self, frame: Frame | None = None) -> None:
        """Store the text of broken-off answers as turns: one frame's, or all."""
        for key in [id(frame)] if frame is not None else list(self.unfinished):
            agent, pieces = self.unfinished.pop(key, ("", []))
            if text := "".join(pieces):
                try:
                    self.record(Turn(role="assistant", content=text, agent=agent))
                except MiddlewareError as error:  # a run that ends anyway; better no text than one unchanged
                    log.warning("what %r said last is not kept: %s", agent, error)

    async def emit(self, name: str, value: dict[str, Any], agent: str, *, partial: bool = False) -> None:
        """Hand an intent to the handlers and to whoever iterates the stream; the hooks have been asked about it."""
        handlers = self.services.partial_handlers if partial else self.services.handlers
        if self.sink is None and not handlers:
            return
        self.seq += 1
        intent = Intent(name, value, agent, self.run_id, self.seq, now(), partial)
        if handlers:
            await handlers.emit(intent)
        if self.sink is not None:
            await self.sink(intent)

    def count_call(self) -> None:
        """Check every limit that a model call could break, before each one."""
        limits, usage = self.services.limits, self.usage
        self.progress.llm_calls += 1
        if self.progress.llm_calls > limits.llm_calls:
            raise limit("llm_calls", limits.llm_calls, "model calls")
        spent = usage.input_tokens + usage.output_tokens
        if limits.tokens is not None and spent >= limits.tokens:
            raise limit("tokens", limits.tokens, "tokens")
        if limits.usd is not None and usage.usd is None:
            raise LimitExceeded(
                f"`limits.usd` = {limits.usd:g} cannot be kept: what the run has cost is not known, because a model "
                "it has asked has no price; give it one with `price` under [models]",
                key="limits.usd",
            )
        if limits.usd is not None and usage.usd is not None and usage.usd >= limits.usd:
            raise limit("usd", limits.usd, "US dollars")

    @property
    def can_pause(self) -> bool:
        """Whether a store keeps this run, so that a question may wait."""
        return self.order.can_pause and self.keep and "runAttempt" in self.notes

    def go_on(self) -> None:
        """Take over what a store has of earlier legs and attempts."""
        resumed = self.notes.get("resumed") or {}
        self.answers = resumed.get("answers") or {}
        self.asked_before = {one["id"]: one for one in resumed.get("pending") or ()}
        if kept := resumed.get("progress"):
            self.progress = Progress.of(kept)
            self.memo.update(self.progress.memo)
            self.usage = Usage.model_validate(kept.get("usage", {"usd": 0.0}))
            self.purse.tokens, self.purse.usd = self.progress.tokens, self.progress.usd
        else:
            self.purse.count_earlier(self.session, self.run_id)

    def told_progress(self) -> dict[str, Any]:
        """Return what later legs and attempts go on from, as JSON: what is set aside counts as used."""
        at_work = asyncio.get_running_loop().time() - self.began if self.began else 0.0
        tokens, usd = self.purse.committed
        told = replace(
            self.progress,
            memo=json.loads(json.dumps(self.memo, default=str)),
            seconds=round(self.progress.seconds + at_work, 3),
            tokens=tokens,
            usd=usd,
        )
        return {**told.as_json(), "usage": self.usage.model_dump(mode="json")}

    def answer_to(self, call: ToolCall) -> tuple[Question, Any] | None:
        """Return what was asked about a call in an earlier leg, and answered; a no where the call is another now."""
        asked = self.asked_before.get(call.id)
        if asked is None or call.id not in self.answers:
            return None
        is_same = (asked["type"], asked["args"]) == (call.name, call.args)
        return asked, self.answers[call.id] if is_same else False

    async def ask_for_hook(self, agent: AgentState, call: Mapping[str, Any]) -> bool:
        """Ask the user for a hook. A yes is for this call with these arguments, and good for one time."""
        assert isinstance(agent, Frame)
        answer: Any = self.answers.get(call["id"]) if agent.answered else await agent.ask_user(call)
        if answer is None and agent.planned == call["id"]:
            raise NotNow
        if answer is True:
            self.approved[call["id"]] = call["type"], deepcopy(call["args"])
        return answer is True

    async def note_set_aside(self, ctx: Context) -> None:
        """Let middleware save what is set aside for a request, which is about to be sent."""
        if not self.chain.is_saving:
            await self.chain.checkpoint(self.session, ctx, {"at": "set_aside", "agent": ctx.activeAgent})

    def paying(self, ctx: Context, *, is_call: bool = True) -> CallPurse | None:
        """Return what pays for a call; None where nothing is counted."""
        return CallPurse(self.purse, ctx, is_call) if self.purse.counts else None


@dataclass(slots=True, eq=False, kw_only=True)
class Frame(AgentState):
    """One agent at work within a run: what it may call, and which turns its model is shown."""

    run: Run
    agent: Agent
    caller: Frame | None = None
    ctx: Context = field(init=False)
    remote: Mapping[str, Tool] | None = None  # of its servers; None until they were asked
    before: frozenset[object] = frozenset()  # those that were done when it began
    call_id: str = ""  # of the call that a helper is at work for
    planned: str | None = None  # the id of the call that is decided on, where it may wait for an answer
    is_shortened: bool = False  # a request was too long: older messages are left out from then on
    is_shorter: bool = False  # it was too long, and middleware has had it sent again
    is_bare: bool = False  # its provider no longer takes back what it thought: that is left out from then on
    repairs: int = 0  # how often its structured answer was sent back
    said: dict[str, Turn] = field(default_factory=dict)  # turn id -> the model's reply as it was given
    asides: set[str] = field(default_factory=set)  # ids of user turns written by the engine

    def __post_init__(self) -> None:
        self.ctx = Context(self.run, self)

    @property
    def depth(self) -> int:
        """How many agents have called one another to get here."""
        return 0 if self.caller is None else self.caller.depth + 1

    def record(self, turn: Turn) -> None:
        """Append a turn of this agent. What it holds of the model's reply is final then."""
        turn.agent = self.agent.name
        self.run.authors[turn.id] = self
        if self.call_id:
            self.run.progress.helpers.setdefault(self.call_id, []).append(turn.id)
        self.run.record(turn)
        said = self.said.pop(turn.id, None)
        if self.reply is not None and said is not None:
            data = turn.provider_data or {}  # middleware may have added to it
            is_lost = any(data.get(name) != value for name, value in (said.provider_data or {}).items())
            if is_lost or (turn.content, turn.tool_calls) != (said.content, said.tool_calls):
                self.is_reply_changed = True
            if self.is_reply_changed:
                calls = tuple(
                    RawCall(call.id, call.name, call.raw_args or json.dumps(call.args))
                    for call in turn.tool_calls or ()
                )
                self.reply = replace(self.reply, text=turn.text, calls=calls, raw="", provider_data=None)

    def view(self) -> list[Turn]:
        """The turns its model is shown: those it took part in, without those of parallel calls of the same agent."""
        authors = self.run.authors
        return [
            turn
            for turn in spoken_by(self.run.session.turns, self.agent.name)
            if (author := authors.get(turn.id)) in (None, self) or author in self.before
        ]

    @property
    def key(self) -> str:
        """What it is known by in the run's progress."""
        return self.call_id or "/".join(self.stack)

    def adopt(self, left: Left) -> None:
        """Go on with the turns that this helper has already."""
        self.run.authors.update(dict.fromkeys(left.turns, self))
        self.before = left.before

    def count_tool(self, name: str, arguments: str) -> None:
        """Count a tool call before it is made: the same one over and over is a loop."""
        *last, count = self.run.progress.repeats.get(self.key, (None, None, 0))
        count = count + 1 if last == [name, arguments] else 1
        self.run.progress.repeats[self.key] = [name, arguments, count]
        allowed = self.run.services.limits.repeats
        if count > allowed:
            raise LimitExceeded(
                f"the model called {name!r} with the same arguments more than {allowed} times in a row; "
                "`limits.repeats` allows no more",
                key="limits.repeats",
            )

    async def tools(self) -> dict[str, Tool]:
        """Return the agent's own tools, those of its servers, and those it inherits from its caller."""
        if self.remote is None:
            self.remote = {}
            if self.agent.remote is not None:
                found = await self._remote(self.agent.remote)
                self.remote = found.tools
                for failure in found.failures:  # the run goes on without those that cannot be reached
                    await self.emit(
                        "error", (await self.ask("error", {"message": failure, "kind": "mcp"})).value
                    )
        tools = {**self.agent.tools, **self.remote}
        inherit = self.agent.inherit
        if self.caller is not None and inherit:
            for name, tool in (await self.caller.tools()).items():
                if inherit is True or name in (inherit or ()):
                    tools.setdefault(name, tool)
        return tools

    async def _remote(self, ask: Callable[[], Awaitable[Remote]]) -> Remote:
        tape = self.run.services.tape
        if tape is None:
            return await ask()

        async def find() -> tuple[Mapping[str, Tool], Sequence[str]]:
            found = await ask()
            return found.tools, found.failures

        return Remote(*await tape.tools(self.agent.name, find))

    async def checkpoint(
        self, at: Literal["llm_start", "calls", "tool_start", "tool_end"], **what: Any
    ) -> None:
        """Let middleware save. `ctx["checkpoint"]` tells it what is about to happen, or has happened."""
        await self.run.chain.checkpoint(
            self.run.session, self.ctx, {"at": at, "agent": self.agent.name, **what}
        )

    async def ask(self, name: str, value: dict[str, Any]) -> Verdict:
        """Ask the hooks about an intent before it takes effect."""
        return await self.run.chain.fire("onIntent", self.ctx, Verdict(name, value))

    async def ask_user(self, call: Mapping[str, Any]) -> bool | str | None:
        """Ask the user whether the call of a `*_call` intent may happen: yes, no, or a text that says why not.

        None: nobody can be asked now, and the call may wait. It is a no where it may not, and when the approver fails;
        that is emitted as an `error`.
        """
        later = None if self.planned == call["id"] else False
        tape = self.run.services.tape
        if tape is None:
            answer = await self._asked(call)
        else:
            asked = ToolCall(id=call["id"], name=call["type"], args=call["args"])
            asking = Asking(self.active, "question", asked)
            answer = await tape.answer(asking, partial(self._asked, call))
        if answer is None:
            return later
        return answer if isinstance(answer, str) else answer is True

    async def _asked(self, call: Mapping[str, Any]) -> bool | str | None:
        approver = self.run.services.approver
        if approver is None:
            return None
        request = ApprovalRequest(
            self.run.run_id, call["id"], self.active, call["type"], deepcopy(call["args"])
        )
        try:
            answer = approver(request)
            answer = await answer if inspect.isawaitable(answer) else answer
        except BaseException as error:
            if goes_through(error):
                raise
            message = f"the approver failed, which is a no to {call['type']!r}: {describe(error)}"
            log.error("%s", message)
            value = {"message": message, "kind": "approval"}
            await self.emit("error", (await self.ask("error", value)).value)
            return False
        return answer

    async def emit(self, name: str, value: dict[str, Any]) -> None:
        """Hand an intent of this agent to everybody outside; the hooks have been asked about it."""
        await self.run.emit(name, value, self.agent.name)
