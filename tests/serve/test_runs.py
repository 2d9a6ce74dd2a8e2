"""The routes of runs and sessions, and their events, which go on wherever a reader was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.served import Served, served
from tests.support.sse import Event, events

Config = Callable[..., dict[str, Any]]


async def said(server: Served, words: str, session_id: str = "s", **how: Any) -> str:
    """Ask by chat; gives the id of the run."""
    body = {"messages": [{"role": "user", "content": words}]}
    headers = {"X-Session-Id": session_id, **how.pop("headers", {})}
    status, answer, answered = await server.ask(
        "POST", "/v1/chat/completions", json=body, headers=headers, **how
    )
    assert status == 200, answer
    return str(answered["X-Run-Id"])


async def read(server: Served, run_id: str, after: str = "", *, last: str = "") -> bytes:
    """The bytes of a run's events behind one of them, named in the query or in the header."""
    query = {"after": after} if after else {}
    path = f"{server.url}/v1/runs/{quote(run_id, safe='')}/events"
    headers = {"Last-Event-ID": last} if last else {}
    async with server.client.get(path, params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        return await answer.read()


def text_of(found: list[Event]) -> str:
    """What a reader has of the answer: pieces, or what a snapshot says instead of them."""
    text, last = "", ""
    for event in found:
        if event.name == "snapshot":
            text, last = event.data["text"], ""
        elif event.name == "response_text" and event.data["event"] == "partial":
            text += event.data["value"]["delta"]
        elif event.name == "run":
            last = event.data["text"]
    return text or last


def whole_ones(found: list[Event]) -> list[Any]:
    return [one.data for one in found if one.data["event"] != "partial"]


async def test_sessions_are_listed_read_copied_renamed_and_deleted(config: Config) -> None:
    async with served(config()) as server:
        odd = "a/b?c#d e%2Ff/fork"
        await said(server, "Hello", "plain")
        await said(server, "Bye", odd)
        status, body, _ = await server.ask("GET", "/v1/sessions")
        assert (status, body["object"]) == (200, "list")
        assert [(one["id"], one["turns"], one["status"]) for one in body["data"]] == [
            (odd, 2, "completed"),
            ("plain", 2, "completed"),
        ]
        assert len((await server.ask("GET", "/v1/sessions?limit=1"))[1]["data"]) == 1
        assert (await server.ask("GET", "/v1/sessions?limit=0"))[0] == 400
        hits = (await server.ask("GET", "/v1/sessions?search=bye"))[1]["data"]
        assert {one["session_id"] for one in hits} == {odd}
        path = f"/v1/sessions/{quote(odd, safe='')}"
        status, session, _ = await server.ask("GET", path)
        assert (status, session["id"], session["turns"][1]["content"]) == (200, odd, "You said: Bye")
        at = session["turns"][0]["id"]
        status, body, _ = await server.ask("POST", f"{path}/fork", json={"id": "copy", "at": at})
        assert (status, body) == (201, {"id": "copy", "object": "session", "forked_from": odd})
        assert len((await server.ask("GET", "/v1/sessions/copy"))[1]["turns"]) == 1
        status, body, _ = await server.ask("POST", f"{path}/fork", json={"id": "copy"})
        assert (status, server.fails(body)) == (409, "session_busy")
        assert (await server.ask("POST", "/v1/sessions/copy/fork"))[0] == 201
        assert (await server.ask("PATCH", "/v1/sessions/copy", json={"id": "x/y"}))[0] == 200
        assert (await server.ask("GET", "/v1/sessions/x%2Fy"))[0] == 200
        assert (await server.ask("DELETE", path))[:2] == (
            200,
            {"id": odd, "object": "session.deleted", "deleted": True},
        )
        for method in ("GET", "DELETE"):
            status, body, _ = await server.ask(method, path)
            assert (status, server.fails(body)) == (404, "not_found")
        for bad in ("%00", "%ff", "..%2f..", "nobody"):
            assert (await server.ask("GET", f"/v1/sessions/{bad}"))[0] == 404
        usage = (await server.ask("GET", "/v1/usage?by=model"))[1]["data"]
        assert [(row["key"], row["calls"]) for row in usage] == [("scripted/main", 1)]


async def test_runs_are_listed_and_told_of(config: Config) -> None:
    async with served(config()) as server:
        run_id = await said(server, "please add")
        status, body, _ = await server.ask("GET", f"/v1/runs/{run_id}")
        assert (status, body["status"], body["session_id"], body["agent"]) == (200, "completed", "s", "Main")
        assert body["usage"]["output_tokens"] > 0
        assert [one["id"] for one in (await server.ask("GET", "/v1/runs"))[1]["data"]] == [run_id]
        assert (await server.ask("GET", "/v1/runs?status=paused"))[1]["data"] == []
        assert (await server.ask("GET", "/v1/runs?status=odd"))[0] == 400
        status, body, _ = await server.ask("GET", "/v1/runs/nothing")
        assert (status, server.fails(body)) == (404, "not_found")
    async with served(config(store=False)) as server:
        status, body, _ = await server.ask("GET", "/v1/runs")
        assert (status, server.fails(body)) == (400, "no_store")


async def test_a_run_is_followed_and_cancelled(config: Config) -> None:
    async with served(config(disconnect="continue")) as server:
        key = {"Idempotency-Key": "r/1"}
        running = asyncio.create_task(said(server, "slow", headers=key))
        await asyncio.sleep(0.6)
        following = asyncio.create_task(read(server, "r/1"))
        await asyncio.sleep(0.3)
        status, body, _ = await server.ask("POST", "/v1/runs/r%2F1/cancel")
        assert (status, body["status"]) == (200, "cancelled")
        found = events(await following)
        assert found[-1].name == "run"
        assert found[-1].data["status"] == "cancelled"
        assert text_of(found).startswith("one two")
        with pytest.raises(AssertionError, match="run_cancelled"):
            await running
        assert (await server.ask("POST", "/v1/runs/r%2F1/cancel"))[1]["status"] == "cancelled"


@pytest.mark.parametrize("words", ["please add", "think", "Grüße 😀 " + "lang " * 40])
async def test_events_cut_at_any_byte_go_on(config: Config, words: str) -> None:
    async with served(config()) as server:
        run_id = await said(server, words)
        whole = await read(server, run_id)
        all_events = events(whole)
        names = [one.name for one in all_events]
        assert names[-1] == "run"
        assert len({one.id for one in all_events[:-1]}) == len(all_events) - 1
        stored = (await server.ask("GET", "/v1/sessions/s"))[1]["turns"]
        text = "".join(turn["content"] for turn in stored if turn["role"] == "assistant")
        assert text_of(all_events) == text
        for cut in range(0, len(whole), max(1, len(whole) // 60)):
            first = events(whole[:cut])
            after = first[-1].id if first else ""
            rest = events(await read(server, run_id, last=after))
            assert text_of([*first, *rest]) == text
            assert whole_ones([*first, *rest]) == whole_ones(all_events)


async def test_events_go_on_in_another_process(config: Config) -> None:
    async with served(config()) as server:
        run_id = await said(server, "please add")
        whole = await read(server, run_id)
    finals = [(one.name, one.data.get("value")) for one in events(whole) if one.data.get("event") == "intent"]
    async with served(config()) as other:
        for cut in range(0, len(whole), max(1, len(whole) // 40)):
            first = events(whole[:cut])
            rest = events(await read(other, run_id, after=first[-1].id if first else ""))
            assert rest[-1].name == "run"
            both = [*first, *rest]
            assert text_of(both) in ("I will add them.It is 3.", "I will add them.\n\nIt is 3.")
            names = [one.name for one in both if one.data.get("event") == "intent"]
            assert names == [name for name, _ in finals]
        status, body, _ = await other.ask("GET", f"/v1/runs/{run_id}/events?after=nonsense")
        assert (status, other.fails(body)) == (400, "invalid_value")


async def test_what_is_no_longer_held_is_told_in_a_snapshot(config: Config) -> None:
    long = config(disconnect="continue")
    text = "".join(f"{number} " for number in range(5000))
    long["models"]["main"]["params"] |= {"replies": [text], "chunk": 4}
    async with served(long) as server:
        run_id = await said(server, "go")
        found = events(await read(server, run_id))
        assert [one.name for one in found].count("snapshot") == 1
        assert text_of(found) == text
        again = events(await read(server, run_id, after=found[0].id))
        assert text_of(again) == text


async def test_an_admin_sees_the_runs_of_all(config: Config) -> None:
    tokens = [
        {"token": "alices-own-token", "user": "alice"},
        {"token": "bobs-own-token", "user": "alice\n"},
        {"token": "the-admins-token", "user": "root", "admin": True},
    ]

    def of(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {name}"}

    async with served(config(tokens=tokens)) as server:
        run_id = await said(server, "Hello", "secret", headers=of("alices-own-token"))
        routes = [
            ("GET", "/v1/sessions/secret", None),
            ("POST", "/v1/sessions/secret/fork", {"id": "mine"}),
            ("PATCH", "/v1/sessions/secret", {"id": "mine"}),
            ("DELETE", "/v1/sessions/secret", None),
            ("GET", f"/v1/runs/{run_id}", None),
            ("GET", f"/v1/runs/{run_id}/events", None),
            ("POST", f"/v1/runs/{run_id}/cancel", None),
            ("POST", f"/v1/runs/{run_id}/answers", {"answers": {"c": True}}),
            ("GET", f"/v1/responses/resp_{run_id}", None),
            ("GET", f"/v1/responses/resp_{run_id}?stream=true", None),
            ("GET", f"/v1/responses/resp_{run_id}/input_items", None),
            ("POST", f"/v1/responses/resp_{run_id}/cancel", None),
            ("DELETE", f"/v1/responses/resp_{run_id}", None),
            ("POST", "/v1/responses", {"input": "x", "previous_response_id": f"resp_{run_id}"}),
        ]
        for method, path, body in routes:
            how: dict[str, Any] = {} if body is None else {"json": body}
            for headers, expected in (({}, 401), (of("bobs-own-token"), 404), (of("the-admins-token"), 404)):
                status, answer, _ = await server.ask(method, path, headers=headers, **how)
                assert status == expected, (method, path, answer)
                assert "Hello" not in str(answer)
        as_alice = {**of("the-admins-token"), "X-User-Id": "alice"}
        assert (await server.ask("GET", "/v1/sessions/secret", headers=as_alice))[0] == 200
        for name in ("bobs-own-token", "the-admins-token"):
            assert (await server.ask("GET", "/v1/sessions", headers=of(name)))[1]["data"] == []
        seen = (await server.ask("GET", "/v1/runs", headers=of("the-admins-token")))[1]["data"]
        assert [(one["id"], one["user_id"]) for one in seen] == [(run_id, "alice")]
        as_bob = {**of("the-admins-token"), "X-User-Id": "bob"}
        assert (await server.ask("GET", "/v1/runs", headers=as_bob))[1]["data"] == []
        assert len((await server.ask("GET", "/v1/runs", headers=of("alices-own-token")))[1]["data"]) == 1
        assert (await server.ask("GET", "/v1/runs", headers=of("bobs-own-token")))[1]["data"] == []


async def test_exports_say_how_runs_ended(config: Config) -> None:
    async with served(config()) as server:
        body = {"messages": [{"role": "user", "content": "fail"}]}
        await server.ask("POST", "/v1/chat/completions", json=body, headers={"X-Session-Id": "s"})
        for form in ("html", "markdown"):
            status, text, _ = await server.ask("GET", f"/v1/sessions/s?format={form}")
            assert (status, "the run failed" in text) == (200, True), form
        await said(server, "Hello")
        for model, calls in (("scripted/main", 1), ("scripted/other", 0)):
            _, told, _ = await server.ask("GET", "/v1/usage", params={"by": "day", "model": model})
            assert sum(row["calls"] for row in told["data"]) == calls
