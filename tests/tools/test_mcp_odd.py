"""Servers as they are: odd listings and results, changes, questions, old transports, redirects, answers without end."""

from __future__ import annotations

import asyncio
import codecs
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from auwgent.errors import ToolError
from auwgent.session import Media, Text
from auwgent.tools import Tool
from auwgent.tools.mcp import FoundTools, McpServer, McpServers, McpTools
from auwgent.tools.mcp.bounds import LINES
from tests.tools.test_mcp import PROGRAM as SDK_PROGRAM
from tests.tools.test_mcp import free_port, running

pytestmark = pytest.mark.process

PROGRAM = Path(__file__).parent.parent / "support" / "odd_mcp_server.py"
OBJECT = {"type": "object", "properties": {"x": {"type": "string"}}}
ONE = {"name": "one", "description": "One.", "inputSchema": OBJECT}


@asynccontextmanager
async def odd(**script: Any) -> AsyncIterator[McpServers]:
    server = McpServer(name="odd", command=sys.executable, args=(str(PROGRAM), json.dumps(script)))
    servers = McpServers([server])
    try:
        yield servers
    finally:
        await servers.close()


async def listing(servers: McpServers) -> FoundTools:
    return await servers.tools([McpTools(name) for name in servers.names])


async def called(tool: Tool, **arguments: Any) -> Any:
    return await tool.call(tool.check(arguments), None)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"x": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {},
        None,
        {"type": ["object", "null"]},
        {"type": "object", "properties": {"x": True}, "required": None},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": r"^\p{L}+(?=x)$"}}},
        {"type": "object", "properties": {"x": {"type": "array", "items": [{"type": "string"}]}}},
        {"type": "object", "allOf": [{"required": ["x"]}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
async def test_a_tool_with_an_odd_schema_is_taken_as_one_of_an_object(schema: Any) -> None:
    async with odd(tools=[ONE, {"name": "two", "inputSchema": schema}]) as servers:
        found = await listing(servers)
        assert (list(found.tools), found.failures) == (["one", "two"], [])
        assert await called(found.tools["two"], x="käsex") == "ok" if "array" not in str(schema) else True


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ({"name": "two", "inputSchema": {"type": "string"}}, "tool 'two' is left out"),
        ({"name": "two", "inputSchema": []}, "tool 'two' is left out"),
        ({"inputSchema": OBJECT}, "a tool without a name"),
        ("two", "a tool without a name"),
        (
            {"name": "two", "inputSchema": {"type": "object", "properties": []}},
            "tool 'two' is left out: its inputSchema is not a schema",
        ),
        (
            {"name": "two", "inputSchema": {"type": "object", "$ref": "https://x.example/"}},
            "leads out of the schema",
        ),
    ],
)
async def test_a_tool_that_cannot_be_used_is_named_and_costs_no_other(tool: Any, words: str) -> None:
    async with odd(tools=[ONE, tool, {**ONE, "name": "three"}]) as servers:
        found = await listing(servers)
    assert list(found.tools) == ["one", "three"]
    (failure,) = found.failures
    assert words in str(failure)


async def test_what_else_is_odd_about_a_tool_is_passed_over() -> None:
    fuss = {
        "title": 7,
        "annotations": "none",
        "icons": {},
        "_meta": 3,
        "outputSchema": {"type": "array"},
        "more": 1,
    }
    async with odd(tools=[{**ONE, **fuss, "description": 5}], result={"content": []}) as servers:
        found = await listing(servers)
        assert (list(found.tools), found.failures) == (["one"], [])
        assert await called(found.tools["one"]) == ""


@pytest.mark.parametrize("cursor", ["", "same", 7])
async def test_a_listing_whose_cursor_comes_again_ends_with_each_tool_once(cursor: Any) -> None:
    async with odd(pages=[{"tools": [ONE, ONE], "nextCursor": cursor}]) as servers:
        found = await listing(servers)
    assert (list(found.tools), found.failures) == (["one"], [])


