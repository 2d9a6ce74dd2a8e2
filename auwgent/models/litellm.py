"""Every provider that LiteLLM knows, behind one class. The only importer of LiteLLM, which it keeps quiet."""

from __future__ import annotations

import asyncio
import collections
import gc
import logging
import os
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from auwgent.errors import ConfigError, ProviderError
from auwgent.models import wire
from auwgent.models.answer import Answer, answer_to, reported, unfinished
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply, TextPiece
from auwgent.models.faults import broken_off, explained
from auwgent.models.gathered import forget, gathers, streamed
from auwgent.models.guard import Watch, checked, repaired, watch, watching
from auwgent.models.pauses import until_done
from auwgent.models.prices import known_usd
from auwgent.models.providers import base_url_for, provider, wants_placeholder
from auwgent.models.tap import listener, overheard
from auwgent.session import Usage

QUIET_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",  # else it reads the .env of any folder above into the environment
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_LOG": "ERROR",
    "REPEATED_STREAMING_CHUNK_LIMIT": str(10**9),  # else a hundred equal pieces count as a failure
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # a URL in a session is the provider's to read, not ours
}
FORCED_ENVIRONMENT = {  # whatever the host says: both lead past what stands before LiteLLM's clients here
    "LITELLM_RUST": "false",
    "DISABLE_AIOHTTP_TRANSPORT": "false",
}
LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")  # what they report is raised as well
HTTP_LOGGERS = ("openai", "httpx", "httpcore", "httpx2")  # below WARNING they write URLs and headers

MAKING = 60.0  # seconds before a request goes out: LiteLLM imports more of itself for a process's first
NO_KEY = "none"  # for a server that needs no key, behind a client that does

T = TypeVar("T")

_loading: Future[Any] | None = None
_loading_lock = threading.Lock()
_closers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncIterator[None]] = WeakKeyDictionary()


def preload() -> Future[Any]:
    """Begin to import LiteLLM, which takes seconds, in a thread of its own; return at once."""
    global _loading
    with _loading_lock:
        if _loading is None:
            _loading = Future()
            # A daemon, so that an interrupt need not wait for the import to end.
            threading.Thread(target=_load, args=(_loading,), name="auwgent-litellm", daemon=True).start()
        return _loading


def _load(future: Future[Any]) -> None:
    try:
        future.set_result(_import())
    except Exception as error:
        future.set_exception(ConfigError(f"LiteLLM cannot be imported: {error}. Install auwgent again."))


def _import() -> Any:
    """LiteLLM, without its banners, log lines and downloads."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(FORCED_ENVIRONMENT)
    _silence()
    collecting = gc.isenabled()
    gc.disable()  # a quarter of the import is spent looking for garbage among thousands of new classes
    try:
        import litellm
        from litellm.litellm_core_utils import logging_worker
        from litellm.llms.custom_httpx.aiohttp_transport import AiohttpResponseStream, LiteLLMAiohttpTransport
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
        from litellm.llms.ollama.common_utils import OllamaModelInfo
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
    # Each of the six says in its docstring why it stands there; LiteLLM's own types know of none.
    logging_worker.GLOBAL_LOGGING_WORKER = _NoWorker()  # type: ignore[misc,assignment]
    litellm.module_level_aclient = _ClientOfLoop(litellm)  # type: ignore[assignment]
    OllamaModelInfo.get_runtime_model_info = _no_question  # type: ignore[method-assign]
    AsyncHTTPHandler.single_connection_post_request = _no_second_try  # type: ignore[attr-defined]  # gone since 1.110
    LiteLLMAiohttpTransport.handle_async_request = _checked(LiteLLMAiohttpTransport.handle_async_request)  # type: ignore[method-assign]
    AiohttpResponseStream.__aiter__ = _heard(AiohttpResponseStream.__aiter__)  # type: ignore[method-assign,assignment]
    # The Responses API's events do not fit the classes LiteLLM puts them in, which pydantic tells on stderr.
    warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning, "pydantic.main")
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.disable_streaming_logging = True
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # an embedding's max_retries=0 counts there as none given
    _silence()  # again, since LiteLLM has set up its loggers by now
    return litellm


def _silence() -> None:
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
    for name in HTTP_LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)


class _NoWorker:
    """Stands for the one task in which LiteLLM runs its callbacks.

    That task and its queue belong to a single event loop: a second loop, in another thread or after the first,
    breaks it. Nobody here listens to those callbacks.
    """

    def ensure_initialized_and_enqueue(self, async_coroutine: Coroutine[Any, Any, None]) -> None:
        async_coroutine.close()


class _ClientOfLoop:
    """Stands for the one HTTP client that LiteLLM streams Anthropic's and Gemini's answers with.

    In each loop it is that loop's own, made and kept by LiteLLM, so that it can be closed with the loop.
    """

    def __init__(self, litellm: Any) -> None:
        self._litellm = litellm

    async def post(self, *args: Any, **kwargs: Any) -> Any:
        http = self._litellm.llms.custom_httpx.http_handler
        params = {"timeout": self._litellm.request_timeout}
        return await http.get_async_httpx_client("auwgent", params=params).post(*args, **kwargs)


def _no_question(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Stands for what LiteLLM asks an Ollama server of its model behind each answer, while all of the loop waits.

    What it would learn is for its own log. It says what it says where no server answers.
    """
    unknown = dict.fromkeys(("max_tokens", "max_input_tokens", "max_output_tokens"))
    about = {"key": kwargs.get("model", ""), "litellm_provider": "ollama", "mode": "chat"}
    return {**about, "input_cost_per_token": 0.0, "output_cost_per_token": 0.0, **unknown}


