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
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace
from typing import Any

from auwgent.errors import Fault, ProviderError
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
from auwgent.models.script import ScriptedError, ScriptedReply, last_results, last_user_text, read
from auwgent.session import Usage

REMEMBERED = 1000  # requests
PASSING = ("rate_limit", "unavailable", "timeout", "broken_stream")


class ScriptedModel:
    """A model that follows a script. `requests` holds what it was asked, the newest last."""

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
        """How often these turns were asked about, this time included."""
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
        price = self.spec.price or {}
        usd = (tokens_in * price.get("input", 0) + tokens_out * price.get("output", 0)) / 1_000_000
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
    """A model that gives these replies in order; `params` are those of a script, and `timeout`."""
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
