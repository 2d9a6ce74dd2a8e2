"""Tracing with OpenTelemetry: a span for each run, model call and tool call, and metrics of tokens and durations."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from auwgent.errors import ConfigError
from auwgent.hooks.context import Context
from auwgent.hooks.pipeline import leaves_input
from auwgent.middleware.kept import Configured, Time, option
from auwgent.middleware.trace import genai
from auwgent.middleware.trace.genai import Attributes
from auwgent.session import Session, Usage

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("auwgent.middleware.trace")

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
SCOPE = "auwgent"
MEMO = "trace"  # of the run: the span of its first leg
INSTALL = "Trace needs OpenTelemetry: pip install 'auwgent[trace]'"
OVER = ("tool_result", "workflow_result", "helper_result", "tool_error")


class Trace(Configured):
    """Tells an OpenTelemetry collector of each run: `invoke_agent`, `chat` and `execute_tool` spans, and metrics.

    They are sent to `endpoint`, an OTLP/HTTP collector such as `http://localhost:4318`, or to what the
    `OTEL_EXPORTER_OTLP_…` variables name; without either, to what the application itself has set up with
    OpenTelemetry. Names and values are those of the semantic conventions for generative AI. Texts, arguments and
    results are left out unless `content` is on.

    Nothing waits for the collector: spans are sent in batches by a thread, and dropped where it cannot be
    reached, which is told once. When the agent is closed, what is left may be sent for as long as `flush`.

    Wherever it is listed, a model call begins when all other middleware is done with it.
    """

    name = "trace"
    watches = True
    asides = True
    gives_key = False

    endpoint: Annotated[str | None, Field(pattern=r"^https?://")] = None
    headers: Mapping[str, str] | None = None
    service: Annotated[str, Field(min_length=1)] = "auwgent"
    content: bool = False
    flush: Time = option(default="2s")

    def __post_init__(self) -> None:
        try:
            import opentelemetry.trace  # noqa: F401 - that it is missing is told here
        except ImportError as error:
            raise ConfigError(INSTALL) from error
        self._sender: Sender | None = None
        self._tools: Instruments | None = None

    async def open(self) -> None:
        """Begin to send, unless the application does."""
        if self._sender is None and (self.endpoint or any(map(os.environ.get, ENDPOINTS))):
            self._sender = Sender(self.endpoint, self.headers, self.service)
        self._tools = Instruments(self._sender)

    async def close(self) -> None:
        """Send what is left, for a while."""
        if self._sender is not None:
            sender, self._sender, self._tools = self._sender, None, None
            await sender.close(self.flush.total_seconds())

    @leaves_input
    async def onRunStart(self, session: Session, ctx: Context) -> None:
        await self._of(ctx)

    async def onLLMStart(self, prompt: str, ctx: Context) -> None:
        """A call beside the conversation begins; an agent's own does so at its checkpoint."""
        if ctx.aside is not None:
            (await self._of(ctx)).begin_chat(ctx, ctx.activeAgent, content=self._shows(ctx))

    async def onLLMEnd(self, response: dict[str, Any], ctx: Context) -> None:
        (await self._of(ctx)).end_chat(ctx, content=self._shows(ctx))

    def _shows(self, ctx: Context) -> bool:
        return self.content and bool(ctx.keep)

    async def onCheckpoint(self, session: Session, ctx: Context) -> None:
        """A call of a model or a tool begins, or a tool's is over."""
        run, moment = await self._of(ctx), ctx["checkpoint"]
        match moment["at"]:
            case "llm_start":
                run.begin_chat(ctx, moment["agent"], content=self._shows(ctx))
            case "tool_start":
                run.begin_call(moment, content=self._shows(ctx))
            case "tool_end":
                run.end_call(moment["call_id"])

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        run = await self._of(ctx)
        if name == "model_retry":
            run.note_retry(ctx)
            return
        if name.startswith("response_") or name == "model_call":
            run.note_reply(ctx)  # it is final only when it is recorded
        else:
            run.end_chat(ctx, content=self._shows(ctx))
        if name in OVER:
            run.note_result(name, value, content=self._shows(ctx))

    async def onError(self, error: Exception, session: Session, ctx: Context) -> None:
        (await self._of(ctx)).end_chat(ctx, error)

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        (await self._of(ctx)).end(ctx)

    async def _of(self, ctx: Context) -> RunTrace:
        found: RunTrace | None = ctx.get(self.run_key)
        if found is None:
            if self._tools is None:
                await self.open()
            assert self._tools is not None
            found = ctx[self.run_key] = RunTrace.begun(self._tools, ctx)
        return found


