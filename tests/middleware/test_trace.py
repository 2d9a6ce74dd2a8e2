"""Trace: what a collector is told, decoded from what was sent to it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.middleware import Trace
from tests.middleware.conformance import Conformance, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.answering import provider
from tests.support.bench import Bench, Hook, bench, calls
from tests.support.collector import Collector, attributes, collector, tree


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT", "HEADERS"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


@pytest.fixture
def there() -> Iterator[Collector]:
    with collector() as running:
        yield running


def traced(there: Collector, *middleware: Any, **options: Any) -> Trace:
    return Trace(endpoint=there.url, **options)


async def run(agent: Bench, trace: Trace, words: str = "Hello", **order: Any) -> Any:
    """A run, all of it sent."""
    async with closing(trace):
        return await agent.ask(words, **order)


def named(there: Collector, name: str) -> dict[str, Any]:
    (found,) = [span for span in there.spans if span.name == name]
    return attributes(found)


def look(where: str) -> str:
    """Look around."""
    if where == "nowhere":
        raise RuntimeError("a secret of the tool")
    return f"nothing in {where}"


class TestConformance(Conformance):
    path = "auwgent.middleware.Trace"
    wrong = (
        ({"endpoint": "localhost"}, "`endpoint`"),
        ({"content": "yes"}, "`content` should be true or false"),
        ({"flush": "soon"}, '`flush`: must be a length of time such as "30s"'),
        ({"url": "http://x"}, "its options: endpoint, headers, service, content, flush"),
    )

    def make(self, folder: Path) -> Trace:
        return Trace()

    def make_failing(self, folder: Path) -> Trace:
        return Broken()

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        with collector() as there:
            trace = traced(there)
            await run(at_work(trace), trace, "Please ask the clerk")
        assert sorted(tree(there.spans)) == sorted(
            [
                "invoke_agent Main",
                "  chat main",
                "  execute_tool add",
                "  invoke_agent Clerk",
                "    chat clerk",
                "  chat main",
            ]
        )


class Broken(Trace):
    """Cannot begin."""

    async def _of(self, ctx: Any) -> Any:
        raise OSError("no tracer")


class TestSpans:
    async def test_a_run_is_a_tree_with_names_and_values_of_the_conventions(self, there: Collector) -> None:
        trace = traced(there)
        usage = {
            "input_tokens": 40,
            "output_tokens": 2,
            "cached_tokens": 8,
            "reasoning_tokens": 1,
            "usd": 0.5,
        }
        replies = [{**calls(("look", {"where": "x"})), "usage": usage}, "Nothing there."]
        agent = bench(replies, tools=[look], middleware=[trace])
        session = await run(agent, trace, session_id="s1")
        assert tree(there.spans) == [
            "invoke_agent Main",
            "  chat main",
            "  execute_tool look",
            "  chat main",
        ]
        root, chat, tool, _ = there.spans
        assert agent.run is not None
        assert attributes(root) == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "Main",
            "gen_ai.provider.name": "scripted",
            "gen_ai.conversation.id": "s1",
            "auwgent.run.id": agent.run.run_id,
            "gen_ai.usage.input_tokens": agent.run.usage.input_tokens,
            "gen_ai.usage.output_tokens": agent.run.usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": 8,
            "gen_ai.usage.reasoning.output_tokens": 1,
            "auwgent.usage.usd": 0.5,
        }
        assert attributes(chat) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "scripted",
            "gen_ai.request.model": "main",
            "gen_ai.response.model": "main",
            "gen_ai.response.finish_reasons": ["tool_calls"],
            "gen_ai.conversation.id": "s1",
            "gen_ai.agent.name": "Main",
            "gen_ai.usage.input_tokens": 40,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 8,
            "gen_ai.usage.reasoning.output_tokens": 1,
            "auwgent.usage.usd": 0.5,
        }
        assert attributes(tool) == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": session.turns[1].tool_calls[0].id,
        }
        assert (root.kind, chat.kind, tool.kind) == (1, 3, 1)  # internal, client, internal
        assert root.start_time_unix_nano <= chat.start_time_unix_nano < chat.end_time_unix_nano
        assert chat.end_time_unix_nano <= tool.start_time_unix_nano
        assert tool.end_time_unix_nano <= root.end_time_unix_nano

    async def test_where_a_call_goes_is_told_without_what_may_be_secret(self, there: Collector) -> None:
        trace = traced(there)

        def settle(prompt: str, ctx: Any) -> None:
            ctx.url = "https://user:hunter2@llm.example:8443/v1?key=hunter2"
            ctx.headers = {"X-Key": "hunter2"}
            ctx.apiKey = "hunter2"
            ctx.config = {"temperature": 0.5, "max_tokens": 10, "user": "hunter2"}

        await run(bench(["ok"], middleware=[Hook(onLLMStart=settle), trace]), trace)
        chat = named(there, "chat main")
        assert (chat["server.address"], chat["server.port"]) == ("llm.example", 8443)
        assert (chat["gen_ai.request.temperature"], chat["gen_ai.request.max_tokens"]) == (0.5, 10)
        assert not any(b"hunter2" in body for body in there.bodies)

    async def test_calls_side_by_side_and_what_they_call_have_their_own_parents(
        self, there: Collector
    ) -> None:
        trace = traced(there)
        helper = {"Clerk": {"description": "Looks", "model": "clerk", "prompt": "x", "tools": [look]}}
        scripts: dict[str, list[Any]] = {
            "main": [calls(("Clerk", {"input": "a"}), ("Clerk", {"input": "b"})), "Done."],
            "clerk": [
                {"when": "", **calls(("look", {"where": "x"}))},
                {"when": "", "result": True, "text": "ok"},
            ],
        }
        await run(bench(scripts, helpers=helper, middleware=[trace]), trace)
        by_id = {span.span_id: span for span in there.spans}
        for span in there.spans:
            if span.name in ("chat clerk", "execute_tool look"):
                assert by_id[span.parent_span_id].name == "invoke_agent Clerk"
        clerks = [span for span in there.spans if span.name == "invoke_agent Clerk"]
        for clerk in clerks:
            below = sorted(span.name for span in there.spans if span.parent_span_id == clerk.span_id)
            assert below == ["chat clerk", "chat clerk", "execute_tool look"]

    async def test_what_a_tool_traces_itself_is_part_of_its_span(self, there: Collector) -> None:
        from opentelemetry import trace as otel

        trace = traced(there)
        seen: list[int] = []

        def work() -> str:
            """Work."""
            seen.append(otel.get_current_span().get_span_context().span_id)
            return "done"

        await run(bench([calls("work"), "ok"], tools=[work], middleware=[trace]), trace)
        (tool,) = [span for span in there.spans if span.name == "execute_tool work"]
        assert seen == [int.from_bytes(tool.span_id)]
        assert not otel.get_current_span().get_span_context().is_valid

    async def test_runs_at_once_are_traces_of_their_own(self, there: Collector) -> None:
        trace = traced(there)
        agent = at_work(trace)
        async with closing(trace):
            await asyncio.gather(*(agent.ask("Please ask the clerk") for _ in range(4)))
        traces: dict[bytes, int] = {}
        for span in there.spans:
            traces[span.trace_id] = traces.get(span.trace_id, 0) + 1
        assert list(traces.values()) == [6, 6, 6, 6]


class TestFailures:
    async def test_a_model_that_fails(self, there: Collector) -> None:
        trace = traced(there)
        agent = bench([{"error": {"status": 429, "message": "hunter2"}}], middleware=[trace])
        with pytest.raises(Exception, match="hunter2"):
            await run(agent, trace)
        for span in there.spans:
            assert (span.status.code, attributes(span)["error.type"]) == (2, "rate_limit")
        assert tree(there.spans) == ["invoke_agent Main", "  chat main"]
        assert not any(b"hunter2" in body for body in there.bodies)

    async def test_a_tool_that_fails(self, there: Collector) -> None:
        trace = traced(there)
        replies = [calls(("look", {"where": "nowhere"})), "ok"]
        await run(bench(replies, tools=[look], middleware=[trace]), trace)
        assert named(there, "execute_tool look")["error.type"] == "tool_error"
        assert "error.type" not in named(there, "invoke_agent Main")
        assert not any(b"secret" in body for body in there.bodies)

    async def test_calls_that_are_not_made_have_no_span(self, there: Collector) -> None:
        trace = traced(there)
        replies = [calls("nothing", ("look", {})), "ok"]
        await run(bench(replies, tools=[look], middleware=[trace]), trace)
        assert tree(there.spans) == ["invoke_agent Main", "  chat main", "  chat main"]

    async def test_a_cancelled_run_ends_all_its_spans(self, there: Collector) -> None:
        trace = traced(there)
        agent = bench([{"text": "x", "delay": 30}], middleware=[trace])
        async with closing(trace):
            task = asyncio.create_task(agent.ask())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [attributes(span)["error.type"] for span in there.spans] == ["CancelledError", "cancelled"]


class TestContent:
    async def test_is_left_out(self, there: Collector) -> None:
        trace = traced(there)
        agent = bench(
            [calls(("look", {"where": "the attic"})), "An answer"],
            prompt="A prompt",
            tools=[look],
            middleware=[trace],
        )
        await run(agent, trace, "A question")
        words = (b"A prompt", b"A question", b"An answer", b"attic", b"nothing in")
        assert not any(word in body for body in there.bodies for word in words)

    async def test_is_told_where_asked(self, there: Collector) -> None:
        trace = traced(there, content=True)
        agent = bench(
            [calls(("look", {"where": "the attic"})), "An answer"],
            prompt="A prompt",
            tools=[look],
            middleware=[trace],
        )
        session = await run(agent, trace, "A question")
        chat = attributes(there.spans[-1])
        call_id = session.turns[1].tool_calls[0].id
        assert json.loads(chat["gen_ai.system_instructions"]) == [{"type": "text", "content": "A prompt"}]
        assert json.loads(chat["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": "A question"}]},
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": call_id,
                        "name": "look",
                        "arguments": {"where": "the attic"},
                    }
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": call_id, "response": "nothing in the attic"}],
            },
        ]
        assert json.loads(chat["gen_ai.output.messages"])[0]["parts"] == [
            {"type": "text", "content": "An answer"}
        ]
        tool = named(there, "execute_tool look")
        assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"where": "the attic"}
        assert tool["gen_ai.tool.call.result"] == "nothing in the attic"


async def test_metrics_tell_tokens_and_durations(there: Collector) -> None:
    trace = traced(there)
    replies = [calls(("look", {"where": "nowhere"})), "ok"]
    agent = bench(replies, tools=[look], middleware=[trace])
    await run(agent, trace)
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "main",
    }
    assert agent.run is not None
    used = agent.run.usage
    tokens = there.points("gen_ai.client.token.usage")
    assert {**chat, "gen_ai.token.type": "input", "count": 2, "sum": used.input_tokens} in tokens
    assert {**chat, "gen_ai.token.type": "output", "count": 2, "sum": used.output_tokens} in tokens
    durations = there.points("gen_ai.client.operation.duration")
    assert [(point["gen_ai.operation.name"], point["count"]) for point in durations] == [
        ("chat", 2),
        ("execute_tool", 1),
        ("invoke_agent", 1),
    ]
    assert [point.get("error.type") for point in durations] == [None, "tool_error", None]


async def test_headers_and_the_name_of_the_service_are_sent(there: Collector) -> None:
    trace = traced(there, headers={"X-Team": "blue"}, service="shop")
    await run(bench(["ok"], middleware=[trace]), trace)
    assert {headers["x-team"] for headers in there.headers} == {"blue"}
    resource = there.traces[0].resource_spans[0].resource
    assert attributes(resource)["service.name"] == "shop"


async def test_the_usual_variables_name_the_collector(
    there: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
    trace = Trace()
    await run(bench(["ok"], middleware=[trace]), trace)
    assert tree(there.spans) == ["invoke_agent Main", "  chat main"]


class TestADeadCollector:
    @pytest.fixture(params=["refuses", "says nothing"])
    def dead(self, request: pytest.FixtureRequest) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            if request.param == "refuses":
                server.close()
            yield f"http://127.0.0.1:{port}"

    @pytest.mark.clock
    async def test_costs_nothing_and_is_told_once(self, dead: str, caplog: pytest.LogCaptureFixture) -> None:
        trace = Trace(endpoint=dead, flush=0.3)
        agent = bench([{"when": "", "text": "ok"}], middleware=[trace])
        began = time.monotonic()
        for _ in range(20):
            assert (await agent.ask()).text == "ok"
        ran = time.monotonic()
        await trace.close()
        assert ran - began < 2
        assert time.monotonic() - ran < 1
        told = [record for record in caplog.records if record.name == "auwgent.middleware.trace"]
        assert 1 <= len(told) <= 2
        assert all(record.levelno == logging.WARNING for record in told)


async def test_without_a_collector_nothing_is_sent_and_nothing_fails() -> None:
    trace = Trace()
    assert (await run(bench(["ok"], middleware=[trace]), trace)).text == "ok"


async def test_over_http(aimock: Aimock, there: Collector) -> None:
    async with over_http(aimock, "trace", traced(there)) as agent:
        await agent.run("Say hello")
    chat = named(there, "chat gpt-4o-mini")
    assert chat["gen_ai.provider.name"] == "openai"
    assert chat["server.address"] == "127.0.0.1"
    assert chat["gen_ai.usage.input_tokens"] > 0
    assert not any(b"a-key" in body for body in there.bodies)


@pytest.mark.process
async def test_calls_beside_the_conversation_have_spans_of_their_own(
    there: Collector, tmp_path: Path
) -> None:
    judge = {"use": "auwgent.middleware.Moderate", "model": "main", "where": ["inputs"]}
    retrieve = {"use": "auwgent.middleware.Retrieve", "url": f"sqlite:///{tmp_path / 'k.db'}"}
    async with provider(lambda body: "ALLOW") as server:
        config = {
            "middleware": [Trace(endpoint=there.url), judge, retrieve],
            "agent": {"model": "main", "prompt": "{{ ctx.knowledge }}"},
            "models": {"main": server.model(), "vectors": server.model("openai/vectors")},
            "embedding": {"model": "vectors"},
            "context": {"knowledge": ""},
        }
        async with Runtime(config) as agent:
            await agent.run("Hello")
    assert tree(there.spans) == ["invoke_agent Main", "  chat test", "  embeddings vectors", "  chat test"]
    _, judged, embedded, own = map(attributes, there.spans)
    assert [one.get("auwgent.aside") for one in (judged, embedded, own)] == ["moderate", "retrieve", None]
    assert embedded["gen_ai.operation.name"] == "embeddings"
    assert embedded["gen_ai.usage.input_tokens"] == 10
    assert "gen_ai.response.finish_reasons" not in embedded
