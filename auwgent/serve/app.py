"""The server's application: the routes of all protocols behind the gate, and those that tell of the server itself."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from auwgent.runtime import Runtime
from auwgent.serve.desk import Desk, House
from auwgent.serve.faults import refusal_of
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
        router = Router(
            [
                *[
                    Route("/health", self._health),
                    Route("/ready", self._ready),
                    Route("/metrics", self._metrics),
                    Route("/openapi.json", self._openapi),
                ],
                *routes,
            ],
            redirect_slashes=False,
        )
        public = [path for protocol in self.protocols for path in protocol.public]
        self._gate = Gate(router, agent.config.serve, self.users, (*PUBLIC, *public))
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
        waiting = (0, 0.0)
        if self.agent.config.queue is not None:
            waiting = await self.agent.queue.figures()
        return Response(self.house.metrics.text(*waiting), headers={"content-type": TYPE})

    async def _openapi(self, request: Request) -> Response:
        parts = [(one.paths, one.schemas) for one in self.protocols]
        return JSONResponse(document(parts, with_users=self.users.are_asked))
