"""AG-UI 1.0, the Agent-User Interaction Protocol: `POST /ag-ui` and `/ag-ui/{agent}`, by the types of its own package.

A thread is a session. Its first run's id is the run's; a run that answers open questions is a later leg of that one,
and its own id is an alias for as long as it streams. Without a store the messages sent along are the history.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    Interrupt,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from starlette.requests import Request
from starlette.routing import Route

from auwgent.intents import CALLS, OURS, RESULTS, SKIPPED, Intent
from auwgent.serve.ag_ui_asked import answer_of, as_chat, results_of
from auwgent.serve.bodies import read_as
from auwgent.serve.callers import caller_tools
from auwgent.serve.chatlog import asked_of
from auwgent.serve.desk import Desk, who
from auwgent.serve.faults import Refusal, bad_request, refusal_of
from auwgent.serve.leg import CutOff
from auwgent.serve.live import Live
from auwgent.serve.openapi import refused
from auwgent.serve.protocol import Protocol
from auwgent.serve.sse import EventStream, event
from auwgent.serve.told import finish_of
from auwgent.serve.users import Who
from auwgent.serve.words import Words
from auwgent.store.base import is_run_store

PATHS: Mapping[str, Any] = {
    path: {
        "post": {
            "summary": "Run an agent, told as AG-UI events",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AgUiRun"}}},
            },
            "responses": {
                "200": {
                    "description": "Server-sent events of AG-UI 1.0",
                    "content": {"text/event-stream": {}},
                },
                **refused(404, 409, 410),
            },
            **parameters,
        }
    }
    for path, parameters in (
        ("/ag-ui", {}),
        (
            "/ag-ui/{agent}",
            {"parameters": [{"name": "agent", "in": "path", "required": True, "schema": {"type": "string"}}]},
        ),
    )
}
SCHEMAS: Mapping[str, Any] = {
    "AgUiRun": {
        "type": "object",
        "required": ["threadId", "runId", "messages"],
        "properties": {
            "threadId": {"type": "string", "minLength": 1},
            "runId": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "tools": {"type": "array", "items": {"type": "object"}},
            "resume": {"type": "array", "items": {"type": "object"}},
        },
    }
}


def ag_ui(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = AgUi(desk)
    paths = ("/ag-ui", "/ag-ui/{agent}")
    return Protocol(
        [Route(path, routes.run, methods=["POST"]) for path in paths], paths=PATHS, schemas=SCHEMAS
    )


class AgUi:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, request: Request) -> EventStream:
        """Begin a run, or answer what one waits for, and stream its events."""
        given = await read_as(request, RunAgentInput)
        for name, value in (("threadId", given.thread_id), ("runId", given.run_id)):
            if not value.strip():
                raise bad_request(f"`{name}` is empty", name)
        agent = self._desk.agent_named(request.path_params.get("agent"), "agent")
        user = who(request)
        if given.resume or results_of(given):
            live = await self._goes_on(user, given)
        else:
            live = self._begins(user, given, agent)
        await live.accepted()
        events = AgUiEvents(live, given, self._desk.speaks(live.agent))
        return EventStream(lambda cut: self._streamed(live, events, cut), self._desk.metrics)

    def _begins(self, user: Who, given: RunAgentInput, agent: str) -> Live:
        is_kept = is_run_store(self._desk.store)
        asked = asked_of(as_chat(given), self._desk.config, agent, has_session=is_kept)
        tools = [{"type": "function", **tool.model_dump(include=_TOOL)} for tool in given.tools or ()]
        options: dict[str, Any] = {"context": asked.context} if asked.context else {}
        if own := caller_tools(self._desk, tools, nested=False):
            self._desk.run_store()
            options["caller_tools"] = own
        if is_kept:
            options |= {"session_id": given.thread_id, "run_id": given.run_id}
        else:
            options |= {"keep": False} | ({"session": asked.history} if asked.history else {})
        return self._desk.begin(user, asked.input, agent=agent, asks=True, **options)

    async def _goes_on(self, user: Who, given: RunAgentInput) -> Live:
        """Write down the answers to what the thread's run waits for, and begin its next leg."""
        store = self._desk.run_store()
        runs = await store.runs(user.user, session_id=given.thread_id, limit=1)
        if not runs or runs[0].status != "paused":
            words = "no run of this thread waits for an answer"
            raise Refusal(409 if runs else 404, "already_answered" if runs else "not_found", words)
        [run] = runs
        kinds = {str(call["id"]): call["kind"] for call in run.calls}
        answers = results_of(given)
        answers |= {one.interrupt_id: answer_of(one, kinds) for one in given.resume or ()}
        answers = {of: answer for of, answer in answers.items() if of in kinds}
        if missing := [call["type"] for call in run.calls if call["id"] not in answers]:
            words = f"the run waits for {', '.join(missing)} as well; `resume` answers all open interrupts"
            raise Refusal(409, "run_paused", words, param="resume", retry=False)
        return self._desk.goes_on(await store.answer(user.user, run.run_id, answers), asks=True)

    async def _streamed(
        self, live: Live, events: AgUiEvents, cut: Callable[[], None]
    ) -> AsyncGenerator[str, None]:
        async with self._desk.reading(live):
            yield _written(events.first())
            try:
                async with aclosing(live.read(0, cut)) as batches:
                    async for batch in batches:
                        texts = [_written(one) for _, intent in batch for one in events.of(intent)]
                        if texts:
                            yield "".join(texts)
                session = await live.outcome()
                if not live.count:
                    for intent in self._desk.stored(live, session):
                        for one in events.of(intent):
                            yield _written(one)
                for one in events.last():
                    yield _written(one)
            except CutOff:
                raise
            except Exception as error:
                for one in events.failed(error):
                    yield _written(one)


