"""Listens, obeys signals, and closes in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from auwgent.errors import AuwgentError, ConfigError
from auwgent.imports import late
from auwgent.runtime import Runtime
from auwgent.serve.app import App
from auwgent.serve.desk import House, approver
from auwgent.serve.instructions import Instructions
from auwgent.words import describe

log = logging.getLogger("auwgent.serve")

Make = Callable[..., Runtime]  # takes `middleware` and `on_approval` as `auwgent` does

CLOSING = 5  # seconds that answers under way have once their runs are over


class Server:
    """Serves an agent until a signal ends it. `make` builds it, with more middleware behind its own."""

    def __init__(self, make: Make, say: Callable[[str], None], *, takes_runs: bool = False) -> None:
        self._make, self._say, self._takes_runs = make, say, takes_runs
        self.house = House()
        self._app = self._made()
        self._stopped = asyncio.Event()
        self._interrupts: list[int] = []
        self._closing_since = math.inf
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve; gives the exit code: 0 behind SIGTERM, 130 behind Ctrl-C."""
        config = self._app.agent.config.serve
        listening = listen(config.host, config.port)
        with listening:
            await self._app.open()
            try:
                async with self._working():
                    await self._serve(listening)
            finally:
                await self._app.close()
        return 130 if signal.SIGINT in self._interrupts else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request to the app of the config in force."""
        await self._app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Take runs from the queue, too, where that is wanted. The worker has an agent of its own."""
        if not self._takes_runs:
            yield
            return
        agent = self._make(middleware=[Instructions()], on_approval=late("auwgent.fleet.worker:approver"))
        async with agent:
            worker = late("auwgent.fleet.worker:Worker")(agent)
            await worker.open()
            try:
                yield
            finally:
                left = agent.config.serve.drain - max(0.0, time.monotonic() - self._closing_since)
                await worker.close(0 if len(self._interrupts) > 1 else max(0.0, left))

    def _made(self) -> App:
        return App(self.house, self._make(middleware=[Instructions()], on_approval=approver))

    async def _serve(self, listening: socket.socket) -> None:
        server = _Uvicorn(
            uvicorn.Config(
                self,
                http=_Http,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=2048,
                timeout_graceful_shutdown=CLOSING,
            )
        )
        config = self._app.agent.config.serve
        with self._signals():
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            name = f"[{config.host}]" if ":" in config.host else config.host
            names = ", ".join(self._app.desk.agents)
            self._say(f"auwgent serves {names} at http://{name}:{listening.getsockname()[1]}")
            stopping = asyncio.create_task(self._stopped.wait())
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await self._drain()
            server.should_exit = True
            await serving

    async def _drain(self) -> None:
        """Give the runs under way their time, then cancel them; a second signal does not wait."""
        self.house.is_draining = True
        await asyncio.gather(*(one.leave() for one in self.house.under_way() if one.is_elsewhere))
        live = self.house.under_way()
        seconds = self._app.agent.config.serve.drain
        if live and len(self._interrupts) < 2:
            self._say(f"closing: {len(live)} runs have {seconds:g} s to end; a second signal does not wait")
            ends = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(one.ended()) for one in live]))
            self._stopped.clear()
            again = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait([ends, again], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            again.cancel()
        await asyncio.gather(*(one.leave() for one in self.house.under_way()))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        ends = [signal.SIGINT, signal.SIGTERM]
        for number in ends:
            loop.add_signal_handler(number, partial(self.stop, number))
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None:
            loop.add_signal_handler(hangup, self._hang_up)
        try:
            yield
        finally:
            for number in [*ends, *([hangup] if hangup is not None else [])]:
                loop.remove_signal_handler(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Do what that signal asks for: close, and the second time without waiting."""
        self._interrupts.append(number)
        self._closing_since = min(self._closing_since, time.monotonic())
        self._stopped.set()

    def _hang_up(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self) -> None:
        """Serve the config as it is now to new requests; keep the old one where the new is wrong."""
        old = self._app
        try:
            new = await asyncio.to_thread(self._made)
            await new.open()
        except AuwgentError as error:
            self._say(f"the config was not read again, and the old one stays:\n{error}")
            return
        except Exception as error:  # the user's code, which may raise anything
            self._say(f"the config was not read again, and the old one stays: {describe(error)}")
            return
        before, after = old.agent.config.serve, new.agent.config.serve
        if (before.host, before.port) != (after.host, after.port):
            self._say("host and port stay as they are until the server is started again")
        self._app = new
        self._say("the config was read again; new runs use it")
        if live := self.house.under_way():
            await asyncio.wait([asyncio.ensure_future(one.ended()) for one in live])
        await old.close()


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: ours say when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Http(H11Protocol):
    """Gives requests their connection, so that one that never reads can be cut."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; `ConfigError` says why it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {words}") from None


def serve(make: Make, say: Callable[[str], None], *, takes_runs: bool = False) -> int:
    """Serve the agent that `make` builds until a signal ends it; gives the exit code. `say` is told of it in lines.

    With `takes_runs` it is a worker of its queue, too.
    """

    async def run() -> int:
        return await Server(make, say, takes_runs=takes_runs).run()

    return asyncio.run(run())
