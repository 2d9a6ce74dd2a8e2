"""Users are apart: every route is tried by the owner of what it names, by another user, and by nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.databases import database
from tests.support.served import Served, served

Config = Callable[..., dict[str, Any]]
OWNER, OTHER = "alices-own-token", "bobs-own-token"
SECRET = "the treasure is under the oak"
MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
A2A = {"A2A-Version": "1.0"}
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}


def refund(amount: int) -> str:
    """Refund money."""
    return f"refunded {amount}"


@pytest.fixture
def made(config: Config) -> dict[str, Any]:
    tokens = [{"token": OWNER, "user": "alice"}, {"token": OTHER, "user": "alice\n"}]
    made = config(
        agent={"tools": [{"use": refund, "approve": "ask"}]},
        tokens=tokens,
        protocols=["chat", "responses", "ag-ui", "mcp", "a2a", "web"],
    )
    made["models"]["main"]["params"]["replies"] = [
        {"when": "refund", "tool_calls": [{"id": "c1", "name": "refund", "args": {"amount": 5}}]},
        {"text": "You said: {user}"},
    ]
    return made


def rpc(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def message(**more: Any) -> dict[str, Any]:
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "yes"}], **more}}


def thread(name: str, **more: Any) -> dict[str, Any]:
    given = {"threadId": name, "runId": "r", "messages": [], "tools": [], "context": [], "state": {}}
    return {**given, "forwardedProps": {}, **more}


def tool(arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return rpc("tools/call", {"name": "Main", "arguments": arguments, "_meta": _META, **more})


APPROVES = {"type": "mcp_approval_response", "approval_request_id": "c1", "approve": True}
RESUMES = {"interruptId": "c1", "status": "resolved", "payload": True}
ACCEPTS = {"action": "accept", "content": {"allow": True}}
SAYS = [{"id": "1", "role": "user", "content": "Hi"}]
# Method, path and body; the statuses that the owner and another user get, and words of what the latter is told.
# `{run}` is a run that is over, in the session `secret`; `{open}` one that waits for `c1`, in `open`.
ROUTES: list[tuple[str, str, Any, int, int, str]] = [
    ("GET", "/v1/models", None, 200, 200, "Main"),
    ("GET", "/v1/models/Main", None, 200, 200, "Main"),
    ("GET", "/metrics", None, 200, 200, "auwgent_"),
    ("GET", "/openapi.json", None, 200, 200, "openapi"),
    ("GET", "/v1/sessions", None, 200, 200, '"data":[]'),
    ("GET", "/v1/sessions?search=treasure", None, 200, 200, '"data":[]'),
    ("GET", "/v1/usage", None, 200, 200, '"data":[]'),
    ("GET", "/v1/runs", None, 200, 200, '"data":[]'),
    ("GET", "/v1/runs?session_id=secret", None, 200, 200, '"data":[]'),
    ("GET", "/v1/sessions/secret", None, 200, 404, ""),
    ("GET", "/v1/sessions/secret?format=html", None, 200, 404, ""),
    ("GET", "/v1/sessions/secret?format=markdown", None, 200, 404, ""),
    ("POST", "/v1/sessions/secret/fork", {"id": "mine"}, 201, 404, ""),
    ("PATCH", "/v1/sessions/secret", {"id": "mine"}, 409, 404, ""),
    ("GET", "/v1/runs/{run}", None, 200, 404, ""),
    ("GET", "/v1/runs/{run}/events", None, 200, 404, ""),
    ("GET", "/v1/runs/{open}/events?after=", None, 200, 404, ""),
    ("POST", "/v1/runs/{run}/cancel", None, 200, 404, ""),
    ("GET", "/v1/responses/resp_{run}", None, 200, 404, ""),
    ("GET", "/v1/responses/resp_{run}?stream=true", None, 200, 404, ""),
    ("GET", "/v1/responses/resp_{run}/input_items", None, 200, 404, ""),
    ("POST", "/v1/responses/resp_{run}/cancel", None, 200, 404, ""),
    ("POST", "/v1/responses", {"input": "x", "previous_response_id": "resp_{run}"}, 200, 404, ""),
    ("POST", "/v1/responses", {"input": "x", "conversation": "secret"}, 200, 200, "You said: x"),
    ("POST", "/v1/chat/completions", {"messages": SAYS, "metadata": {"session_id": "secret"}},
     200, 200, "You said: Hi"),
    ("POST", "/ag-ui", thread("secret", messages=SAYS), 200, 200, "RUN_FINISHED"),
    ("POST", "/ag-ui/Main", thread("secret", messages=SAYS, runId="r2"), 200, 200, "RUN_FINISHED"),
    ("POST", "/a2a", rpc("GetTask", {"id": "{run}"}), 200, 200, "-32001"),
    ("POST", "/a2a", rpc("ListTasks", {"contextId": "open"}), 200, 200, '"totalSize":0'),
    ("POST", "/a2a", rpc("SubscribeToTask", {"id": "{open}"}), 200, 200, "-32001"),
    ("POST", "/mcp", rpc("tools/list", {"_meta": _META}), 200, 200, "Main"),
    ("POST", "/mcp", tool({"input": "Hi", "session_id": "secret"}),
     200, 200, "You said: Hi"),
    # Answers to what is open, and what takes away; the owner's come last.
    ("POST", "/v1/runs/{open}/answers", {"answers": {"c1": True}}, 0, 404, ""),
    ("POST", "/v1/runs/{open}/cancel", None, 0, 404, ""),
    ("POST", "/v1/responses", {"input": [APPROVES], "previous_response_id": "resp_{open}"}, 0, 404, ""),
    ("POST", "/ag-ui", thread("open", resume=[RESUMES]), 0, 404, ""),
    ("POST", "/a2a", rpc("SendMessage", message(taskId="{open}")), 0, 200, "-32001"),
    ("POST", "/a2a", rpc("CancelTask", {"id": "{open}"}), 0, 200, "-32001"),
    ("POST", "/mcp", tool({}, requestState="{open}", inputResponses={"c1": ACCEPTS}),
     0, 200, "there is no run"),
    ("DELETE", "/v1/responses/resp_{run}", None, 200, 404, ""),
    ("DELETE", "/v1/sessions/mine", None, 200, 404, ""),
]  # fmt: skip


async def ask(server: Served, method: str, path: str, body: Any, token: str | None) -> tuple[int, str]:
    headers = dict(A2A if path == "/a2a" else {})
    if path == "/mcp" and body is not None:
        headers = {**MCP, "MCP-Method": body["method"], "MCP-Name": body["params"].get("name", "")}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    how = {} if body is None else {"json": body}
    async with server.client.request(method, server.url + path, headers=headers, **how) as answer:
        return answer.status, await answer.text()


async def owned(server: Served) -> dict[str, str]:
    """What alice has: the ids of a run that is over, and of one that waits."""
    ids = {}
    for name, words, session_id in (("run", SECRET, "secret"), ("open", "refund", "open")):
        body = {"input": words, "conversation": session_id}
        status, answer = await ask(server, "POST", "/v1/responses", body, OWNER)
        assert status == 200, answer
        ids[name] = json.loads(answer)["id"].removeprefix("resp_")
    return ids


def filled(value: Any, ids: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, of in ids.items():
        text = text.replace(f"{{{name}}}", of)
    return json.loads(text)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_every_route_by_owner_other_and_nobody(made: dict[str, Any], kind: str, tmp_path: Path) -> None:
    with database(kind, tmp_path) as url:
        made["middleware"][0]["url"] = url
        await every_route(made)


async def every_route(made: dict[str, Any]) -> None:
    async with served(made) as server:
        ids = await owned(server)
        document = json.loads((await ask(server, "GET", "/openapi.json", None, OWNER))[1])
        seen = [await ask(server, "GET", f"/v1/sessions/{name}", None, OWNER) for name in ("secret", "open")]
        for method, path, body, _, expected, words in ROUTES:
            path, body = filled([path, body], ids)
            status, answer = await ask(server, method, path, body, None)
            assert status == 401, (method, path, answer)
            status, answer = await ask(server, method, path, body, OTHER)
            assert status == expected, (method, path, body, answer)
            assert words in answer.replace(": ", ":") or words in answer, (method, path, body, answer)
            assert "treasure" not in answer
            assert status == 200 or ids["run"] not in answer.replace(path, "") or "there is no" in answer
        now = [await ask(server, "GET", f"/v1/sessions/{name}", None, OWNER) for name in ("secret", "open")]
        assert now == seen
        for method, path, body, expected, _, _ in ROUTES:
            if expected:
                path, body = filled([path, body], ids)
                status, answer = await ask(server, method, path, body, OWNER)
                assert status == expected, (method, path, body, answer)
        tried = {(method, path.partition("?")[0]) for method, path, *_ in ROUTES}
        for path, of in document["paths"].items():
            for method in of.keys() - {"parameters"}:
                if path not in ("/health", "/ready"):
                    assert any(m == method.upper() and fits(path, p) for m, p in tried), (method, path)


def fits(template: str, path: str) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        a == b or a.startswith("{") for a, b in zip(parts, given, strict=True)
    )


NAMES = (
    *(
        "Secret",
        "secret ",
        " secret",
        "secret\n",
        "secret/",
        "./secret",
        "../alice/secret",
        "alice/secret",
        "alice:secret",
    ),
    *(
        "alice\nsecret",
        "secre%74",
        "s\u0435cret",
        "secret\u200b",
        "secret\x00",
        "%",
        "*",
        "secret%",
        "_ecret",
    ),
    *("' OR 1=1 --", "secret' --", "{run} ", "{run}_2", "{run}\u200b", "{RUN}"),
)


async def test_no_other_name_means_the_same(made: dict[str, Any]) -> None:
    async with served(made) as server:
        ids = await owned(server)
        for one in NAMES:
            name = quote(one.replace("{run}", ids["run"]).replace("{RUN}", ids["run"].upper()), safe="")
            for path in (
                "sessions/{}",
                "sessions/{}?format=html",
                "runs/{}",
                "responses/{}",
                "responses/resp_{}",
            ):
                for token in (OWNER, OTHER):
                    status, answer = await ask(server, "GET", "/v1/" + path.format(name), None, token)
                    assert (status, "treasure" in answer) == (404, False), (path, one, answer)
        for token in (
            OTHER + " x",
            OWNER[:-1],
            OWNER.upper(),
            OWNER + "\u00a0",
            f"{OWNER},{OTHER}",
            "",
            "null",
        ):
            status, _ = await ask(server, "GET", "/v1/sessions/secret", None, token)
            assert status == 401, token


async def test_an_id_with_separators_is_one_name(made: dict[str, Any]) -> None:
    async with served(made) as server:
        for name in ("a/b", "a/../b", "a%2Fb", "a?b", "a#b", "é", "a b"):
            body = {"input": f"of {name}", "conversation": name}
            status, answer = await ask(server, "POST", "/v1/responses", body, OWNER)
            assert status == 200, answer
        for name in ("a/b", "a/../b", "a%2Fb", "a?b", "a#b", "é", "a b"):
            at = quote(name, safe="")
            status, answer = await ask(server, "GET", f"/v1/sessions/{at}", None, OWNER)
            assert (status, f"of {name}" in answer) == (200, True), name
            status, answer = await ask(server, "GET", f"/v1/sessions/{at}", None, OTHER)
            assert status == 404