async def test_tools_that_change_are_listed_anew_the_next_time() -> None:
    two = {**ONE, "name": "two"}
    async with odd(pages=[{"tools": [ONE]}, {"tools": [two]}], changes=True) as servers:
        found = await listing(servers)
        assert list(found.tools) == list((await listing(servers)).tools) == ["one"]
        await called(found.tools["one"])
        assert list((await listing(servers)).tools) == ["two"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "new", "x": 1}]}, 'a\n{"type": "new", "x": 1}'),
        ({"content": "words"}, "words"),
        ({"content": None, "structuredContent": {"a": 1}}, {"a": 1}),
        ({"content": [], "structuredContent": [1]}, "[1]"),
        ({"toolResult": {"a": 1}}, '{"a": 1}'),
        ({"content": [{"type": "text"}]}, '{"type": "text"}'),
        ({"content": [], "_meta": 5, "isError": None}, ""),
        (
            {"content": [{"type": "resource_link", "name": "n", "uri": "https://x.example/a.pdf"}]},
            "(resource_link: https://x.example/a.pdf)",
        ),
        ({"content": [{"type": "resource", "resource": {"uri": "file:///a.txt", "text": "in it"}}]}, "in it"),
    ],
)
async def test_an_odd_result_is_read_as_far_as_it_can_be(result: Any, expected: Any) -> None:
    async with odd(tools=[ONE], result=result) as servers:
        assert await called((await listing(servers)).tools["one"]) == expected


async def test_media_and_resources_of_a_result_are_parts_for_the_model() -> None:
    blob = {"uri": "file:///docs/a.pdf", "mimeType": "application/pdf", "blob": "JVBERg=="}
    content = [
        {"type": "text", "text": "a shot"},
        {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
        {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
        {"type": "resource", "resource": blob},
    ]
    async with odd(tools=[ONE], result={"content": content}) as servers:
        assert await called((await listing(servers)).tools["one"]) == [
            Text(text="a shot"),
            Media(type="image", data="iVBORw0KGgo=", mime_type="image/png"),
            Media(type="audio", data="AAAA", mime_type="audio/wav"),
            Media(type="file", data="JVBERg==", mime_type="application/pdf", name="a.pdf"),
        ]


async def test_what_a_server_asks_of_us_is_refused_and_the_call_goes_on() -> None:
    ask = {
        "messages": [],
        "maxTokens": 1,
        "message": "Who?",
        "requestedSchema": {"type": "object", "properties": {}},
    }
    questions = ["roots/list", "sampling/createMessage", "elicitation/create", "no/such"]
    async with odd(tools=[ONE], questions=questions, params=ask) as servers:
        heard = str(await called((await listing(servers)).tools["one"])).split("; ")
    assert "answered" not in heard
    assert heard[:3] == ["List roots not supported", "Sampling not supported", "Elicitation not supported"]


async def test_arguments_are_taken_as_models_write_them() -> None:
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"type": "string"}}, "to": {"type": "string"}},
    }
    async with odd(tools=[{"name": "one", "inputSchema": schema}]) as servers:
        tool = (await listing(servers)).tools["one"]
        assert tool.check({"tags": '["a"]', "to": None}) == {"tags": ["a"]}
        assert tool.check({"to": "[1]"}) == {"to": "[1]"}


@asynccontextmanager
async def serving(**handlers: Any) -> AsyncIterator[str]:
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_route("*", f"/{path}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def failure_at(url: str) -> str:
    servers = McpServers(
        [
            McpServer(
                name="odd", url=url, headers={"Authorization": SecretStr("Bearer canary-key")}, timeout=10
            )
        ]
    )
    try:
        found = await listing(servers)
    finally:
        await servers.close()
    (failure,) = found.failures
    return str(failure)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("target", ["/there?key=secret", "https://other.example/mcp"])
async def test_no_redirect_is_followed_and_the_error_says_where_it_points(status: int, target: str) -> None:
    came: list[str] = []

    async def here(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    async def there(request: web.Request) -> web.Response:
        came.append(request.headers.get("Authorization", ""))
        return web.Response(status=500)

    async with serving(here=here, there=there) as url:
        words = await failure_at(f"{url}/here")
    assert came == []
    assert f"it points to {target.partition('?')[0]}, which is not followed" in words
    assert "secret" not in words


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        ("application/json", b'"' + b"x" * 1_000_000),
        ("application/json", b"{}\n" * 300_000),
        ("text/event-stream", b"data: " + b"x" * 1_000_000 + b"\n"),
    ],
    ids=["a text", "lines", "an event"],
)
async def test_an_answer_over_http_without_end_is_given_up(kind: str, piece: bytes) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for _ in range(200):
            await response.write(piece)
            sent += len(piece)
        return response

    async with serving(mcp=endless) as url:
        assert "it sends more than 32 MB without an end" in await failure_at(f"{url}/mcp")
    assert sent < 100_000_000


