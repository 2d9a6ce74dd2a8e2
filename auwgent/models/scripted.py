"""The model that says what a script tells it: for tests, examples and dry runs.

`scripted/echo` answers "You said: …". `scripted/<file>` reads a script, TOML or JSON, relative to the working
directory; `~` is the home. With `replies` under `params` the text behind the slash is a mere name:

    [models.main]
    use = "scripted/main"
    params = { replies = [{ tool_calls = [{ name = "add", args = { a = 1, b = 2 } }] }, "It is {result}."] }

There is no hidden position in the script, so runs side by side cannot disturb each other. Each request finds
its reply by itself: the first reply with a condition that holds, else, of those without a condition, the one
behind as many as there are turns of this very model in the request. Turns of other models do not count.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import tomllib
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from auwgent.errors import PASSING, ConfigError, Fault, ProviderError
from auwgent.model_settings import Price
from auwgent.models.base import (
    CallPiece,
    ModelRequest,
    ModelSpec,
    Piece,
    RawCall,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from auwgent.session import Usage
from auwgent.words import misfits

REMEMBERED = 1000  # requests
ECHO: Mapping[str, Any] = {"replies": ["You said: {user}"], "repeat": True}
FAULTS: Mapping[int, Fault] = {401: "auth", 403: "auth", 404: "not_found", 413: "context", 429: "rate_limit"}


class ScriptedModel:
    """A model that follows a script. `requests` holds what it was asked, the newest last."""

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return a model with the script in the params of this table."""
        return cls(spec)

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.script = read(spec)
        self.requests: deque[ModelRequest] = deque(maxlen=REMEMBERED)

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        self.requests.append(replace(request, turns=tuple(request.turns)))
        scripted = self._find(request)
        error = scripted.error
        if error and self._times_asked(request) > error.times:
            error = None
        reply = self._reply(scripted, request)
        pieces = list(_pieces(scripted.reasoning, reply, self.script.chunk)) if request.stream else []
        await self._wait(scripted.delay)
        for number, piece in enumerate(pieces):
            if error and number == error.after:
                break
            if number:
                await self._wait(scripted.pause)
            yield piece
        if error:
            await self._fail(error)
        yield reply

    async def aclose(self) -> None:
        """Nothing is held."""

    def _find(self, request: ModelRequest) -> ScriptedReply:
        for reply in self.script.replies:
            if reply.conditional and reply.answers(request):
                return reply
        sequence = [reply for reply in self.script.replies if not reply.conditional]
        turns = list(request.turns)
        if self.script.restart:
            users = [number for number, turn in enumerate(turns) if turn.role == "user"]
            turns = turns[users[-1] :] if users else turns
        number = sum(turn.role == "assistant" and turn.model == self.spec.name for turn in turns)
        if number < len(sequence) or (sequence and self.script.repeat):
            return sequence[number % len(sequence)]
        raise self._error(
            f"the script has no reply for request {number + 1}: it has {len(sequence)} without a condition, "
            f"and no condition holds. The user's last text is {last_user_text(request)[:200]!r}; "
            f"the request ends with {len(last_results(request))} tool results",
            "bad_request",
        )

    def _times_asked(self, request: ModelRequest) -> int:
        """Return how often these turns were asked about, this time included."""
        turns = tuple(request.turns)
        return sum(
            len(asked.turns) == len(turns) and asked.turns[-1:] == turns[-1:] for asked in self.requests
        )

    def _reply(self, scripted: ScriptedReply, request: ModelRequest) -> Reply:
        results = last_results(request)
        said = {"{user}": last_user_text(request), "{result}": results[-1] if results else ""}
        text = re.sub(r"\{user\}|\{result\}", lambda found: said[found[0]], scripted.text)
        origin = request.turns[-1].id[:8] if request.turns else "0"
        calls = tuple(
            RawCall(
                call.id or f"call_{origin}_{number}",
                call.name,
                call.args if isinstance(call.args, str) else json.dumps(call.args, ensure_ascii=False),
            )
            for number, call in enumerate(scripted.tool_calls, 1)
        )
        return Reply(
            text=text,
            calls=calls,
            usage=scripted.usage or self._counted(request, text + "".join(call.arguments for call in calls)),
            model=self.spec.name,
            finish_reason=scripted.finish_reason or ("tool_calls" if calls else "stop"),
            provider_data=scripted.provider_data,
        )

    def _counted(self, request: ModelRequest, answer: str) -> Usage:
        tokens_in = (len(request.system) + sum(len(turn.text) for turn in request.turns)) // 4
        tokens_out = math.ceil(len(answer) / 4)
        price = self.spec.price or Price(input=0.0, output=0.0)
        usd = (tokens_in * price.input + tokens_out * price.output) / 1_000_000
        return Usage(input_tokens=tokens_in, output_tokens=tokens_out, usd=usd, estimated=True)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(min(seconds, self.spec.timeout))
        if seconds > self.spec.timeout:
            raise self._error(f"the script was silent for {self.spec.timeout:g} s", "timeout", retryable=True)

    async def _fail(self, error: ScriptedError) -> None:
        kind = error.kind()
        if kind == "timeout" and error.status is None:
            await self._wait(math.inf)
        raise self._error(
            error.message,
            kind,
            status=error.status,
            retry_after=error.retry_after,
            retryable=kind in PASSING if error.retryable is None else error.retryable,
        )

    def _error(self, message: str, fault: Fault, **facts: Any) -> ProviderError:
        message = f"{self.spec.name}: {message}"
        return ProviderError(message, provider=self.spec.provider, model=self.spec.name, fault=fault, **facts)


