"""A2A 1.0, the Agent2Agent Protocol: JSON-RPC at `/a2a` by the official SDK, and the card that tells of it.

A context is a session, a task is a run; a question is a task that requires input, and a message to it answers.
Needs the extra `a2a`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, NoReturn

from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers.request_handler import RequestHandler, validate_request_params
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskStatus,
)
from a2a.utils.constants import (
    AGENT_CARD_WELL_KNOWN_PATH,
    DEFAULT_LIST_TASKS_PAGE_SIZE,
    MAX_LIST_TASKS_PAGE_SIZE,
)
from a2a.utils.errors import (
    A2AError,
    ExtendedAgentCardNotConfiguredError,
    InternalError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auwgent.errors import SessionNotFound
from auwgent.serve.a2a_card import card_of
from auwgent.serve.a2a_tasks import STATES, Tasks, Updates, answers_of, changed, input_of, over
from auwgent.serve.desk import Desk, who
from auwgent.serve.events import LOOK
from auwgent.serve.faults import bad_request, refusal_of
from auwgent.serve.leg import CutOff
from auwgent.serve.live import Live
from auwgent.serve.paths import MOST
from auwgent.serve.protocol import Protocol
from auwgent.serve.runs import open_calls
from auwgent.serve.sse import Answer, EventStream, cut_of
from auwgent.serve.users import Who
from auwgent.serve.words import Words
from auwgent.session import Session, new_id
from auwgent.store.base import OVER, RunInfo, is_run_store

SOON = 0.01  # seconds between two looks for the row of a run that begins
# The SDK logs what clients do wrong with a traceback, and what they are told of it stands in the answer.
logging.getLogger("a2a").setLevel(logging.CRITICAL)


def a2a(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = A2A(desk)
    return Protocol(
        [Route("/a2a", routes.answer, methods=["POST"]), Route(AGENT_CARD_WELL_KNOWN_PATH, routes.card)],
        public=[AGENT_CARD_WELL_KNOWN_PATH],
    )


class A2A:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._dispatcher = JsonRpcDispatcher(Handler(desk), _Calls())

    async def answer(self, request: Request) -> Answer:
        """Answer a call of JSON-RPC."""
        answer: Response = await self._dispatcher.handle_requests(request)
        if not isinstance(answer, EventSourceResponse):
            return answer
        events: Any = answer.body_iterator
        return EventStream(lambda cut: _texts(events), self._desk.metrics)

    async def card(self, request: Request) -> Response:
        """Tell other agents who is here, and where."""
        proxied = request.headers.get("x-forwarded-proto", "")
        scheme = proxied if proxied in ("http", "https") else request.url.scheme
        url = f"{scheme}://{request.headers['host']}/a2a"
        return JSONResponse(agent_card_to_dict(card_of(self._desk, url)))


class _Calls(DefaultServerCallContextBuilder):
    """Gives the handler the request."""

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state["request"] = request
        return context


class Handler(RequestHandler):
    """What is done for each method."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._tasks = desk, Tasks(desk)

    @validate_request_params
    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task:
        """Begin a run, or answer what one waits for; wait for its end, unless the client does not want to."""
        with _told():
            live = await self._sent(params, context)
            if isinstance(live, Task):
                return live
            if not live.is_background:
                await self._desk.whole(_request(context), live)
            return await self._task(live, params)

    @validate_request_params
    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        """Do the same, and tell of it as it happens."""
        with _told():
            live = await self._sent(params, context)
            if isinstance(live, Task):
                yield live
                return
            async with self._desk.reading(live):
                asked = self._asked(live, params)
                yield Task(
                    id=live.run_id,
                    context_id=asked.context_id,
                    status=TaskStatus(state=STATES["running"]),
                    history=[asked],
                )
                async for event in self._followed(live, asked.context_id, context):
                    yield event
                yield over(await self._task(live, params))

    @validate_request_params
    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        """Tell of a run that is under way: how far it is, then what happens."""
        with _told():
            run = await self._run(context, params.id)
            if run.status in OVER:
                raise UnsupportedOperationError(f"the task {run.run_id!r} is over: get it instead")
            live = self._desk.house.newest(run.user_id, run.run_id)
            first = await self._of_run(run)
            at = live.count if live is not None else 0
            yield first
            if live is not None and not live.is_over and live.holds(0):
                async for event in self._followed(live, run.session_id or "", context, at):
                    yield event
                late = 0
            else:
                late = max(1, len(first.artifacts))
                while run.status in ("running", "queued", "interrupted"):
                    await asyncio.sleep(LOOK)
                    run = await self._run(context, params.id)
            last = await self._of_run(await self._run(context, params.id))
            for artifact in (
                last.artifacts[late - 1 :] if late else ()
            ):  # the last of the first may have grown
                yield TaskArtifactUpdateEvent(
                    task_id=last.id, context_id=last.context_id, artifact=artifact, last_chunk=True
                )
            yield over(last)

    @validate_request_params
    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        """Tell of a run."""
        with _told():
            history = params.history_length if params.HasField("history_length") else None
            return await self._of_run(await self._run(context, params.id), history)

    @validate_request_params
    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Tell of the user's runs, a page at a time, the last changed first, of the newest thousand."""
        with _told():
            size = params.page_size if params.HasField("page_size") else DEFAULT_LIST_TASKS_PAGE_SIZE
            begin = params.page_token or "0"
            if not 1 <= size <= MAX_LIST_TASKS_PAGE_SIZE:
                raise bad_request(f"`pageSize` should be a number from 1 to {MAX_LIST_TASKS_PAGE_SIZE}")
            if not (begin.isascii() and begin.isdecimal() and len(begin) < 9):
                raise bad_request("`pageToken` should be the `nextPageToken` of another answer")
            runs = await self._runs(params, context)
            end = int(begin) + size
            kept = params.history_length if params.HasField("history_length") else 0
            shown = [
                await self._of_run(run, kept, artifacts=params.include_artifacts)
                for run in runs[int(begin) : end]
            ]
            return ListTasksResponse(
                tasks=shown,
                next_page_token=str(end) if end < len(runs) else "",
                page_size=size,
                total_size=len(runs),
            )

    @validate_request_params
    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        """End a run."""
        with _told():
            run = await self._run(context, params.id)
            if run.status in OVER:
                raise TaskNotCancelableError(f"the task {run.run_id!r} is over already: {run.status}")
            return await self._of_run(await self._desk.cancel(run))

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Say that there is none."""
        raise ExtendedAgentCardNotConfiguredError

    async def _no_push(self, params: Any, context: ServerCallContext) -> NoReturn:
        """Say that nobody is called back: an address that a stranger names is never asked."""
        raise PushNotificationNotSupportedError

    on_create_task_push_notification_config = _no_push
    on_get_task_push_notification_config = _no_push
    on_list_task_push_notification_configs = _no_push
    on_delete_task_push_notification_config = _no_push

    async def _sent(self, params: SendMessageRequest, context: ServerCallContext) -> Live | Task:
        """Return the leg that a message begins; the task, where it answers but a part of what is asked."""
        if params.configuration.HasField("task_push_notification_config"):
            raise PushNotificationNotSupportedError
        user, message = _user(context), params.message
        background = params.configuration.return_immediately
        if not message.task_id:
            return self._begun(user, params, background)
        run = await self._run(context, message.task_id)
        if message.context_id and message.context_id != run.session_id:
            raise bad_request(f"the task {run.run_id!r} is of another context", "message.contextId")
        if run.status != "paused":
            words = "is over: begin another one in its context" if run.status in OVER else "is under way"
            raise UnsupportedOperationError(f"the task {run.run_id!r} {words}")
        answers = answers_of(message, open_calls(run))
        run = await self._desk.run_store().answer(user.user, run.run_id, answers)
        if open_calls(run):
            return await self._of_run(run)
        return self._desk.goes_on(run, background=background, asks=True)

    def _begun(self, user: Who, params: SendMessageRequest, background: bool) -> Live:
        message = params.message
        options: dict[str, Any] = {}
        if is_run_store(self._desk.store):
            options = {"asks": True, "session_id": message.context_id or new_id()}
        elif message.context_id or background:
            what = "context to go on with" if message.context_id else "task to ask for later"
            raise bad_request(f"nothing is kept here, so there is no {what}")
        agent = self._desk.agent_named(params.tenant, "tenant")
        return self._desk.begin(user, input_of(message), agent=agent, background=background, **options)

    async def _followed(
        self, live: Live, session_id: str, context: ServerCallContext, at: int = 0
    ) -> AsyncGenerator[TaskArtifactUpdateEvent, None]:
        """Yield what a leg says, from a place on; what it said before is told already."""
        updates = Updates(self._tasks, live, session_id, Words(self._desk.speaks(live.agent)))
        for _ in updates.of([intent for _, intent in live.numbered(0, at)]):
            pass
        async with aclosing(live.read(at, cut_of(_request(context).scope))) as batches:
            async for batch in batches:
                for update in updates.of([intent for _, intent in batch]):
                    yield update

    async def _task(self, live: Live, params: SendMessageRequest) -> Task:
        """Return a leg's run as it stands."""
        if not is_run_store(self._desk.store):
            return self._tasks.of_live(live, self._asked(live, params))
        run = await self._begun_run(live)
        if run is None:
            return self._tasks.of_live(live, self._asked(live, params))
        given = params.configuration
        return await self._of_run(run, given.history_length if given.HasField("history_length") else None)

    async def _begun_run(self, live: Live) -> RunInfo | None:
        """Return the row of a leg's run, once it has one; None where it never gets one. Raise what refused it."""
        while True:
            was_over = live.is_over
            with suppress(SessionNotFound):
                return await self._desk.run_store().run(live.user, live.run_id)
            if was_over and live.error is not None:
                raise live.error
            if was_over:
                return None
            await asyncio.sleep(SOON)

    def _asked(self, live: Live, params: SendMessageRequest) -> Message:
        """Return the message of a request as it is told again."""
        asked = Message()
        asked.CopyFrom(params.message)
        asked.task_id = live.run_id
        asked.context_id = asked.context_id or live.session_id or new_id()
        return asked

    async def _run(self, context: ServerCallContext, name: str) -> RunInfo:
        if not is_run_store(self._desk.store):
            raise TaskNotFoundError("nothing is kept here, so there are no tasks to ask for")
        user = _user(context).user
        live = self._desk.house.newest(user, name)
        run = None if live is None or live.is_over else await self._begun_run(live)  # it may have just begun
        return run or await self._desk.run_store().run(user, name)

    async def _runs(self, params: ListTasksRequest, context: ServerCallContext) -> list[RunInfo]:
        store = self._desk.run_store()
        found = await store.runs(_user(context).user, session_id=params.context_id or None, limit=MOST)
        if params.status:
            found = [run for run in found if STATES[run.status] == params.status]
        if params.HasField("status_timestamp_after"):
            since = (
                params.status_timestamp_after.ToDatetime(tzinfo=found[0].made_at.tzinfo) if found else None
            )
            found = [run for run in found if since is not None and changed(run) >= since]
        return sorted(found, key=changed, reverse=True)

    async def _of_run(self, run: RunInfo, history: int | None = None, *, artifacts: bool = True) -> Task:
        session: Session | None = None
        if run.session_id is not None and (artifacts or history != 0):
            with suppress(SessionNotFound):  # it has just been deleted
                session = await self._desk.run_store().get(run.user_id, run.session_id)
        return self._tasks.of_run(run, session, history=history, artifacts=artifacts)


async def _texts(events: AsyncGenerator[dict[str, str], None]) -> AsyncGenerator[str, None]:
    async with aclosing(events):
        async for one in events:
            head = f"event: {one['event']}\n" if "event" in one else ""
            yield f"{head}data: {one['data']}\n\n"


@contextmanager
def _told() -> Iterator[None]:
    """Raise what a client is told in the words of the protocol."""
    try:
        yield
    except (A2AError, CutOff):
        raise
    except SessionNotFound:
        raise TaskNotFoundError from None
    except Exception as error:
        refusal = refusal_of(error)
        kinds: dict[int, Callable[..., A2AError]] = {400: InvalidParamsError, 404: InvalidParamsError}
        kinds |= {409: UnsupportedOperationError, 410: UnsupportedOperationError}
        raise kinds.get(refusal.status, InternalError)(refusal.message, {"code": refusal.code}) from error


def _request(context: ServerCallContext) -> Request:
    request: Request = context.state["request"]
    return request


def _user(context: ServerCallContext) -> Who:
    return who(_request(context))