class Instruments:
    """What spans and metrics are made with."""

    def __init__(self, sender: Sender | None) -> None:
        from opentelemetry import context, metrics, trace

        self.context, self.trace = context, trace
        self.tracer = trace.get_tracer(SCOPE, tracer_provider=sender.tracers if sender else None)
        meter = metrics.get_meter(SCOPE, meter_provider=sender.meters if sender else None)
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of model calls",
            explicit_bucket_boundaries_advisory=genai.TOKEN_BUCKETS,
        )
        self.seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="How long model calls, tool calls and runs took",
            explicit_bucket_boundaries_advisory=genai.SECOND_BUCKETS,
        )


@dataclass(slots=True)
class Operation:
    """A span under way, and what its metrics are told by."""

    span: trace.Span
    facts: Attributes
    began: float = field(default_factory=time.perf_counter)
    token: Any = None  # to leave the span's context with
    error: str = ""
    over: tuple[int, float] | None = None  # when it was, by both clocks, where it ends later


@dataclass(slots=True)
class RunTrace:
    """The spans of one run."""

    tools: Instruments
    root: Operation
    chats: dict[int, Operation] = field(default_factory=dict)  # by the ctx of the agent at work
    calls: dict[str, Operation] = field(default_factory=dict)  # by call id

    @classmethod
    def begun(cls, tools: Instruments, ctx: Context) -> RunTrace:
        facts: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": ctx.rootAgent}
        conversation: Attributes = {"gen_ai.conversation.id": ctx.sessionId, "auwgent.run.id": ctx.runId}
        if ctx.leg > 1:
            conversation["auwgent.run.leg"] = ctx.leg
        span = tools.tracer.start_span(f"invoke_agent {ctx.rootAgent}", attributes={**facts, **conversation})
        if ctx.leg == 1:
            made = span.get_span_context()
            ctx.runMemo[MEMO] = [made.trace_id, made.span_id, int(made.trace_flags)]
        return cls(tools, Operation(span, facts))

    def begin_chat(self, ctx: Context, agent: str, *, content: bool) -> None:
        operation = "chat" if ctx.embeds is None else "embeddings"
        facts = {
            "gen_ai.operation.name": operation,
            **genai.model_attributes(str(ctx.model), str(ctx.provider)),
        }
        self.root.span.set_attribute("gen_ai.provider.name", facts["gen_ai.provider.name"])
        more = genai.request_attributes(ctx.url, ctx.config or {})
        more |= {"gen_ai.conversation.id": ctx.sessionId, "gen_ai.agent.name": agent}
        if ctx.aside is not None:
            more["auwgent.aside"] = ctx.aside
        self.end_chat(ctx, content=content)  # one whose answer was sent back to be repaired
        if content and ctx.embeds is None:
            more |= genai.request_content(ctx.systemPrompt, ctx.messages)
        name = f"{operation} {facts['gen_ai.request.model']}"
        kind = self.tools.trace.SpanKind.CLIENT
        span = self.tools.tracer.start_span(name, self._parent(), kind, attributes={**facts, **more})
        self.chats[id(ctx)] = Operation(span, facts)

    def note_retry(self, ctx: Context) -> None:
        if (chat := self.chats.get(id(ctx))) is not None:
            chat.span.add_event("retry")

    def note_reply(self, ctx: Context) -> None:
        """The model has answered now; what of it may be shown is known later."""
        chat = self.chats.get(id(ctx))
        if chat is not None and chat.over is None:
            chat.over = time.time_ns(), time.perf_counter()

    def end_chat(self, ctx: Context, error: Exception | None = None, *, content: bool = False) -> None:
        """The model has answered, or failed, if it was being asked."""
        chat = self.chats.pop(id(ctx), None)
        if chat is None:
            return
        if error is not None:
            chat.error = error_type(error)
        elif ctx.modelReply is not None:
            if ctx.embeds is None:
                chat.span.set_attributes(genai.reply_attributes(ctx.modelReply, str(ctx.provider)))
            if content and ctx.embeds is None:
                chat.span.set_attributes(genai.reply_content(ctx.modelReply))
            self._count(chat, ctx.modelUsage)
        self._end(chat)

    def begin_call(self, moment: Mapping[str, Any], *, content: bool) -> None:
        """Runs in the task of the call: what the tool itself traces becomes part of it."""
        kind, name, call_id = moment.get("kind", "tool"), moment["name"], moment["call_id"]
        if kind == "helper":
            facts: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
        else:
            facts = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
        more: Attributes = {"gen_ai.tool.call.id": call_id, "gen_ai.tool.type": genai.TOOL_TYPES[kind]}
        if content:
            more |= genai.call_content(moment["args"])
        title = f"{facts['gen_ai.operation.name']} {name}"
        span = self.tools.tracer.start_span(title, self._parent(), attributes={**facts, **more})
        call = self.calls[call_id] = Operation(span, facts)
        call.token = self.tools.context.attach(self.tools.trace.set_span_in_context(span))

    def note_result(self, name: str, value: Mapping[str, Any], *, content: bool) -> None:
        call = self.calls.get(value["id"])
        if call is None:
            return
        if name == "tool_error":
            call.error = "tool_error"
        if content:
            result = value["message"] if name == "tool_error" else value["result"]
            call.span.set_attributes(genai.result_content(result))

    def end_call(self, call_id: str) -> None:
        """In the task of the call, too. Calls that were not made have no span."""
        call = self.calls.pop(call_id, None)
        if call is not None:
            self.tools.context.detach(call.token)
            self._end(call)

    def end(self, ctx: Context) -> None:
        """The leg is over, and with it whatever was under way. A later leg is linked to the first one."""
        first = ctx.runMemo.get(MEMO)
        if ctx.leg > 1 and first is not None:
            trace_id, span_id, flags = first
            made = self.tools.trace.SpanContext(trace_id, span_id, True, self.tools.trace.TraceFlags(flags))
            self.root.span.add_link(made)
        if ctx.status not in ("completed", "paused"):
            self.root.error = ctx.status if ctx.error is None else error_type(ctx.error)
        for operation in [*self.chats.values(), *self.calls.values()]:
            operation.error = operation.error or ("" if ctx.status == "paused" else ctx.status)
            self._end(operation)
        self.root.span.set_attributes(genai.usage_attributes(ctx.usage))
        self._end(self.root)

    def _parent(self) -> Any:
        """Return the context of the call that this is part of; else that of the run."""
        current = self.tools.trace.get_current_span()
        parent = next((call.span for call in self.calls.values() if call.span is current), self.root.span)
        return self.tools.trace.set_span_in_context(parent)

    def _count(self, chat: Operation, usage: Usage | None) -> None:
        if usage is None:
            return
        chat.span.set_attributes(genai.usage_attributes(usage))
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self.tools.tokens.record(count, {**chat.facts, "gen_ai.token.type": kind})

    def _end(self, operation: Operation) -> None:
        facts = dict(operation.facts)
        if operation.error:
            facts["error.type"] = operation.error
            operation.span.set_attribute("error.type", operation.error)
            operation.span.set_status(self.tools.trace.StatusCode.ERROR)
        end, ended = operation.over or (None, time.perf_counter())
        operation.span.end(end)
        self.tools.seconds.record(ended - operation.began, facts)