def scripted(*replies: str | Mapping[str, Any], name: str = "scripted/test", **params: Any) -> ScriptedModel:
    """Return a model that gives these replies in order; `params` are those of a script, and `timeout`."""
    timeout = params.pop("timeout", 60.0)
    return ScriptedModel(ModelSpec(name, timeout=timeout, params={"replies": replies, **params}))


def _pieces(reasoning: str, reply: Reply, chunk: int | None) -> Iterator[Piece]:
    def cut(text: str) -> list[str]:
        return re.findall(r"\s*\S+|\s+$" if chunk is None else rf"(?s).{{1,{chunk}}}", text)

    yield from map(ReasoningPiece, cut(reasoning))
    yield from map(TextPiece, cut(reply.text))
    for index, call in enumerate(reply.calls):
        yield CallPiece(index, call.id, call.name)
        yield from (CallPiece(index, arguments=part) for part in cut(call.arguments))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedCall(_Strict):
    """A tool call. `args` is a table, or text that is sent as it is, to be as broken as a model's may be."""

    name: str
    args: dict[str, Any] | str = Field(default_factory=dict)
    id: str | None = None  # made from the last turn's id where it is not given


class ScriptedError(_Strict):
    """A failure. The fault `timeout` is silence until the model's `timeout` is over."""

    message: str = "the script says so"
    status: int | None = None
    fault: Fault | None = None  # follows from `status` where it is not given
    retryable: bool | None = None  # follows from `fault`
    retry_after: float | None = None  # seconds
    after: int = Field(0, ge=0)  # pieces that come first
    times: float = Field(math.inf, gt=0)  # applies only this many times for the same turns

    def kind(self) -> Fault:
        if self.fault:
            return self.fault
        if self.status is None:
            return "broken_stream" if self.after else "unavailable"
        return "unavailable" if self.status >= 500 else FAULTS.get(self.status, "bad_request")


class ScriptedReply(_Strict):
    """One reply. In `text`, `{user}` stands for the user's last text and `{result}` for the last tool result.

    A reply with a condition answers the user, and not the results of tools unless it has `result`.
    """

    when: str | None = None  # the user's last text contains it; case does not matter
    system: str | None = None  # the system prompt contains it
    result: bool | str | None = None  # the request ends with tool results, or with one that contains this

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    usage: Usage | None = None  # without it four characters count as a token, and cost nothing
    finish_reason: Literal["stop", "length", "tool_calls", "filtered", "refused", "malformed"] | None = None
    provider_data: dict[str, Any] | None = None
    delay: float = Field(0, ge=0)  # seconds before the first piece
    pause: float = Field(0, ge=0)  # seconds before each other piece
    error: ScriptedError | None = None

    @property
    def conditional(self) -> bool:
        return any(condition is not None for condition in (self.when, self.system, self.result))

    def answers(self, request: ModelRequest) -> bool:
        """Return whether the conditions hold."""
        results = last_results(request)
        return (
            bool(results) is (self.result not in (None, False))
            and (not isinstance(self.result, str) or any(self.result in result for result in results))
            and (self.when or "").casefold() in last_user_text(request).casefold()
            and (self.system or "") in request.system
        )


def _from_text(reply: Any) -> Any:
    return {"text": reply} if isinstance(reply, str) else reply


class Script(BaseModel):
    """What `params` and a script file may hold. Other params, a temperature say, mean nothing to a script."""

    replies: tuple[Annotated[ScriptedReply, BeforeValidator(_from_text)], ...]
    chunk: int | None = Field(None, gt=0)  # characters of a piece; a word where it is not given
    repeat: bool = False  # begin again when all replies are used
    restart: bool = False  # count from the last user turn, not from the beginning of the conversation


def read(spec: ModelSpec) -> Script:
    """Return the script of a model, from its params or its file."""
    found: Mapping[str, Any] = {}
    if "replies" not in spec.params:
        found = ECHO if spec.model == "echo" else _read_file(spec)
    try:
        return Script.model_validate({**found, **spec.params})
    except ValidationError as error:
        wrong = misfits(error.errors(), whole="the script")
        raise ConfigError(f"the script of {spec.name!r} is wrong: {wrong}") from error


def _read_file(spec: ModelSpec) -> Mapping[str, Any]:
    path = Path(spec.model).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        hint = "name a script file or scripted/echo, or give params.replies"
        raise ConfigError(f"model {spec.name!r}: cannot read {path}: {error.strerror}; {hint}") from error
    except ValueError as error:
        raise ConfigError(f"model {spec.name!r}: {path} is not valid {path.suffix[1:]}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"model {spec.name!r}: {path} must hold a table with replies")
    return content


def last_user_text(request: ModelRequest) -> str:
    """Return what the user said last."""
    return next((turn.text for turn in reversed(request.turns) if turn.role == "user"), "")


def last_results(request: ModelRequest) -> list[str]:
    """Return the tool results that the request ends with."""
    results: list[str] = []
    for turn in reversed(request.turns):
        if turn.role != "tool":
            break
        results.insert(0, turn.text)
    return results
