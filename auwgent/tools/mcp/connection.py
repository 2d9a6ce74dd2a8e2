"""One connection to an MCP server, from its beginning to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TextIO

from auwgent.errors import ToolError
from auwgent.tools.mcp.bounds import LINES, LONGEST, TooLong, bounded
from auwgent.tools.mcp.repair import MANY, Repaired
from auwgent.tools.mcp.server import McpFailure, McpServer, in_clear
from auwgent.words import describe

if TYPE_CHECKING:
    from anyio import CancelScope
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

Streams = tuple[Any, Any]  # of the SDK: what is read from a server, and what is written to it

_LAST_WORDS = 5  # lines of what a program wrote to its standard error
_FLUSH = 0.5  # seconds to read what a program wrote last
_FAREWELL = 3.0  # seconds for a server over HTTP to take its leave
_QUIET = 3_600.0  # seconds that an older server may be silent between two events
_OTHER_TRANSPORT = (400, 404, 405, 406)  # what a server of the older transport says to the newer one
_ASKED_FOR = "2026-07-28"  # the edition of the protocol since which changes are told to those alone who ask
_AGAIN = 5.0  # seconds until that is asked again
_PAGES = 100  # of a listing, so that one without end ends


class Lost(Exception):
    """The connection ended before the answer came. `was_sent` is False where the server cannot have got the call."""

    def __init__(self, *, was_sent: bool) -> None:
        super().__init__("connection lost")
        self.was_sent = was_sent


class Redirected(Exception):
    """A server sends us elsewhere, where its headers have no business."""


class Connection:
    """A connection lives in a task of its own, because the SDK wants to be closed by the task that opened it."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()  # the SDK is there, and the server's time runs
        self._deadline = 0.0
        self._listed: asyncio.Future[list[Listed]] = self._loop.create_future()
        self._changed = False  # the server says that its tools are others now
        self._listing = asyncio.Lock()
        self.odd: dict[str, None] = {}  # what had to be left out of its listing, in words
        self._stop = asyncio.Event()
        self._scope: CancelScope | None = None
        self._client: Client | None = None
        self._hung_up: Callable[[], bool] = lambda: False
        self._failure: BaseException | None = None
        self._cause: Exception | None = None  # of a failure that the SDK does not tell of
        self._refused: BaseException | None = (
            None  # what the newer transport came to, where the older one is tried
        )
        self._said: deque[str] = deque(maxlen=_LAST_WORDS)
        self._status: int | None = None
        self.task = self._loop.create_task(self._live(), name=f"mcp {server.name}")

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.task.done() or self._stop.is_set() or self._hung_up()

    async def listed(self) -> list[Listed]:
        """Wait for the connection and list the tools, again after the server said they changed. Raises `McpFailure`."""
        await self._begun.wait()
        try:
            async with asyncio.timeout_at(self._deadline):
                tools = await asyncio.shield(self._listed)
        except TimeoutError:
            words = f"MCP server {self._server.name!r} did not answer within {self._server.timeout:g} seconds"
            raise McpFailure(words) from None
        async with self._listing:
            if self._changed and self._client is not None and not self.is_gone:
                self._changed = False
                tools = await self._listed_anew(tools)
        return tools

    async def _listed_anew(self, before: list[Listed]) -> list[Listed]:
        """Return the tools as they are now; as they were where the server does not say."""
        assert self._client is not None
        self.odd.clear()
        try:
            async with asyncio.timeout(self._server.timeout):
                tools = await _all_tools(self._client)
        except Exception as error:
            self._changed = True
            self.odd[f"its tools changed, and it does not list them: {describe(error)}"] = None
            return before
        self._listed = self._loop.create_future()
        self._listed.set_result(tools)
        return tools

    async def _heard(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._changed = True

    async def call(self, tool: str, arguments: dict[str, Any], timeout: float) -> CallToolResult:
        """Call a tool of a server that is connected. Raises `ToolError`, or `Lost`."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        assert self._client is not None
        try:
            return await self._client.call_tool(tool, arguments, read_timeout_seconds=timeout)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise ToolError(f"{tool} took longer than {timeout:g} seconds", tool=tool) from None
            forgotten = error.message == "Session terminated"  # the SDK's words for a 404: nothing was done
            if error.code != CONNECTION_CLOSED and not forgotten:
                raise ToolError(self._server.scrubbed(error.message), tool=tool) from None
            self.hang_up()
            await ended([self])
            raise Lost(was_sent=not forgotten and not _is_unreachable(self._failure)) from None
        except Exception as error:  # the SDK checks what a server answers
            words = self._server.scrubbed(f"{type(error).__name__}: {error}")
            raise ToolError(
                f"MCP server {self._server.name!r} answered nonsense: {words}", tool=tool
            ) from error

    def hang_up(self) -> None:
        """Begin to end it; `ended` waits until it has."""
        self._stop.set()
        if not self._listed.done():
            self.abort()

    def abort(self) -> None:
        """End it without a farewell. What the SDK does to end a program is done all the same."""
        if self._scope is not None:
            self._scope.cancel()

    async def _live(self) -> None:
        try:
            await asyncio.to_thread(_load_sdk)
            self._deadline = self._loop.time() + self._server.timeout
            self._begun.set()
            await self._connected()
        except Exception as error:
            self._failure = self._cause or _first(error)
            self._fail(self._words(self._failure))
        finally:
            self._begun.set()
            if self._cause is not None:
                self._fail(self._words(self._cause))
            self._fail(f"MCP server {self._server.name!r} was closed")

    def _fail(self, words: str) -> None:
        if not self._listed.done():
            self._listed.set_exception(McpFailure(words))
            self._listed.exception()  # it may be that nobody asks

    async def _connected(self) -> None:
        from anyio import CancelScope  # comes with the SDK

        # Cancelled in this way, and not in asyncio's, the SDK still ends the program it has started.
        with CancelScope() as self._scope:
            if self._stop.is_set():
                return
            transport = self._program if self._server.command is not None else self._address
            try:
                await self._spoken(transport)
            except Exception as error:
                if transport == self._program or self._status not in _OTHER_TRANSPORT or self._listed.done():
                    raise
                self._refused = _first(error)
                await self._spoken(self._older_address)

    async def _spoken(self, transport: Callable[[], AbstractAsyncContextManager[Streams]]) -> None:
        from mcp import Client

        async with AsyncExitStack() as stack:
            client = Client(
                self._repaired(transport),
                read_timeout_seconds=self._server.timeout,
                message_handler=self._heard,
            )
            self._client = await stack.enter_async_context(client)
            self._listed.set_result(await _all_tools(self._client))
            heeding = self._loop.create_task(
                self._heed(self._client), name=f"mcp {self._server.name} changes"
            )
            try:
                await self._stop.wait()
            finally:
                heeding.cancel()

    async def _heed(self, client: Client) -> None:
        """Ask to be told of other tools, where the protocol wants that asked for; where that ends, ask again."""
        from mcp.client.subscriptions import SubscriptionLost

        tools = client.server_capabilities.tools
        while client.protocol_version >= _ASKED_FOR and tools is not None and tools.list_changed:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._changed = True
            except (SubscriptionLost, TimeoutError):
                pass
            except Exception:
                return  # it does not tell
            self._changed = True  # what came meanwhile was not heard
            await asyncio.sleep(_AGAIN)

    @asynccontextmanager
    async def _repaired(
        self, transport: Callable[[], AbstractAsyncContextManager[Streams]]
    ) -> AsyncIterator[Streams]:
        async with transport() as (reading, writing):
            streams = Repaired(reading, writing, lambda words: self.odd.setdefault(words), self._note)
            yield streams.reading, streams.writing

    @asynccontextmanager
    async def _program(self) -> AsyncIterator[Streams]:
        """A program of our own, which the SDK ends, by force where it must. It inherits no API keys."""
        from mcp.client.stdio import StdioServerParameters, stdio_client

        server = self._server
        assert server.command is not None
        parameters = StdioServerParameters(
            command=server.command,
            args=list(server.args),
            env=in_clear(server.env),
            cwd=server.folder / server.cwd if server.cwd else None,
            encoding=LINES,
        )
        async with _kept(self._said) as errors, stdio_client(parameters, errors) as (read, write):
            # The SDK says nothing of a program that ends between two calls, but closes its side of the stream. That
            # the stream has statistics is not in the type it is given.
            self._hung_up = lambda: read.statistics().open_send_streams == 0  # type: ignore[attr-defined]
            yield read, write

    @asynccontextmanager
    async def _address(self) -> AsyncIterator[Streams]:
        from mcp.client.streamable_http import streamable_http_client

        assert self._server.url is not None
        async with (
            self._http() as client,
            streamable_http_client(
                self._server.url, http_client=client, max_sse_event_size=LONGEST
            ) as streams,
        ):
            yield streams

    @asynccontextmanager
    async def _older_address(self) -> AsyncIterator[Streams]:
        """The transport of 2024: events from the address itself, which name another one for messages."""
        from mcp.client.sse import sse_client

        assert self._server.url is not None
        timeout = self._server.timeout
        client = sse_client(
            self._server.url,
            timeout=timeout,
            httpx_client_factory=lambda *_, **__: self._http(),
            sse_read_timeout=_QUIET,
        )
        async with client as streams:
            yield streams

    def _http(self) -> Any:
        import httpx2

        return httpx2.AsyncClient(
            headers=in_clear(self._server.headers),
            timeout=httpx2.Timeout(self._server.timeout, read=None),  # calls have timeouts of their own
            event_hooks={"response": [self._notice]},
        )

    async def _notice(self, response: Any) -> None:
        """Keep the status that the SDK leaves out of its errors, follow no redirect, and bound what is read."""
        self._status = response.status_code
        if response.is_redirect:
            # Without what may be secret in it.
            place = response.headers["location"].partition("?")[0].rpartition("@")[2]
            raise Redirected(f"it points to {place}, which is not followed")
        response.stream = bounded(response, self._note)

    def _note(self, error: Exception) -> None:
        """Keep why the connection ends, and end it."""
        self._cause = error
        self.hang_up()

    def _words(self, error: BaseException) -> str:
        server = self._server
        words = f"{self._reason(error)}: {error}"
        if isinstance(error, OSError) and server.command is not None:
            words = f"cannot be started: {error.filename or server.command!r}: {error.strerror}"
        if said := list(self._said):
            words += f"; it said: {' / '.join(said)}"
        return f"MCP server {server.name!r} {server.scrubbed(words)}"

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TooLong):
            return "is cut off"
        if self._server.command is not None:
            return "ended before it was ready"
        if _is_unreachable(error):
            return f"cannot be reached at {self._server.address}"
        if isinstance(error, Redirected):
            return f"answers with HTTP status {self._status} at {self._server.address}"
        if self._status is not None and self._status >= 400:
            return f"refuses with HTTP status {self._status} at {self._server.address}"
        return f"makes no sense at {self._server.address}"


async def ended(connections: Sequence[Connection]) -> None:
    """Wait until connections that were hung up have ended, even if cancelled: no program may stay behind."""
    cancelled: asyncio.CancelledError | None = None
    waiting = {one.task for one in connections}
    patience: float | None = _FAREWELL
    while waiting:
        try:
            _, waiting = await asyncio.wait(waiting, timeout=patience)
        except asyncio.CancelledError as error:
            cancelled, patience = error, 0
        if waiting and patience is not None:
            patience = None
            for one in connections:
                one.abort()
        waiting = {task for task in waiting if not task.done()}
    if cancelled is not None:
        raise cancelled


async def _all_tools(client: Client) -> list[Listed]:
    """Return all pages of the listing, each tool once. A cursor that comes again would go round for ever."""
    tools: dict[str, Listed] = {}
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        for tool in page.tools:
            tools.setdefault(tool.name, tool)
        cursor = page.next_cursor
        if not cursor or cursor in seen or len(tools) >= MANY:
            break
        seen.add(cursor)
    return list(tools.values())[:MANY]


def _load_sdk() -> None:
    """Import the SDK, which takes a second, where it holds up nobody."""
    import mcp.client.stdio
    import mcp.client.streamable_http

    logger = logging.getLogger(mcp.__name__)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # what matters of it is in our errors
    for name in ("mcp", "httpx2", "httpcore2"):  # below warnings they log addresses, secrets included
        logging.getLogger(name).setLevel(logging.WARNING)


@asynccontextmanager
async def _kept(lines: deque[str]) -> AsyncIterator[TextIO]:
    """A file for a program to write its errors to; the last lines are kept."""
    reading, writing = os.pipe()

    def read() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as file:
            lines.extend(line.strip() for line in file if line.strip())

    reader = threading.Thread(target=read, name="mcp errors", daemon=True)
    reader.start()
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as file:
            yield file
    finally:
        await asyncio.to_thread(reader.join, _FLUSH)


def _first(error: BaseException) -> BaseException:
    """Return what a group of exceptions is about."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_unreachable(error: BaseException | None) -> bool:
    return type(error).__name__ in ("ConnectError", "ConnectTimeout")
