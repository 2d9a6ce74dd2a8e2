"""The runs of a user: listed, told of, followed, answered and cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auwgent.errors import ConfigError
from auwgent.serve.bodies import read_as
from auwgent.serve.desk import Desk, who
from auwgent.serve.events import Place, RunEvents
from auwgent.serve.faults import bad_request
from auwgent.serve.openapi import answer, body_of, path_text, query, refused
from auwgent.serve.paths import number_of, one_of
from auwgent.serve.protocol import Protocol
from auwgent.serve.sessions import LIMIT, SHOWN
from auwgent.serve.sse import Answer, EventStream
from auwgent.store.base import RUN_STATUSES, RunInfo


class AnswersBody(BaseModel):
    """Answers, by the ids of the calls that wait for them."""

    answers: dict[str, Any] = Field(min_length=1)


def runs(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = Runs(desk)
    return Protocol(
        [
            Route("/v1/runs", routes.listed),
            Route("/v1/runs/{id:part}", routes.one),
            Route("/v1/runs/{id:part}/cancel", routes.cancel, methods=["POST"]),
            Route("/v1/runs/{id:part}/answers", routes.answers, methods=["POST"]),
            Route("/v1/runs/{id:part}/events", routes.events),
        ],
        paths=PATHS,
        schemas=SCHEMAS,
    )


class Runs:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: Request) -> Response:
        """List runs, the newest first; an admin who names no user sees those of all."""
        limit, user = number_of(request, "limit", SHOWN), who(request)
        is_any = "status" not in request.query_params
        status = None if is_any else one_of(request, "status", RUN_STATUSES, "paused")
        found = await self._desk.run_store().runs(
            None if user.sees_all else user.user,
            status,
            session_id=request.query_params.get("session_id"),
            limit=limit,
        )
        return JSONResponse({"object": "list", "data": [facts(one) for one in found]})

    async def one(self, request: Request) -> Response:
        """Tell of a run."""
        return JSONResponse(facts(await self._run(request)))

    async def cancel(self, request: Request) -> Response:
        """End a run; one that is over stays as it is."""
        return JSONResponse(facts(await self._desk.cancel(await self._run(request))))

    async def answers(self, request: Request) -> Response:
        """Write down answers; where none is missing any more, go on with the run."""
        body = await read_as(request, AnswersBody)
        run = await self._run(request)
        try:
            run = await self._desk.run_store().answer(run.user_id, run.run_id, body.answers)
        except ConfigError as error:
            raise bad_request(str(error), "answers") from None
        if run.status == "paused" and not open_calls(run):
            if run.is_queued and self._desk.agent.config.queue is not None:
                await self._desk.agent.queue.goes_on(run.user_id, run.run_id)
            else:
                self._desk.goes_on(run, background=True, asks=True)
            run = await self._run(request)
        return JSONResponse(facts(run))

    async def events(self, request: Request) -> Answer:
        """Follow a run, from the beginning, or behind the event that `Last-Event-ID` or `?after=` names."""
        given = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        after = Place.parse(given)
        if after is None:
            raise bad_request(f"{given[:40]!r} is not the id of an event of ours", "after")
        user = who(request).user
        run_id = request.path_params["id"]
        legs = self._desk.house.legs(user, run_id)
        if not legs:
            user = (await self._run(request)).user_id
            legs = self._desk.house.legs(user, run_id)
        events = RunEvents(self._desk, user, run_id, legs)
        return EventStream(lambda cut: events.behind(after, cut), self._desk.metrics)

    async def _run(self, request: Request) -> RunInfo:
        """Return the run of the path, if it is the user's."""
        return await self._desk.run_store().run(who(request).user, request.path_params["id"])


def open_calls(run: RunInfo) -> list[dict[str, Any]]:
    """Return the calls of a paused run that have no answer yet."""
    return [call for call in run.calls if run.status == "paused" and call["id"] not in run.answers]


def facts(run: RunInfo) -> dict[str, Any]:
    """Return what is told of a run."""
    return {
        "id": run.run_id,
        "object": "run",
        "run_id": run.run_id,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "status": run.status,
        "agent": run.agent,
        "calls": open_calls(run),
        "made_at": _time(run.made_at),
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "error": run.error,
        "input": run.input,
        "leg": run.leg,
        "attempt": run.attempt,
        "usage": None if run.usage is None else run.usage.model_dump(mode="json"),
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


_NULLABLE = {"type": ["string", "null"]}
SCHEMAS = {
    "Run": {
        "type": "object",
        "required": [
            "id",
            "object",
            "run_id",
            "session_id",
            "user_id",
            "status",
            "agent",
            "calls",
            "made_at",
        ],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "run"},
            "run_id": {"type": "string"},
            "session_id": _NULLABLE,
            "user_id": {"type": "string"},
            "status": {"enum": list(RUN_STATUSES)},
            "agent": {"type": "string"},
            "calls": {"type": "array", "items": {"type": "object"}},
            "made_at": _NULLABLE,
            "started_at": _NULLABLE,
            "ended_at": _NULLABLE,
            "error": {"type": ["object", "null"]},
            "usage": {"type": ["object", "null"]},
        },
    }
}
_ID = path_text("id")
_STREAM = {
    "description": "The run's intents.",
    "content": {"text/event-stream": {}},
}
PATHS: dict[str, Any] = {
    "/v1/runs": {
        "get": {
            "summary": "List the user's runs, the newest first",
            "parameters": [
                LIMIT,
                query("status", {"enum": list(RUN_STATUSES)}, "Those that stand so."),
                query("session_id", {"type": "string"}, "Those of a session."),
            ],
            "responses": {"200": answer("List", "Runs."), **refused()},
        }
    },
    "/v1/runs/{id}": {
        "get": {
            "summary": "Tell of a run",
            "parameters": [_ID],
            "responses": {"200": answer("Run", "The run."), **refused(404)},
        }
    },
    "/v1/runs/{id}/cancel": {
        "post": {
            "summary": "End a run",
            "parameters": [_ID],
            "responses": {"200": answer("Run", "The run, as it stands then."), **refused(404, 409)},
        }
    },
    "/v1/runs/{id}/answers": {
        "post": {
            "summary": "Answer what a paused run waits for",
            "parameters": [_ID],
            "requestBody": body_of(
                {
                    "type": "object",
                    "required": ["answers"],
                    "properties": {"answers": {"type": "object", "minProperties": 1}},
                }
            ),
            "responses": {"200": answer("Run", "The run, as it stands then."), **refused(404, 409, 410)},
        }
    },
    "/v1/runs/{id}/events": {
        "get": {
            "summary": "Follow a run as server-sent events",
            "parameters": [
                _ID,
                query("after", {"type": "string"}, "The id of the last event that was read."),
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
            ],
            "responses": {"200": _STREAM, **refused(404)},
        }
    },
}
