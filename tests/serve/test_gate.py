"""Who is let in, and what is answered to those who are not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from auwgent import ConfigError
from tests.support.served import served

JSON = {"Content-Type": "application/json"}


def config(tmp_path: Path, **serve: Any) -> dict[str, Any]:
    store = {
        "use": "auwgent.middleware.SQLModelSessions",
        "url": f"sqlite:///{tmp_path / 's.db'}",
    }
    return {"agent": {"model": "scripted/echo"}, "middleware": [store], "serve": serve}


async def test_a_server_tells_of_itself(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        assert (await server.ask("GET", "/health"))[:2] == (200, {"status": "ok"})
        assert (await server.ask("GET", "/ready"))[:2] == (200, {"status": "ready"})
        status, text, headers = await server.ask("GET", "/metrics")
        assert status == 200
        assert text.endswith("# EOF\n")
        assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        status, body, headers = await server.ask("GET", "/nowhere")
        assert (status, server.fails(body)) == (404, "not_found")
        assert headers["x-request-id"].startswith("req_")
        status, body, headers = await server.ask("DELETE", "/health")
        assert (status, server.fails(body), headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:80", 200),
        ("agent.example", 200),
        ("agent.example:8443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("agent.example.evil", 421),
        ("[::1", 421),
    ],
)
async def test_only_hosts_it_knows_are_answered(tmp_path: Path, host: str, status: int) -> None:
    async with served(config(tmp_path, hosts=["agent.example"])) as server:
        found, body, _ = await server.ask("GET", "/health", headers={"Host": host})
        assert found == status
        if status == 421:
            assert server.fails(body) == "unknown_host"


async def test_pages_elsewhere_may_call_only_where_they_are_named(tmp_path: Path) -> None:
    async with served(config(tmp_path, origins=["https://app.example"])) as server:
        for origin in ("https://evil.example", "null", "http://app.example", "https://app.example.evil"):
            status, body, headers = await server.ask("GET", "/health", headers={"Origin": origin})
            assert (status, server.fails(body)) == (403, "foreign_origin")
            assert "access-control-allow-origin" not in headers
        status, _, headers = await server.ask("GET", "/health", headers={"Origin": server.url})
        assert (status, headers.get("access-control-allow-origin")) == (200, None)
        asked = {"Origin": "https://app.example"}
        status, _, headers = await server.ask("GET", "/health", headers=asked)
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (
            200,
            "https://app.example",
            "Origin",
        )
        more = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        status, _, headers = await server.ask("OPTIONS", "/health", headers={**asked, **more})
        assert (status, headers["access-control-allow-headers"]) == (204, "authorization")


async def test_a_body_is_json_and_not_too_large(tmp_path: Path) -> None:
    async with served(config(tmp_path, max_body="1KB")) as server:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            status, body, _ = await server.ask("POST", "/health", data=b"{}", headers={"Content-Type": kind})
            assert (status, server.fails(body)) == (415, "unsupported_media_type")
        status, body, _ = await server.ask("POST", "/health", data=b"x" * 1001, headers=JSON)
        assert (status, server.fails(body)) == (413, "body_too_large")


def tokens() -> list[dict[str, Any]]:
    digest = hashlib.sha256(b"bobs-own-token").hexdigest()
    return [
        {"token": "alices-own-token", "user": "alice"},
        {"sha256": digest, "user": "bob", "rate": "3/min"},
        {"token": "the-admins-token", "user": "root", "admin": True},
    ]


async def test_tokens_let_their_users_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(config(tmp_path, tokens=tokens())) as server:
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer nobodys-token"},
            {"Authorization": "alices-own-token"},
            {"Authorization": "Basic alices-own-token"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer alices-own-token2"},
        )
        for headers in wrong:
            for path in ("/metrics", "/openapi.json", "/nowhere"):
                status, body, answered = await server.ask("GET", path, headers=headers)
                assert (status, server.fails(body)) == (401, "invalid_api_key")
                assert answered["www-authenticate"] == "Bearer"
                assert "own-token" not in str(body)
        assert (await server.ask("GET", "/health"))[0] == 200
        for token in ("alices-own-token", "bobs-own-token", "the-admins-token"):
            status, text, _ = await server.ask(
                "GET", "/metrics?token=alices-own-token", headers={"Authorization": f"bearer {token}"}
            )
            assert status == 200
            assert "own-token" not in text
        as_other = {"Authorization": "Bearer alices-own-token", "X-User-Id": "bob"}
        status, body, _ = await server.ask("GET", "/metrics", headers=as_other)
        assert (status, server.fails(body)) == (403, "not_admin")
        as_other["Authorization"] = "Bearer the-admins-token"
        assert (await server.ask("GET", "/metrics", headers=as_other))[0] == 200
    assert "GET /metrics 200" in caplog.text
    assert "own-token" not in caplog.text


async def test_a_rate_is_told_and_kept(tmp_path: Path) -> None:
    async with served(config(tmp_path, tokens=tokens())) as server:
        bob = {"Authorization": "Bearer bobs-own-token"}
        for left in ("2", "1", "0"):
            status, _, headers = await server.ask("GET", "/metrics", headers=bob)
            assert (status, headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == (200, "3", left)
        status, body, headers = await server.ask("GET", "/metrics", headers=bob)
        assert (status, server.fails(body)) == (429, "rate_limit_exceeded")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert headers["RateLimit-Remaining"] == "0"
        alice = {"Authorization": "Bearer alices-own-token"}
        assert (await server.ask("GET", "/metrics", headers=alice))[0] == 200


async def later(headers: Headers) -> str | None:
    return headers.get("x-name")


def raising(headers: Headers) -> str:
    raise RuntimeError(f"no such ticket: {headers['x-name']}")


async def test_a_function_may_say_who_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for auth in (later, lambda headers: headers.get("X-Name")):
        async with served(config(tmp_path, auth=auth)) as server:
            assert (await server.ask("GET", "/metrics", headers={"X-Name": "eve"}))[0] == 200
            for headers in ({}, {"X-Name": ""}):
                status, body, _ = await server.ask("GET", "/metrics", headers=headers)
                assert (status, server.fails(body)) == (401, "invalid_api_key")
    async with served(config(tmp_path, auth=raising)) as server:
        status, body, _ = await server.ask("GET", "/metrics", headers={"X-Name": "a-secret-ticket"})
        assert (status, server.fails(body)) == (401, "invalid_api_key")
        assert "a-secret-ticket" not in str(body) + caplog.text


async def test_a_server_that_closes_says_so(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        server.server.house.is_draining = True
        assert (await server.ask("GET", "/ready"))[0] == 503
        assert (await server.ask("GET", "/health"))[0] == 200


async def test_a_closed_port_says_why(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(
            Exception, match=f"cannot listen on 127.0.0.1, port {port}: Address already in use"
        ):
            async with served(config(tmp_path, port=port)):
                pass


async def test_no_request_is_larger_than_it_says(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(5):
            yield b"x" * 500

    async with served(config(tmp_path, max_body="1KB", protocols=[echoing])) as server:
        status, body, _ = await server.ask("POST", "/echo", data=chunks(), headers=JSON)
        assert (status, server.fails(body)) == (413, "body_too_large")
        status, body, _ = await server.ask("POST", "/echo", data=b'{"a": NaN}', headers=JSON)
        assert (status, server.fails(body)) == (400, "invalid_json")
        for raw in (b"", b"[1]", b"{", b"\xff", b"[" * 900):
            status, body, _ = await server.ask("POST", "/echo", data=raw, headers=JSON)
            assert (status, server.fails(body)) == (400, "invalid_json")
        assert (await server.ask("POST", "/echo", json={"a": 1}))[:2] == (200, {"a": 1})


def echoing(desk: Any) -> Any:
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from auwgent.serve.bodies import read
    from auwgent.serve.protocol import Protocol

    async def echo(request: Any) -> Any:
        return JSONResponse(await read(request))

    return Protocol([Route("/echo", echo, methods=["POST"])])


async def test_a_route_names_its_methods_and_its_words(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        status, _, headers = await server.ask("OPTIONS", "/v1/sessions/s")
        assert (status, headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH")
        for path in ("/v1/usage?by=x", "/v1/runs?status=x", "/v1/responses/r?stream=1"):
            status, body, _ = await server.ask("GET", path)
            assert (status, server.fails(body)) == (400, "invalid_value"), path


async def test_a_server_that_is_open_answers_everybody_on_any_host(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="open = true"):
        async with served(config(tmp_path, host="0.0.0.0")):
            pass
    async with served(config(tmp_path, host="0.0.0.0", open=True, hosts=["agent.example"])) as server:
        for host, expected in (("agent.example", 200), ("127.0.0.1", 200), ("other.example", 421)):
            status, answer, _ = await server.ask("GET", "/v1/models", headers={"Host": host})
            assert status == expected, (host, answer)
        status, _, _ = await server.ask("GET", "/openapi.json", headers={"Authorization": "Bearer whatever"})
        assert status == 200


async def test_a_head_without_an_end_is_refused(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 60_000)
        await writer.drain()
        writer.write(b"x" * 10_000)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert (await server.ask("GET", "/health"))[0] == 200


async def test_requests_of_one_connection_are_answered_in_their_order(tmp_path: Path) -> None:
    async with served(config(tmp_path)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ask = "GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
        writer.write((ask.format("/health", "") + ask.format("/nowhere", "Connection: close\r\n")).encode())
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"404"]