@pytest.mark.parametrize("method", ["initialize", "tools/list"])
async def test_a_line_of_a_program_without_end_is_given_up(method: str) -> None:
    async with odd(tools=[ONE], endless=method) as servers:
        (failure,) = (await listing(servers)).failures
    assert "it sends more than 32 MB without an end" in str(failure)


async def test_a_call_answered_without_end_is_told_and_costs_no_later_one() -> None:
    async with odd(tools=[ONE], endless="tools/call") as servers:
        tool = (await listing(servers)).tools["one"]
        with pytest.raises(ToolError, match="broke off during the call"):
            await called(tool)
        assert list((await listing(servers)).tools) == ["one"]


def test_lines_are_whole_whatever_pieces_they_come_in() -> None:
    text = "äöü\n\n{}\nabc"
    decoder = codecs.getincrementaldecoder(LINES)("strict")
    got = [decoder.decode(bytes([byte])) for byte in text.encode()]
    assert [one for one in got if one] == ["äöü\n", "\n", "{}\n"]
    assert decoder.decode(b"d\nx\ny") == "abcd\nx\n"


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_changes_are_heard_of_servers_that_tell_those_who_ask(way: str) -> None:
    async with AsyncExitStack() as stack:
        if way == "stdio":
            server = McpServer(name="sdk", command=sys.executable, args=(str(SDK_PROGRAM),))
        else:
            port = free_port()
            stack.enter_context(running(port))
            server = McpServer(name="sdk", url=f"http://127.0.0.1:{port}/mcp")
        servers = McpServers([server])
        stack.push_async_callback(servers.close)
        found = await listing(servers)
        assert "grown" not in found.tools
        assert len(await called(found.tools["grow"], words=600_000)) > 3_000_000
        for _ in range(200):  # until it was heard
            await asyncio.sleep(0.05)
            if "grown" in (found := await listing(servers)).tools:
                break
        assert {"process", "grown"} <= found.tools.keys()


async def test_the_older_transport_is_spoken_where_the_newer_one_is_refused() -> None:
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def sse(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.Response(status=405)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: endpoint\ndata: /messages?session_id=1\n\n")
        while True:
            message = json.dumps(await events.get())
            await response.write(f"event: message\ndata: {message}\n\n".encode())

    async def messages(request: web.Request) -> web.Response:
        asked = await request.json()
        about = {
            "protocolVersion": "2024-11-05",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        }
        results = {"initialize": about, "tools/list": {"tools": [ONE]}}
        results["tools/call"] = {"content": [{"type": "text", "text": request.headers["Authorization"]}]}
        if "id" in asked:
            answer = (
                {"result": results[asked["method"]]}
                if asked["method"] in results
                else {"error": {"code": -32601, "message": "Method not found"}}
            )
            events.put_nowait({"jsonrpc": "2.0", "id": asked["id"], **answer})
        return web.Response(status=202)

    async with serving(sse=sse, messages=messages) as url:
        server = McpServer(
            name="odd", url=f"{url}/sse", headers={"Authorization": SecretStr("Bearer k")}, timeout=10
        )
        servers = McpServers([server])
        try:
            found = await listing(servers)
            assert found.failures == []
            assert await called(found.tools["one"]) == "Bearer k"
        finally:
            await servers.close()