class AgUiEvents:
    """Turns the intents of a leg into events of AG-UI."""

    def __init__(self, live: Live, given: RunAgentInput, speaks: Callable[[str], bool]) -> None:
        self._live, self._thread, self._run, self._speaks = live, given.thread_id, given.run_id, speaks
        self._words = Words(speaks)
        self._message = ""  # the one under way
        self._parent: str | None = None  # what the model said beside the calls that it makes now
        self._count = 0
        self._calls: dict[str, bool] = {}  # by id: whether its arguments are still coming
        self._usage: list[TokenUsage] = []
        self._finish = "stop"

    def first(self) -> BaseEvent:
        """The event that all begins with."""
        return RunStartedEvent(thread_id=self._thread, run_id=self._run)

    def of(self, intent: Intent) -> Iterator[BaseEvent]:
        """The events that an intent makes."""
        if reason := finish_of(intent, self._speaks):
            self._finish = reason
        for said in self._words.of(intent):
            if said.begins:
                self._count += 1
                self._message = f"{self._run}:{self._count}"
                if said.kind == "text":
                    self._parent = self._message
                yield from self._opens(said.kind)
            if said.delta and said.kind == "text":
                yield TextMessageContentEvent(message_id=self._message, delta=said.delta)
            elif said.delta:
                yield ReasoningMessageContentEvent(message_id=self._message, delta=said.delta)
            if said.ends:
                yield from self._closes(said.kind)
        yield from self._step(intent)

    def last(self) -> Iterator[BaseEvent]:
        """The end: an answer, open questions, or a run that was cancelled."""
        yield from self._closing()
        if self._live.status == "cancelled":
            yield self._finished(RunFinishedCancelledOutcome())
            return
        questions = [
            Interrupt(
                id=call["id"],
                reason="tool_call",
                message=f"{call['agent']} wants to call {call['type']}",
                tool_call_id=call["id"],
                response_schema={
                    "description": "true, false, or a text: no, because …",
                    "type": ["boolean", "string"],
                },
                expires_at=str(call["expires"]) if call.get("expires") else None,
                metadata={name: call[name] for name in ("type", "args", "agent", "kind")},
            )
            for call in self._live.calls
            if call["kind"] == "approval"
        ]
        tools = [str(call["id"]) for call in self._live.calls if call["kind"] == "tool"]
        if questions:
            yield self._finished(RunFinishedInterruptOutcome(interrupts=questions))
        else:
            yield self._finished(RunFinishedSuccessOutcome(pending_tool_call_ids=tools or None))

    def failed(self, error: BaseException) -> Iterator[BaseEvent]:
        """The end of a run that failed."""
        yield from self._closing()
        refusal = refusal_of(error)
        yield RunErrorEvent(message=refusal.message, code=refusal.code, usage=self._usage or None)

    def _finished(self, outcome: Any) -> RunFinishedEvent:
        metadata = {"finishReason": self._finish, "auwgentRunId": self._live.run_id}
        return RunFinishedEvent(
            thread_id=self._thread,
            run_id=self._run,
            outcome=outcome,
            usage=self._usage or None,
            metadata=metadata,
        )

    def _closing(self) -> Iterator[BaseEvent]:
        for said in self._words.close():
            yield from self._closes(said.kind)
        for of, is_coming in self._calls.items():
            if is_coming:
                yield ToolCallEndEvent(tool_call_id=of)

    def _opens(self, kind: str) -> Iterator[BaseEvent]:
        if kind == "text":
            yield TextMessageStartEvent(message_id=self._message, role="assistant")
        else:
            yield ReasoningStartEvent(message_id=self._message)
            yield ReasoningMessageStartEvent(message_id=self._message)

    def _closes(self, kind: str) -> Iterator[BaseEvent]:
        if kind == "text":
            yield TextMessageEndEvent(message_id=self._message)
        else:
            yield ReasoningMessageEndEvent(message_id=self._message)
            yield ReasoningEndEvent(message_id=self._message)

    def _step(self, intent: Intent) -> Iterator[BaseEvent]:
        name, value = intent.name, intent.value
        if name in CALLS and intent.partial:
            yield from self._piece(value)
        elif intent.partial:
            return
        elif name in CALLS:
            yield from self._call(value)
            if name == "helper_call":
                yield StepStartedEvent(step_name=value["type"])
        elif name in (*RESULTS, *SKIPPED, "tool_error"):
            yield from self._result(name, value)
        elif name == "model_call":
            self._used(value)
        elif name == "model_retry" or name not in OURS:
            yield CustomEvent(name=name, value=value)

    def _piece(self, value: Mapping[str, Any]) -> Iterator[BaseEvent]:
        of, named = value["id"], (value["snapshot"] or {}).get("type")
        if of not in self._calls and named:
            self._calls[of] = True
            yield ToolCallStartEvent(tool_call_id=of, tool_call_name=named, parent_message_id=self._parent)
        if of in self._calls and value["delta"]:
            yield ToolCallArgsEvent(tool_call_id=of, delta=value["delta"])

    def _call(self, value: Mapping[str, Any]) -> Iterator[BaseEvent]:
        of = value["id"]
        if of not in self._calls:
            yield ToolCallStartEvent(
                tool_call_id=of, tool_call_name=value["type"], parent_message_id=self._parent
            )
            yield ToolCallArgsEvent(
                tool_call_id=of, delta=json.dumps(value["args"], ensure_ascii=False, default=str)
            )
        if self._calls.get(of, True):
            self._calls[of] = False
            yield ToolCallEndEvent(tool_call_id=of)

    def _result(self, name: str, value: Mapping[str, Any]) -> Iterator[BaseEvent]:
        of = value.get("id")
        self._parent = None
        if not of:
            return
        if self._calls.get(of):
            self._calls[of] = False
            yield ToolCallEndEvent(tool_call_id=of)
        if name in RESULTS:
            content, outcome = value["result"], "ok"
        elif name in SKIPPED:
            content, outcome = "The call was skipped.", "skipped"
        else:
            content, outcome = value["message"], "error"
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
        self._count += 1
        yield ToolCallResultEvent(
            message_id=f"{self._run}:{self._count}",
            tool_call_id=of,
            content=text,
            role="tool",
            metadata={"outcome": outcome},
        )
        if name == "helper_result":
            yield StepFinishedEvent(step_name=value["name"])

    def _used(self, value: Mapping[str, Any]) -> None:
        usage = value.get("usage")
        if usage:
            provider, _, model = str(value.get("model") or "").partition("/")
            self._usage.append(
                TokenUsage(
                    provider=provider,
                    model=model,
                    input_tokens=usage["input_tokens"],
                    output_tokens=usage["output_tokens"],
                    total_tokens=usage["input_tokens"] + usage["output_tokens"],
                    reasoning_tokens=usage["reasoning_tokens"],
                    cached_input_tokens=usage["cached_tokens"],
                    cache_write_input_tokens=usage["written_tokens"],
                )
            )


_TOOL = {"name", "description", "parameters"}


def _written(one: BaseEvent) -> str:
    return event(one.model_dump(mode="json", by_alias=True))
