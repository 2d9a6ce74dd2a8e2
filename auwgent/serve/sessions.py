"""The sessions of a user: listed, searched, read, copied, renamed, deleted; and what they used."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auwgent.render import conversation
from auwgent.render.page import page
from auwgent.serve.bodies import fitted, read, read_as
from auwgent.serve.desk import Desk, who
from auwgent.serve.faults import Refusal, bad_request
from auwgent.serve.openapi import answer, body_of, path_text, query, refused
from auwgent.serve.paths import number_of, one_of
from auwgent.serve.protocol import Protocol
from auwgent.session import Session, encodable, new_id
from auwgent.store.base import Hit, SessionStore, UsageBy, is_run_store

_AS_FILE = {"content-disposition": "attachment", "content-security-policy": "sandbox"}
SHOWN = 100  # sessions, runs or hits of one list, unless it is asked for another number


class ForkBody(BaseModel):
    """What a copy is called, and up to which turn it goes."""

    id: str | None = Field(None, min_length=1, max_length=1000)
    at: str | None = Field(None, min_length=1)


class RenameBody(BaseModel):
    """What a session is to be called."""

    id: str = Field(min_length=1, max_length=1000)


def sessions(desk: Desk) -> Protocol:
    """The protocol, for one config."""
    routes = SessionRoutes(desk)
    return Protocol(
        [
            Route("/v1/sessions", routes.listed),
            Route("/v1/sessions/{id:part}", routes.one, methods=["GET"]),
            Route("/v1/sessions/{id:part}", routes.delete, methods=["DELETE"]),
            Route("/v1/sessions/{id:part}", routes.rename, methods=["PATCH"]),
            Route("/v1/sessions/{id:part}/fork", routes.fork, methods=["POST"]),
            Route("/v1/usage", routes.usage),
        ],
        paths=PATHS,
        schemas=SCHEMAS,
    )


class SessionRoutes:
    """Its routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: Request) -> Response:
        """List the sessions, the last used first; with `search` those that say these words."""
        user, limit = who(request).user, number_of(request, "limit", SHOWN)
        words = request.query_params.get("search", "")
        if words.strip():
            hits = []
            async for hit in self._store.search(user, encodable(words)):
                hits.append(_hit(hit))
                if len(hits) == limit:
                    break
            return JSONResponse({"object": "list", "data": hits})
        found = await self._store.list_sessions(user, limit=limit)
        return JSONResponse(
            {
                "object": "list",
                "data": [
                    {
                        "id": one.id,
                        "object": "session",
                        "user_id": one.user_id,
                        "created_at": _time(one.created_at),
                        "updated_at": _time(one.updated_at),
                        "turns": one.turns,
                        "status": one.status,
                        "preview": one.preview,
                        "forked_from": one.forked_from,
                    }
                    for one in found
                ],
            }
        )

    async def one(self, request: Request) -> Response:
        """Give a session as it is exported: as JSON, Markdown or a page."""
        session = await self._store.get(who(request).user, request.path_params["id"])
        match one_of(request, "format", _FORMATS, "json"):
            case "json":
                return JSONResponse(session.model_dump(mode="json"))
            case "markdown":
                text = conversation.markdown(session, await self._ends(session))
                return Response(text, media_type="text/markdown; charset=utf-8")
            case _:
                shown = page(session, await self._ends(session))
                return Response(shown, media_type="text/html; charset=utf-8", headers=_AS_FILE)

    async def _ends(self, session: Session) -> dict[str, str]:
        """Return how the runs of a session stand, where the store tells of runs."""
        if not is_run_store(self._store):
            return {}
        runs = await self._store.runs(session.user_id, session_id=session.id)
        return conversation.ends_of(reversed(runs))

    async def delete(self, request: Request) -> Response:
        """Delete a session and all that was stored of it."""
        session_id = request.path_params["id"]
        await self._store.delete(who(request).user, session_id)
        return JSONResponse({"id": session_id, "object": "session.deleted", "deleted": True})

    async def rename(self, request: Request) -> Response:
        """Give a session another id."""
        new = sendable((await read_as(request, RenameBody)).id)
        await self._store.rename(who(request).user, request.path_params["id"], new)
        return JSONResponse({"id": new, "object": "session"})

    async def fork(self, request: Request) -> Response:
        """Copy a session, or its turns up to one of them."""
        body = fitted(await read(request) if await request.body() else {}, ForkBody)
        new = sendable(body.id or new_id())
        await self._store.fork(who(request).user, request.path_params["id"], new, at=body.at)
        forked_from = request.path_params["id"]
        return JSONResponse({"id": new, "object": "session", "forked_from": forked_from}, 201)

    async def usage(self, request: Request) -> Response:
        """Tell the tokens and money of the user's runs."""
        by, model = one_of(request, "by", _BY, "day"), request.query_params.get("model")
        rows = await self._store.usage(by, user_id=who(request).user, model=model)
        data = [
            {
                "key": row.key,
                "calls": row.calls,
                "unpriced": row.unpriced,
                "usage": row.usage.model_dump(mode="json"),
            }
            for row in rows
        ]
        return JSONResponse({"object": "list", "data": data})

    @property
    def _store(self) -> SessionStore:
        if self._desk.store is None:
            words = "this server keeps no sessions: its config has no store"
            raise Refusal(404, "no_store", words)
        return self._desk.store


