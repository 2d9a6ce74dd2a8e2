"""Open Responses of 2026-04-24 over HTTP: `/v1/responses`. A response is a leg of a run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auwgent.errors import SessionNotFound
from auwgent.relay.follow import is_under_way
from auwgent.serve.bodies import header, read_as, text_of
from auwgent.serve.callers import Pending, caller_tools
from auwgent.serve.chatlog import ChatInput, asked_of
from auwgent.serve.desk import Desk, who
from auwgent.serve.faults import Refusal, bad_request, refusal_of
from auwgent.serve.live import Live
from auwgent.serve.paths import one_of
from auwgent.serve.protocol import Protocol
from auwgent.serve.responses.docs import PATHS, SCHEMAS
from auwgent.serve.responses.items import messages_of
from auwgent.serve.responses.resource import Facts
from auwgent.serve.responses.stored import StoredLeg, find, parse
from auwgent.serve.responses.stream import StreamedOutput
from auwgent.serve.responses.threads import Threads
from auwgent.serve.sse import Answer, EventStream
from auwgent.store.sessions import Sessions


class ResponseBody(BaseModel):
    """What is read of a request; the rest, such as a temperature, is told again and else the agent's own affair."""

    model: str | None = None
    input: Any = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


def responses(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = Responses(desk)
    return Protocol(
        [
            Route("/v1/responses", routes.create, methods=["POST"]),
            Route("/v1/responses/{id:part}", routes.retrieve, methods=["GET"]),
            Route("/v1/responses/{id:part}", routes.delete, methods=["DELETE"]),
            Route("/v1/responses/{id:part}/cancel", routes.cancel, methods=["POST"]),
            Route("/v1/responses/{id:part}/input_items", routes.input_items),
        ],
        paths=PATHS,
        schemas=SCHEMAS,
    )


class Responses:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._pending, self._threads = desk, Pending(desk), Threads(desk)

    async def create(self, request: Request) -> Answer:
        """Begin a response, or go on with what an earlier one waits for."""
        body = await read_as(request, ResponseBody)
        _check(body)
        if body.background:
            self._desk.run_store()
            if body.store is False:
                raise bad_request("a background response is kept: `store` may not be false", "store")
        live = await self._begun(request, body)
        await live.accepted()
        live.given = {**await request.json(), "is_stored": body.store is not False}
        if body.stream:
            return EventStream(lambda cut: self._streamed(live, -1, cut), self._desk.metrics)
        if not body.background:
            await self._desk.whole(request, live)
            await live.outcome()
        return JSONResponse(self._resource(live))

    async def retrieve(self, request: Request) -> Answer:
        """Give a response as it is now, or its events behind one of them."""
        after = request.query_params.get("starting_after", "-1")
        if not after.isascii() or not after.removeprefix("-").isdecimal() or len(after) > 9:
            raise bad_request("`starting_after` should be the number of an event", "starting_after")
        if one_of(request, "stream", ("true", "false"), "false") == "true":
            held = self._held(request)
            if held is not None and held.holds(0):
                return EventStream(
                    lambda cut: self._streamed(held, int(after), cut, owns=False), self._desk.metrics
                )
            stored = await self._stored(request)
            if stored.is_last and is_under_way(stored.run, goes_on=self._desk.goes_on_by_itself):
                far = self._desk.follows(stored.run, stored.leg, stored.seen_before())
                return EventStream(
                    lambda cut: self._streamed(far, int(after), cut, owns=False), self._desk.metrics
                )
            texts = stored.events(self._desk, request.path_params["id"], int(after))
            return EventStream(lambda cut: texts, self._desk.metrics)
        live = self._held(request)
        if live is not None and live.count:
            return JSONResponse(self._resource(live))
        return JSONResponse((await self._stored(request)).resource(self._desk, request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        """End a response that is under way."""
        live = self._held(request)
        if live is not None and not live.is_over:
            await live.cancel()
            return JSONResponse(self._resource(live))
        stored = await self._stored(request)
        if stored.is_last:
            await self._desk.cancel(stored.run)
            stored = await self._stored(request)
        return JSONResponse(stored.resource(self._desk, request.path_params["id"]))

    async def delete(self, request: Request) -> Response:
        """Take a response from these routes."""
        name = request.path_params["id"]
        stored = await self._stored(request)
        self._desk.house.hidden.add((who(request).user, name))
        if isinstance(store := self._desk.store, Sessions):  # another store knows no such verb
            await store.hide(who(request).user, stored.run.run_id, name)
        return JSONResponse({"id": name, "object": "response.deleted", "deleted": True})

    async def input_items(self, request: Request) -> Response:
        """List what a response was asked."""
        items = (await self._stored(request)).input_items()
        if one_of(request, "order", ("desc", "asc"), "desc") == "desc":
            items.reverse()
        ends = {"first_id": items[0]["id"] if items else None, "last_id": items[-1]["id"] if items else None}
        return JSONResponse({"object": "list", "data": items, **ends, "has_more": False})

    async def _begun(self, request: Request, body: ResponseBody) -> Live:
        desk, user, metadata = self._desk, who(request), body.metadata or {}
        agent = desk.agent_named(body.model)
        run_id = header(request, "idempotency-key") or text_of(metadata, "run_id")
        session_id = _conversation(body) or header(request, "x-session-id")
        tools = [] if body.tool_choice == "none" else caller_tools(desk, body.tools, nested=False)
        messages, approvals = messages_of(body.input)
        if body.instructions:
            messages.insert(0, {"role": "system", "content": body.instructions})
        has_session = session_id is not None or body.previous_response_id is not None
        asked = asked_of(
            messages, desk.config, agent, has_session=has_session, answers=approvals, param="input"
        )
        background = bool(body.background)
        if body.previous_response_id is not None:
            if session_id is not None:
                raise bad_request("give `previous_response_id` or `conversation`, not both", "conversation")
            run = await self._previous(user.user, body.previous_response_id)
            if asked.answers or (run.is_last and run.run.status == "paused"):
                return await self._pending.answered(
                    user, asked.answers, None, run.run, background=background, asks=True
                )
        elif asked.answers:
            return await self._pending.answered(
                user, asked.answers, session_id, background=background, asks=True
            )
        options = desk.options(context=asked.context, run_id=run_id, caller_tools=tools)
        if body.store is False:
            return await self._unkept(user, asked, agent, options, body, session_id)
        if body.previous_response_id is not None:
            return await self._threads.goes_on(
                user, asked.input, run, agent=agent, background=background, asks=True, **options
            )
        if session_id is None and asked.history is not None:
            options["session"] = asked.history.model_copy(update={"user_id": user.user})
            session_id = asked.history.id
        return desk.begin(
            user, asked.input, agent=agent, session_id=session_id, background=background, asks=True, **options
        )

    async def _unkept(
        self,
        user: Any,
        asked: ChatInput,
        agent: str,
        options: dict[str, Any],
        body: ResponseBody,
        session_id: str | None,
    ) -> Live:
        """Begin a run of which nothing is kept, but for calls of the caller's tools while they are open."""
        desk, history = self._desk, asked.history
        if "run_id" in options:
            raise bad_request("a response with an Idempotency-Key is kept: `store` may not be false", "store")
        if body.previous_response_id is not None:
            previous = await self._previous(user.user, body.previous_response_id)
            history = previous.session_up_to()
        elif session_id is not None:
            options["session_id"] = session_id
        if "caller_tools" in options:
            return self._pending.begun(user, asked.input, history, agent, options)
        if history is not None:
            options["session"] = history
        return desk.begin(user, asked.input, agent=agent, keep=False, **options)

    async def _previous(self, user: str, name: str) -> StoredLeg:
        """Return an earlier response; `Refusal` where it is under way, or was not kept."""
        try:
            stored = await find(self._desk, user, name)
        except SessionNotFound:
            words = f"there is no response {name!r} that was kept"
            raise Refusal(404, "previous_response_not_found", words, param="previous_response_id") from None
        if stored.run.status in ("running", "queued") and stored.is_last:
            words = f"response {name!r} is under way; wait for its end, or cancel it"
            raise Refusal(409, "session_busy", words, param="previous_response_id", retry_after=1)
        return stored

    async def _stored(self, request: Request) -> StoredLeg:
        return await find(self._desk, who(request).user, request.path_params["id"])

    def _held(self, request: Request) -> Live | None:
        """Return the leg of a response, where it is held in this process."""
        user, name = who(request).user, request.path_params["id"]
        if (user, name) in self._desk.house.hidden:
            return None
        for run_id, leg in parse(name):
            for live in self._desk.house.legs(user, run_id):
                if live.leg == leg and live.given.get("is_stored", True):
                    return live
        return None

    def _facts(self, live: Live) -> Facts:
        name = response_id(live.run_id, live.leg)
        return Facts(
            name,
            live.agent,
            live.created,
            usage=live.usage if live.is_over else None,
            is_background=live.is_background,
            is_stored=bool(live.given.get("is_stored", True)),
            given=live.given,
        )

    def _output(self, live: Live) -> StreamedOutput:
        name = response_id(live.run_id, live.leg).removeprefix("resp_")
        return StreamedOutput(
            name,
            live.run_id,
            self._desk.speaks(live.agent),
            lambda items, status, **how: self._facts(live).resource(items, status, **how),
        )

    def _resource(self, live: Live) -> dict[str, Any]:
        output = self._output(live)
        for intent in live.held() or (self._desk.stored(live, live.session) if live.session else ()):
            for _ in output.of(intent):
                pass
        output.settle()
        error = _error(live)
        return self._facts(live).resource(
            output.items, _status(live, output), error=error, finish_reason=output.finish_reason
        )

    async def _streamed(
        self, live: Live, after: int, cut: Callable[[], None], *, owns: bool = True
    ) -> AsyncGenerator[str, None]:
        if owns:
            async with self._desk.reading(live), aclosing(self._events(live, after, cut)) as texts:
                async for text in texts:
                    yield text
        else:
            async with aclosing(self._events(live, after, cut)) as texts:
                async for text in texts:
                    yield text

    async def _events(self, live: Live, after: int, cut: Callable[[], None]) -> AsyncGenerator[str, None]:
        output = self._output(live)
        yield "".join(text for number, text in output.begin() if number > after)
        async with aclosing(live.read(0, cut)) as batches:
            async for batch in batches:
                numbered = (one for _, intent in batch for one in output.of(intent))
                if texts := "".join(text for number, text in numbered if number > after):
                    yield texts
        if not live.count and live.session is not None:
            for intent in self._desk.stored(live, live.session):
                yield "".join(text for number, text in output.of(intent) if number > after)
        yield "".join(
            text for number, text in output.end(_status(live, output), _error(live)) if number > after
        )


def response_id(run_id: str, leg: int) -> str:
    """Return the id of a response: that of its run, and of its leg from the second on."""
    return f"resp_{run_id}" if leg == 1 else f"resp_{run_id}_{leg}"


def _status(live: Live, output: StreamedOutput) -> str:
    match live.status:
        case "running":
            return "in_progress"
        case "completed" if output.finish_reason in ("length", "filtered"):
            return "incomplete"
        case "paused":
            return "completed"
        case status:
            return status


def _error(live: Live) -> Mapping[str, Any] | None:
    if live.status != "failed" or live.error is None:
        return None
    refusal = refusal_of(live.error)
    return {"code": refusal.code, "message": refusal.message}


def _conversation(body: ResponseBody) -> str | None:
    given = body.conversation
    if isinstance(given, Mapping):
        given = given.get("id")
        if given is None:
            raise bad_request("`conversation` has no id", "conversation")
    if given is not None and (not isinstance(given, str) or not given.strip() or "\x00" in given):
        raise bad_request("`conversation` should be the id of a session", "conversation")
    return given


def _check(body: ResponseBody) -> None:
    """Refuse what would change the answer and cannot be done."""
    format_ = ((body.text or {}).get("format") or {}).get("type", "text")
    unsupported = {
        "text.format": format_ != "text",
        "prompt": bool(body.prompt),
        "tool_choice": body.tool_choice not in (None, "auto", "none"),
    }
    hints = {
        "text.format": "; the `output` of the agent says what shape its answer has",
        "tool_choice": ' but for "auto" and "none"',
    }
    for name, is_wrong in unsupported.items():
        if is_wrong:
            words = f"this server does not support `{name}`{hints.get(name, '')}"
            raise bad_request(words, name, "unsupported_parameter")
