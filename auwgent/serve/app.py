"""The server's application: the routes of all protocols behind the gate, and those that tell of the server itself."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auwgent.errors import AuwgentError
from auwgent.runtime import Runtime
from auwgent.serve.desk import Desk, House
from auwgent.serve.faults import Refusal, refusal_of
from auwgent.serve.gate import Gate
from auwgent.serve.metrics import TYPE
from auwgent.serve.openapi import document
from auwgent.serve.protocol import make, named
from auwgent.serve.users import Users

log = logging.getLogger("auwgent.serve")

PUBLIC = ("/health", "/ready")


class App:
    """One config, served. Entered before its first request; left, it closes its protocols and the agent."""

    def __init__(self, house: House, agent: Runtime) -> None:
        self.house, self.agent = house, agent
        self.desk = Desk(house, agent)
        found = named(agent.config)
        self.protocols = [make(maker, self.desk) for maker in found.makers]
        self.users = Users(agent.config.serve, found.auth)
        routes = [route for protocol in self.protocols for route in protocol.routes]
        handlers: dict[Any, Any] = {
            Exception: _failed,
            HTTPException: _refused,
            Refusal: _failed,
            AuwgentError: _failed,
        }
        starlette = Starlette(routes=[*self._own(), *routes], exception_handlers=handlers)
        starlette.router.redirect_slashes = False
        public = [path for protocol in self.protocols for path in protocol.public]
        self._gate = Gate(starlette, agent.config.serve, self.users, (*PUBLIC, *public))
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Open the agent and what the protocols hold."""
        await self._stack.enter_async_context(self.agent)
        try:
            for protocol in self.protocols:
                if protocol.lifespan is not None:
                    await self._stack.enter_async_context(protocol.lifespan())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close what was opened, the agent last."""
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)

    def _own(self) -> list[Route]:
        return [
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/metrics", self._metrics),
            Route("/openapi.json", self._openapi),
        ]

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        if self.house.is_draining:
            return JSONResponse({"status": "draining"}, 503)
        if self.desk.store is not None:
            try:
                await self.desk.store.latest("")
            except Exception as error:
                log.warning("not ready: %s", refusal_of(error))
                return JSONResponse({"status": "the store is away"}, 503)
        return JSONResponse({"status": "ready"})

    async def _metrics(self, request: Request) -> Response:
        return Response(self.house.metrics.text(), headers={"content-type": TYPE})

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(document(self.protocols, with_users=self.users.are_asked))


async def _failed(request: Request, error: Exception) -> Response:
    return refusal_of(error).response()


async def _refused(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette itself refuses: no such route, or no such method."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    words = {
        404: f"there is no route {request.url.path!r} here",
        405: f"{request.method} is not for this route",
    }
    message = words.get(error.status_code, str(error.detail))
    return Refusal(error.status_code, code, message, headers=dict(error.headers or {})).response()
