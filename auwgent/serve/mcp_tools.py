"""The Model Context Protocol: an agent as a tool of other hosts, over HTTP at `/mcp` or on standard input and output.

The SDK speaks the protocol, in its revisions of 2026-07-28 and before. Questions are asked of the host's user where the
host can ask: since 2026-07-28 by a result that wants input, before by elicitation. Else they are a no at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auwgent.errors import AuwgentError
from auwgent.runtime import Runtime
from auwgent.serve.desk import Desk, House
from auwgent.serve.faults import Refusal, bad_request, refusal_of
from auwgent.serve.live import Live
from auwgent.serve.protocol import Protocol
from auwgent.serve.told import question
from auwgent.serve.users import Who
from auwgent.store.base import is_run_store

WANTS_INPUT = "2026-07-28"  # the first revision in which a result may ask
_INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "What the agent is asked, in words."},
        "session_id": {"type": "string", "description": "The one of an earlier answer, to go on from there."},
    },
    "required": ["input"],
    "additionalProperties": False,
}
_OUTPUT = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "session_id": {"type": "string"},
        "output": {"description": "The structured answer, of an agent that gives one."},
    },
    "required": ["text"],
}
_QUESTION: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        "allow": {"type": "boolean", "title": "Allow it", "default": False},
        "reason": {"type": "string", "title": "If not, why"},
    },
    "required": ["allow"],
}


def mcp(desk: Desk) -> Protocol:
    """The protocol over HTTP, for one config."""
    manager = StreamableHTTPSessionManager(Tools(desk).server(), max_request_body_size=desk.config.max_body)
    return Protocol([Route("/mcp", _Apart(manager))], lifespan=partial(_at_work, manager))


@asynccontextmanager
async def _at_work(manager: StreamableHTTPSessionManager) -> AsyncIterator[None]:
    """Have the manager at work, in a task of its own: the one that ends it may not be the one that began it."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with manager.run():
            ready.set()
            await over.wait()

    task = asyncio.create_task(work())
    await ready.wait()
    try:
        yield
    finally:
        over.set()
        await task


async def on_stdio(agent: Runtime[Any]) -> None:
    """Serve the agent on standard input and output, until the input is over. Its user is the empty one."""
    server = Tools(Desk(House(), agent)).server()
    async with agent, stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


class _Apart:
    """Answers at `/mcp`. The SDK's own sessions are kept apart by the user of each request."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user: Who = scope["state"]["who"]
        named = AccessToken(token="", client_id=user.user or "-", scopes=[], subject=user.user)
        await self._manager.handle_request({**scope, "user": AuthenticatedUser(named)}, receive, send)


class Tools:
    """The agents as tools, one each."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._agents = {_name_of(agent): agent for agent in desk.agents}

    def server(self) -> Server[Any]:
        """Return a server of the SDK's that lists and calls them."""
        title = self._desk.agents[0]
        return Server("auwgent", title=title, on_list_tools=self._list, on_call_tool=self._call)

    async def _list(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        agents = self._desk.agent.agents
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    title=agent,
                    description=agents[agent].description or f"Ask the agent {agent}.",
                    input_schema=_INPUT,
                    output_schema=_OUTPUT,
                )
                for name, agent in self._agents.items()
            ]
        )

    async def _call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in self._agents:
            words = f"there is no tool {params.name!r}; there are {', '.join(self._agents)}"
            raise MCPError(types.INVALID_PARAMS, words)
        user = ctx.request.state.who if ctx.request is not None else Who("")
        try:
            if params.request_state:
                live = await self._answered(user, params)
            else:
                live = self._begun(ctx, user, params)
            return await self._outcome(ctx, user, live)
        except (Refusal, AuwgentError) as error:
            return _text(refusal_of(error).message, is_error=True)

    def _begun(self, ctx: ServerRequestContext[Any], user: Who, params: types.CallToolRequestParams) -> Live:
        given = params.arguments or {}
        words, session_id = given.get("input"), given.get("session_id")
        if not isinstance(words, str) or not words.strip():
            raise bad_request("`input` should be what the agent is asked, a text that is not empty")
        if session_id is not None and (not isinstance(session_id, str) or not session_id.strip()):
            raise bad_request("`session_id` should be the one of an earlier answer")
        if unknown := given.keys() - _INPUT["properties"].keys():
            raise bad_request(f"there is no argument {min(unknown)!r}; there are `input` and `session_id`")
        options: dict[str, Any] = {}
        if is_run_store(self._desk.store):
            options = {"asks": _can_ask(ctx)} | ({"session_id": session_id} if session_id else {})
        elif session_id is not None:
            raise bad_request("nothing is kept here, so there is no session to go on with")
        return self._desk.begin(user, words, agent=self._agents[params.name], **options)

    async def _answered(self, user: Who, params: types.CallToolRequestParams) -> Live:
        """Go on with a run whose questions came back with their answers."""
        store = self._desk.run_store()
        run = await store.run(user.user, str(params.request_state))
        answers = {of: _answer(one) for of, one in (params.input_responses or {}).items()}
        open_calls = {call["id"] for call in run.calls}
        given = {of: answers.get(of, False) for of in open_calls} if run.status == "paused" else answers
        return self._desk.goes_on(await store.answer(user.user, run.run_id, given), asks=True)

    async def _outcome(
        self, ctx: ServerRequestContext[Any], user: Who, live: Live
    ) -> types.CallToolResult | types.InputRequiredResult:
        while True:
            async with self._desk.reading(live):
                await live.ended()
            if live.status != "paused":
                break
            if ctx.protocol_version >= WANTS_INPUT:
                questions: types.InputRequests = {call["id"]: _question(call) for call in live.calls}
                return types.InputRequiredResult(input_requests=questions, request_state=live.run_id)
            answers = {}
            for call in live.calls:
                asked = await ctx.session.elicit_form(question(call), _QUESTION, ctx.request_id)
                answers[call["id"]] = _answer(asked)
            run = await self._desk.run_store().answer(user.user, live.run_id, answers)
            live = self._desk.goes_on(run, asks=True)
        session = await live.outcome()
        told = self._desk.told(live, session)
        structured: dict[str, Any] = {"text": told.text}
        if live.session_id is not None and self._desk.store is not None:
            structured["session_id"] = live.session_id
        if (output := session.output) is not None:
            structured["output"] = output.model_dump(mode="json") if hasattr(output, "model_dump") else output
        return _text(told.text, structured)


def _name_of(agent: str) -> str:
    """Return the name of an agent's tool: hosts take letters, digits, `_` and `-`, up to 64."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", agent)[:64] or "agent"


def _can_ask(ctx: ServerRequestContext[Any]) -> bool:
    """Whether the host can ask its user by a form. One that names no kind means that one."""
    capabilities = ctx.session.client_capabilities
    asks = capabilities.elicitation if capabilities is not None else None
    return asks is not None and (asks.form is not None or asks.url is None)


def _question(call: Mapping[str, Any]) -> types.ElicitRequest:
    params = types.ElicitRequestFormParams(message=question(call), requested_schema=_QUESTION)
    return types.ElicitRequest(params=params)


def _answer(given: Any) -> bool | str:
    """Return what a user answered: a yes, a no, or a no with its reason. Whoever turns away says no."""
    if getattr(given, "action", None) != "accept":
        return False
    content = given.content or {}
    return content.get("allow") is True or str(content.get("reason") or "").strip() or False


def _text(text: str, structured: Any = None, *, is_error: bool = False) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, structured_content=structured, is_error=is_error)


__all__ = ["Tools", "mcp", "on_stdio"]