class Sender:
    """Sends to a collector, in threads of its own that hold up neither a run nor the end of the program."""

    def __init__(self, endpoint: str | None, headers: Mapping[str, str] | None, service: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
        except ImportError as error:
            raise ConfigError(INSTALL) from error
        where = "the collector"
        told = threading.Event()

        def tell(is_sent: bool) -> None:
            if not is_sent and not told.is_set():
                told.set()
                log.warning("%s cannot be reached; what it should have is dropped, and runs go on", where)

        class Spans(OTLPSpanExporter):
            def export(self, spans: Sequence[Any]) -> SpanExportResult:
                result = super().export(spans)
                tell(result is SpanExportResult.SUCCESS)
                return result

        class Meters(OTLPMetricExporter):
            def export(self, *args: Any, **kwargs: Any) -> MetricExportResult:
                result = super().export(*args, **kwargs)
                tell(result is MetricExportResult.SUCCESS)
                return result

        # Else each failure would be told on standard error where the application has set up no logging.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        root = endpoint.rstrip("/") if endpoint else None
        where = root or where
        own = dict(headers) if headers else None
        self._spans = Spans(endpoint=root and f"{root}/v1/traces", headers=own)
        self._metrics = Meters(endpoint=root and f"{root}/v1/metrics", headers=own)
        resource = Resource.create({"service.name": service})
        self.tracers: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracers.add_span_processor(BatchSpanProcessor(self._spans))
        reader = PeriodicExportingMetricReader(self._metrics)
        self.meters: MeterProvider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)

    async def close(self, seconds: float) -> None:
        """Send what is left, and give up when that takes too long."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            for provider in (self.tracers, self.meters):
                provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=work, name="trace", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await done.wait()
        except TimeoutError:
            log.warning("the collector did not take the last spans within %g s; they are dropped", seconds)
            for exporter in (self._spans, self._metrics):
                exporter.shutdown()


def error_type(error: BaseException) -> str:
    """Return what kind of failure it was; its words may hold content, and are left out."""
    return str(getattr(error, "fault", None) or type(error).__name__)