async def _no_second_try(*args: Any, **kwargs: Any) -> Any:
    """Stands for LiteLLM's own silent retry of a broken connection: whether to try again is for others to decide."""
    raise  # it is called where that error is being handled


def _checked(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Stands for the sending of a request: an answer that points elsewhere is not followed."""

    async def handle_async_request(transport: Any, request: Any) -> Any:
        if not request.headers.get("authorization", "").startswith("AWS4"):  # those are signed
            request.headers["accept-encoding"] = "identity"
        asked = request
        if (seen := watching()) is not None:
            seen.heard(sent=True)
            asked = seen.gathers(request) if seen.gathers else request
        return await checked(request, await handle(transport, asked))

    return handle_async_request


def _heard(received: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Stands for the reading of a response's body: LiteLLM gets what its clients can read.

    What is in it is also told to whoever made the call.
    """

    def read(stream: Any) -> AsyncGenerator[bytes, None]:
        asked = getattr(stream, "asked", None)
        if asked is None:
            return overheard(received(stream), stream._aiohttp_response.headers)
        return overheard(repaired(received(stream), asked), asked.headers)

    return read


async def library() -> Any:
    """LiteLLM, ready to be used in the running loop and cleaned up at its end."""
    loading = preload()
    litellm = loading.result() if loading.done() else await asyncio.shield(asyncio.wrap_future(loading))
    loop = asyncio.get_running_loop()
    if loop not in _closers:
        _closers[loop] = _at_end_of_loop(litellm)
        await anext(_closers[loop])
    return litellm


async def _at_end_of_loop(litellm: Any) -> AsyncIterator[None]:
    """Wait, suspended, until the loop is shut down; then close the HTTP clients that LiteLLM keeps for it.

    `asyncio.run` finalises suspended generators when everything else is over. Closing earlier would leave
    dead clients in LiteLLM's cache, and its own clean-up would close those of other threads' loops too.
    """
    try:
        yield
    finally:
        cache = litellm.in_memory_llm_clients_cache
        suffix = cache.update_cache_key_with_event_loop("")  # what the keys of this loop end with
        for key in [key for key in cache.cache_dict if key.endswith(suffix)]:
            kept = cache.cache_dict.pop(key)
            cache.ttl_dict.pop(key, None)
            client = getattr(kept, "_client", None) or getattr(kept, "client", None) or kept
            if hasattr(client, "aclose"):
                with suppress(Exception):  # it is on its way out; there is nobody left to tell
                    await client.aclose()
        await asyncio.sleep(0)  # connections are given up in the next turn of the loop


class LiteLLMModel:
    """A model of any provider, over HTTP."""

    def __init__(self, spec: ModelSpec) -> None:
        wire.check_params(spec)
        self.spec = spec

    def __repr__(self) -> str:
        return f"<LiteLLMModel {self.spec.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        async with aclosing(until_done(self._ask_once, request)) as pieces:
            async for piece in pieces:
                yield piece

    async def _ask_once(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        litellm = await library()
        answer = answer_to(self.spec, request)
        failure: ProviderError | None = None
        is_gathered = request.stream and not request.shown and gathers(self.spec)
        gather = partial(streamed, usage=provider(self.spec).stream_options) if is_gathered else None
        seen = Watch(self.spec.timeout, extends=request.stream, gathers=gather)
        try:
            call = litellm.acompletion(**self._arguments(litellm, request, whole=is_gathered))
            response = await self._in_time(call, answer, seen, beforehand=MAKING)
            if hasattr(response, "__aiter__"):
                async with _closed_at_last(response):
                    while (chunk := await self._in_time(anext(response, None), answer, seen)) is not None:
                        for piece in answer.take(chunk):
                            yield piece
                        forget(response)
            else:
                collections.deque(answer.take(response), maxlen=0)
            said_nothing = not (answer.begun or answer.has_ended or _was_reported(response))
            if not _has_ended(response, answer) or said_nothing:
                failure = broken_off(self.spec, begun=answer.begun)
            else:
                failure = unfinished(self.spec, answer)
        except Exception as error:
            begun = answer.begun or bool(seen.said)
            failure = explained(seen.wrong[0] if seen.wrong else error, self.spec, begun=begun)
            if answer.ending.end == "broken":  # of some LiteLLM makes an exception, of some none
                failure = unfinished(self.spec, answer)
        if failure is not None:
            if is_gathered and seen.said:
                yield TextPiece("".join(seen.said))
            raise failure  # not from its cause: that holds the request, and with it the key
        usage = reported(answer.usage) if answer.usage else Usage()
        if not usage.input_tokens and not usage.output_tokens:
            usage = self._counted(litellm, request, answer)
        elif not _was_reported(response):
            usage = usage.model_copy(update={"estimated": True})
        usd = self._usd(litellm, usage, getattr(answer.usage, "cost", None), response)
        yield answer.reply(self.spec.name, usage.model_copy(update={"usd": usd}))

    async def aclose(self) -> None:
        """Do nothing: connections are shared by all models of a loop and closed at its end."""

    async def _in_time(
        self, awaitable: Awaitable[T], answer: Answer, seen: Watch, beforehand: float = 0.0
    ) -> T:
        hears, sees = [answer.hear], [seen]
        tokens = listener.set(hears), watch.set(sees)
        try:
            async with asyncio.timeout(self.spec.timeout + beforehand) as seen.timer:
                return await awaitable
        finally:
            seen.timer = None
            listener.reset(tokens[0])
            watch.reset(tokens[1])
            hears.clear()
            sees.clear()

    def _arguments(self, litellm: Any, request: ModelRequest, *, whole: bool) -> dict[str, Any]:
        spec = self.spec
        streams = not whole and (request.stream or not provider(spec).whole_answers)
        arguments = wire.params(spec, self._known(litellm), request.most)
        arguments |= {
            "model": spec.name,
            "messages": wire.messages(spec, request),
            "stream": streams,
            "api_key": spec.api_key or (NO_KEY if wants_placeholder(spec) else None),
            "api_base": base_url_for(spec.provider, spec.base_url),
            "timeout": 2 * spec.timeout,  # ours is the one that counts
            "max_retries": 0,
            "extra_headers": {**spec.params.get("extra_headers", {}), **spec.headers},
        }
        if streams:
            arguments["stream_options"] = {"include_usage": True}
        if tools := wire.tools(spec, request):
            arguments["tools"] = tools
            if not request.tools:
                arguments["tool_choice"] = "none"
        if request.output:
            arguments["response_format"] = wire.response_format(spec, request)
        return arguments

    def _counted(self, litellm: Any, request: ModelRequest, answer: Answer) -> Usage:
        """Return tokens by our own count, where none were reported."""

        def count(**what: Any) -> int:
            what |= {"model": self.spec.name, "use_default_image_token_count": True}
            try:
                return int(litellm.token_counter(**what))
            except Exception:
                return len(str(what)) // 4

        return Usage(
            input_tokens=count(
                messages=wire.messages(self.spec, request), tools=wire.tools(self.spec, request)
            ),
            output_tokens=count(text=answer.written),
            estimated=True,
        )

    def _usd(self, litellm: Any, usage: Usage, charged: Any, response: Any) -> float | None:
        """Return what it cost, also by prices that LiteLLM knows rules for beyond its list."""
        if (usd := known_usd(self.spec, usage, charged)) is not None:
            return usd
        told = getattr(response, "_hidden_params", {})
        if (
            "response_cost" in told and not usage.estimated
        ):  # of a whole answer LiteLLM has looked it up already
            cost: float | None = told["response_cost"]
            return cost if cost or self._known(litellm) else None
        try:
            prices = litellm.cost_per_token(
                model=self.spec.name.replace("/responses/", "/"),
                prompt_tokens=usage.input_tokens,
                completion_tokens=usage.output_tokens,
                cache_read_input_tokens=usage.cached_tokens,
                cache_creation_input_tokens=usage.written_tokens,
            )
        except Exception:  # LiteLLM raises plain exceptions for a model without a price
            return None
        # It makes up a zero for some models that it does not know.
        return float(sum(prices)) if sum(prices) or self._known(litellm) else None

    def _known(self, litellm: Any) -> Mapping[str, Any]:
        """Return what LiteLLM has on this model; empty where it is not listed."""
        model = self.spec.model.removeprefix("responses/")
        known = litellm.model_cost.get(self.spec.name) or litellm.model_cost.get(model)
        return known or {}


@asynccontextmanager
async def _closed_at_last(response: Any) -> AsyncIterator[None]:
    """Close the connection of a stream, however it ended.

    Where an answer broke off in order, LiteLLM 1.106 leaves it to the garbage collector.
    """
    lines: Any = getattr(response.completion_stream, "streaming_response", None)
    try:
        async with aclosing(response):
            yield
    finally:
        if hasattr(lines, "aclose"):
            with suppress(Exception):  # the answer, or its failure, is there already
                await lines.aclose()


def _has_ended(response: Any, answer: Answer) -> bool:
    """Return whether the provider said that it is done. For a stream cut short LiteLLM makes one up."""
    if answer.has_ended:
        return True
    if answer.ending.is_gemini:
        return False
    if not hasattr(response, "received_finish_reason"):
        return True
    return bool(response.received_finish_reason or response.intermittent_finish_reason)


def _was_reported(response: Any) -> bool:
    """Return whether the provider counted the tokens. LiteLLM does it where it did not, and does not say so."""
    return not hasattr(response, "chunks") or any(getattr(chunk, "usage", None) for chunk in response.chunks)
