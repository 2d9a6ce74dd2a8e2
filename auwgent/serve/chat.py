"""OpenAI's Chat Completions: `/v1/chat/completions`, streamed or whole, and `/v1/models`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auwgent.intents import Intent
from auwgent.serve.bodies import header, read_as, text_of
from auwgent.serve.callers import Pending, call_id, caller_tools
from auwgent.serve.chatdocs import PATHS, SCHEMAS
from auwgent.serve.chatlog import ChatInput, asked_of
from auwgent.serve.desk import Desk, who
from auwgent.serve.faults import bad_request, refusal_of
from auwgent.serve.leg import CutOff
from auwgent.serve.live import Live
from auwgent.serve.protocol import Protocol
from auwgent.serve.sse import Answer, EventStream, dumps, event
from auwgent.serve.told import finish_of
from auwgent.serve.words import BETWEEN, Words
from auwgent.session import Usage

_FINISH = {"filtered": "content_filter"}
_CREATED = int(time.time())


class StreamOptions(BaseModel):
    """What a stream is to tell besides."""

    include_usage: bool | None = None


class ChatBody(BaseModel):
    """What is read of a request; the rest, such as a temperature, is the agent's own affair."""

    model: str | None = None
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    response_format: dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None


def chat(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = Chat(desk)
    return Protocol(
        [
            Route("/v1/chat/completions", routes.completions, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/v1/models/{id:part}", routes.model),
        ],
        paths=PATHS,
        schemas=SCHEMAS,
    )


class Chat:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._pending = desk, Pending(desk)

    async def models(self, request: Request) -> Response:
        """List the agents as models."""
        return JSONResponse({"object": "list", "data": [_model(name) for name in self._desk.agents]})

    async def model(self, request: Request) -> Response:
        """Tell of one."""
        return JSONResponse(_model(self._desk.agent_named(request.path_params["id"])))

    async def completions(self, request: Request) -> Answer:
        """Answer the newest message of a conversation."""
        body = await read_as(request, ChatBody)
        _check(body)
        live, pending = await self._begun(request, body)
        await live.accepted()
        speaks = self._desk.speaks(live.agent)
        headers = {"X-Run-Id": _sendable(live.run_id)}
        if live.session_id is not None and not pending:
            headers["X-Session-Id"] = _sendable(live.session_id)
        if body.stream:
            chunks = Chunks(
                live, speaks, with_usage=bool((body.stream_options or StreamOptions()).include_usage)
            )
            return EventStream(lambda cut: self._streamed(live, chunks, cut), self._desk.metrics, headers)
        await self._desk.whole(request, live)
        session = await live.outcome()
        told = self._desk.told(live, session)
        message: dict[str, Any] = {"role": "assistant", "content": told.text, "refusal": None}
        finish = _FINISH.get(told.finish_reason, told.finish_reason)
        if told.thoughts:
            message["reasoning_content"] = BETWEEN.join(told.thoughts)
        if live.calls:
            message["tool_calls"] = [_call(live.run_id, one) for one in live.calls]
            message["content"], finish = told.text or None, "tool_calls"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return JSONResponse(
            {**_head(live, "chat.completion"), "choices": [choice], "usage": usage(live.usage)},
            headers=headers,
        )

    async def _begun(self, request: Request, body: ChatBody) -> tuple[Live, bool]:
        """Begin the run, or go on with one; gives whether its session is there for its open calls alone."""
        desk, metadata = self._desk, body.metadata or {}
        agent = desk.agent_named(body.model)
        session_id = header(request, "x-session-id") or text_of(metadata, "session_id")
        run_id = header(request, "idempotency-key") or text_of(metadata, "run_id")
        tools = caller_tools(desk, body.tools, nested=True) if body.tool_choice != "none" else []
        asked = asked_of(body.messages, desk.config, agent, has_session=session_id is not None)
        if asked.answers:
            live = await self._pending.answered(who(request), asked.answers, session_id)
            return live, session_id is None
        options = desk.options(context=asked.context, run_id=run_id, caller_tools=tools)
        if session_id is not None:
            return desk.begin(who(request), asked.input, agent=agent, session_id=session_id, **options), False
        return self._alone(request, asked, agent, options)

    def _alone(
        self, request: Request, asked: ChatInput, agent: str, options: dict[str, Any]
    ) -> tuple[Live, bool]:
        """Begin a run whose history is the caller's; it is kept only as long as calls of its tools are open."""
        user, history = who(request), asked.history
        if "run_id" in options:
            if history is not None:
                options["session"] = history
            return self._desk.begin(user, asked.input, agent=agent, **options), False
        if "caller_tools" in options:
            return self._pending.begun(user, asked.input, history, agent, options), True
        if history is not None:
            options["session"] = history
        return self._desk.begin(user, asked.input, agent=agent, keep=False, **options), False

    async def _streamed(
        self, live: Live, chunks: Chunks, cut: Callable[[], None]
    ) -> AsyncGenerator[str, None]:
        async with self._desk.reading(live):
            try:
                yield chunks.first()
                async with aclosing(live.read(0, cut)) as batches:
                    async for batch in batches:
                        if texts := "".join(chunk for _, intent in batch for chunk in chunks.of(intent)):
                            yield texts
                session = await live.outcome()
                if not live.count:
                    for intent in self._desk.stored(live, session):
                        yield "".join(chunks.of(intent))
                yield "".join(chunks.last())
            except CutOff:
                raise
            except Exception as error:
                yield event(refusal_of(error).body())


class Chunks:
    """Turns intents into chunks of a streamed answer."""

    def __init__(self, live: Live, speaks: Callable[[str], bool], *, with_usage: bool) -> None:
        self._live, self._speaks, self._with_usage = live, speaks, with_usage
        self._words = Words(speaks)
        self._head = _head(live, "chat.completion.chunk") | ({"usage": None} if with_usage else {})
        self._frame = dumps(self._head)[:-1]  # of each chunk, up to its choices
        self._finish = "stop"
        self._texts = 0

    def first(self) -> str:
        """The chunk that names the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def of(self, intent: Intent) -> Iterator[str]:
        """The chunks that an intent makes."""
        if reason := finish_of(intent, self._speaks):
            self._finish = _FINISH.get(reason, reason)
        for said in self._words.of(intent):
            if said.kind == "thought":
                if said.delta:
                    yield self._chunk({"reasoning_content": said.delta})
                continue
            if said.begins:
                self._texts += 1
                if self._texts > 1:
                    yield self._chunk({"content": BETWEEN})
            if said.delta:
                yield self._chunk({"content": said.delta})

    def last(self) -> Iterator[str]:
        """The open calls, the end of the answer, and what was used."""
        for index, one in enumerate(self._live.calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(self._live.run_id, one)}]})
        yield self._chunk({}, "tool_calls" if self._live.calls else self._finish)
        if self._with_usage:
            yield event({**self._head, "choices": [], "usage": usage(self._live.usage)})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = f'{{"index":0,"delta":{dumps(delta)},"logprobs":null,"finish_reason":{dumps(finish)}}}'
        return f'data: {self._frame},"choices":[{choice}]}}\n\n'


def usage(used: Usage) -> dict[str, Any]:
    """Return what was used as OpenAI tells it."""
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _check(body: ChatBody) -> None:
    """Refuse what would change the answer and cannot be done; what a model is told besides is the config's affair."""
    format_ = (body.response_format or {}).get("type", "text")
    unsupported = {
        "n": (body.n or 1) != 1,
        "stop": bool(body.stop),
        "logprobs": bool(body.logprobs),
        "modalities": body.modalities not in (None, ["text"]),
        "response_format": format_ != "text",
        "functions": bool(body.functions),
        "tool_choice": body.tool_choice not in (None, "auto", "none"),
    }
    hints = {
        "response_format": "; the `output` of the agent says what shape its answer has",
        "functions": "; send `tools`",
        "tool_choice": ' but for "auto" and "none"',
    }
    for name, is_wrong in unsupported.items():
        if is_wrong:
            words = f"this server does not support `{name}`{hints.get(name, '')}"
            raise bad_request(words, param=name, code="unsupported_parameter")


def _head(live: Live, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{live.run_id}", "object": kind, "created": live.created, "model": live.agent}


def _call(run_id: str, call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["type"], "arguments": json.dumps(call["args"], ensure_ascii=False)}
    return {"id": call_id(run_id, call["id"]), "type": "function", "function": function}


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "auwgent"}


def _sendable(text: str) -> str:
    return text.encode().decode("latin-1")