def sendable(session_id: str) -> str:
    """Return an id that every database takes; `Refusal` where it is none."""
    if "\x00" in session_id or not session_id.strip():
        raise bad_request("an id may be neither empty nor hold the character U+0000", "id")
    return encodable(session_id)


def _hit(one: Hit) -> dict[str, Any]:
    row = {"session_id": one.session_id, "turn_id": one.turn_id, "role": one.role}
    return {"object": "session.hit", **row, "created_at": _time(one.created_at), "excerpt": one.excerpt}


def _time(time: datetime) -> str:
    return time.isoformat()


_NULLABLE = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
SCHEMAS = {
    "SessionRow": {
        "type": "object",
        "required": ["id", "object", "created_at", "updated_at", "turns", "status", "preview"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "session"},
            "user_id": {"type": "string"},
            "created_at": _TIME,
            "updated_at": _TIME,
            "turns": {"type": "integer"},
            "status": _NULLABLE,
            "preview": {"type": "string"},
            "forked_from": _NULLABLE,
        },
    },
    "Session": {
        "type": "object",
        "required": ["id", "user_id", "version", "system_prompt", "stack", "turns"],
        "properties": {
            "id": {"type": "string"},
            "user_id": {"type": "string"},
            "version": {"const": 1},
            "system_prompt": {"type": "string"},
            "stack": {"type": "array", "items": {"type": "string"}},
            "turns": {"type": "array", "items": {"type": "object"}},
        },
    },
    "List": {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": {"type": "object"}}},
    },
    "Named": {
        "type": "object",
        "required": ["id", "object"],
        "properties": {"id": {"type": "string"}, "object": {"type": "string"}},
    },
}
LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "How many at most.")
_ID = path_text("id")
_BY: tuple[UsageBy, ...] = get_args(UsageBy)
_FORMATS = ("json", "markdown", "html")


_SESSION = answer("Session", "The session.")
_SESSION["content"] |= {"text/markdown": {}, "text/html": {}}
_NEW_ID = {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": "\\S"}
PATHS: dict[str, Any] = {
    "/v1/sessions": {
        "get": {
            "summary": "List the user's sessions, the last used first; or turns that say some words",
            "parameters": [LIMIT, query("search", {"type": "string"}, "Words to look for.")],
            "responses": {"200": answer("List", "Sessions, or turns that were found."), **refused(404)},
        }
    },
    "/v1/sessions/{id}": {
        "parameters": [_ID],
        "get": {
            "summary": "Give a session as it is exported",
            "parameters": [query("format", {"enum": list(_FORMATS)}, "Its form; json by default.")],
            "responses": {"200": _SESSION, **refused(404)},
        },
        "delete": {
            "summary": "Delete a session",
            "responses": {"200": answer("Named", "It is deleted."), **refused(404, 409)},
        },
        "patch": {
            "summary": "Give a session another id",
            "requestBody": body_of({"type": "object", "required": ["id"], "properties": {"id": _NEW_ID}}),
            "responses": {"200": answer("Named", "It has the id."), **refused(404, 409)},
        },
    },
    "/v1/sessions/{id}/fork": {
        "parameters": [_ID],
        "post": {
            "summary": "Copy a session, or its turns up to one of them",
            "requestBody": body_of(
                {
                    "type": "object",
                    "properties": {
                        "id": {**_NEW_ID, "type": ["string", "null"]},
                        "at": {**_NULLABLE, "minLength": 1},
                    },
                },
                required=False,
            ),
            "responses": {"201": answer("Named", "The copy."), **refused(404, 409)},
        },
    },
    "/v1/usage": {
        "get": {
            "summary": "Tell the tokens and money of the user's runs",
            "parameters": [
                query("by", {"enum": list(_BY)}, "What is added up; by day unless it is given."),
                query("model", {"type": "string"}, "Of that model alone."),
            ],
            "responses": {"200": answer("List", "A row for each."), **refused(404)},
        }
    },
}
