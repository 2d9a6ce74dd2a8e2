"""A server with a queue streams runs that workers carry out, in every protocol, and from any server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.fleet import Fleet
from tests.support.reading import Reading, text_of
from tests.support.served import Served, served
from tests.support.sse import events

pytestmark = pytest.mark.process

SLOW = "word " * 40


@asynccontextmanager
async def server(fleet: Fleet) -> AsyncIterator[Served]:
    """A server with the fleet's config, which carries out nothing itself."""
    os.environ.setdefault("TOOL_LOG", str(fleet.log))
    async with served(fleet.path) as made:
        yield made


async def streamed(server: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of an answer."""
    async with server.client.post(server.url + path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        raw = await answer.read()
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_every_protocol_streams_what_a_worker_says(fleet: Fleet) -> None:
    fleet.start()
    async with server(fleet) as one:
        said = {"role": "user", "content": "slow"}
        body = {"messages": [said], "stream": True, "metadata": {"session_id": "chat"}}
        responses = {"input": "slow", "stream": True, "conversation": "responses"}
        ag_ui: dict[str, Any] = {
            "threadId": "t",
            "runId": "r",
            "messages": [{"id": "m", **said}],
            "tools": [],
        }
        ag_ui |= {"context": [], "state": {}, "forwardedProps": {}}
        chunks, output, told = await asyncio.gather(
            streamed(one, "/v1/chat/completions", body),
            streamed(one, "/v1/responses", responses),
            streamed(one, "/ag-ui", ag_ui),
        )
        pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
        assert "".join(pieces) == SLOW
        assert len(pieces) > 3  # the role, words, and the end
        deltas = [event["delta"] for event in output if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == SLOW
        assert output[-1]["type"] == "response.completed"
        words = [event["delta"] for event in told if event["type"] == "TEXT_MESSAGE_CONTENT"]
        assert "".join(words) == SLOW
        assert told[-1]["type"] == "RUN_FINISHED"
        whole = {**body, "messages": [{"role": "user", "content": "buy"}], "stream": False}
        status, answer, _ = await one.ask("POST", "/v1/chat/completions", json=whole)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "All done: charged")
    runs = (
        "SELECT r.id, s.id FROM auwgent_runs r JOIN auwgent_sessions s ON s.no = r.session_no ORDER BY r.no"
    )
    fleet.check({run: session for run, session, *_ in fleet.query(runs)})


async def test_a_response_is_taken_up_on_another_server(fleet: Fleet) -> None:
    fleet.start()
    async with server(fleet) as one, server(fleet) as other:
        body = {"input": "slow", "background": True}
        status, response, _ = await one.ask("POST", "/v1/responses", json=body)
        assert status == 200
        numbers: list[list[int]] = []
        for place, after in ((one, -1), (other, -1), (other, 7)):
            path = f"{place.url}/v1/responses/{response['id']}?stream=true&starting_after={after}"
            async with place.client.get(path) as answer:
                found = [event.data for event in events(await answer.read())]
            numbers.append([event["sequence_number"] for event in found])
            if after < 0:
                assert "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta") == SLOW
        assert numbers[0] == numbers[1] == [*range(8), *numbers[2]]


async def test_questions_are_asked_and_answered_through_any_server(fleet: Fleet) -> None:
    fleet.start()
    async with server(fleet) as one, server(fleet) as other:
        asked = {"input": "refund", "stream": True, "conversation": "s"}
        output = await streamed(one, "/v1/responses", asked)
        [item] = [one for one in output[-1]["response"]["output"] if one["type"] == "mcp_approval_request"]
        yes = {"type": "mcp_approval_response", "approval_request_id": item["id"], "approve": True}
        more = {"input": [yes], "previous_response_id": output[-1]["response"]["id"], "stream": True}
        rest = await streamed(other, "/v1/responses", more)
        deltas = [event["delta"] for event in rest if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == "All done: refunded"
        body = {"messages": [{"role": "user", "content": "refund"}], "metadata": {"session_id": "chat"}}
        status, answer, _ = await one.ask("POST", "/v1/chat/completions", json=body)
        assert status == 200
        assert "tool_calls" not in answer["choices"][0]["message"]
    assert len(fleet.starts("refund")) == 1


async def test_a_ticket_tells_what_happens(fleet: Fleet) -> None:
    fleet.start()
    async with fleet.agent() as agent:
        ticket = await agent.submit("slow")
        found = [intent async for intent in ticket.events()]
        assert "".join(one.value["delta"] for one in found if one.partial) == SLOW
        assert [one.name for one in found if not one.partial] == ["model_call", "response_text"]
        again = [intent.name async for intent in ticket.events(after=1)]  # as it is stored
        assert again == ["response_text"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_stream_goes_on_where_its_worker_is_lost(fleet: Fleet, how: signal.Signals) -> None:
    fleet.path.write_text(fleet.path.read_text().replace("pause = 0.1", "pause = 0.2"))
    workers = {fleet.start().pid, fleet.start().pid}
    of = "SELECT w.place FROM auwgent_runs r JOIN auwgent_workers w ON w.no = r.worker"
    async with server(fleet) as one, fleet.agent() as agent:
        ticket = await agent.submit("slow", session_id="s", run_id="r")
        reading = Reading(one, "r")
        await reading.until("word word word")
        [[place]] = fleet.query(of)
        [pid] = [pid for pid in workers if f"|{pid}|" in place]
        os.kill(pid, how)
        found = await reading.end()
        names = [event.name for event in found]
        assert names.count("restarted") == 1, found
        assert names[-1] == "run"
        assert text_of(found) == SLOW
        assert (await ticket.result()).text == SLOW
