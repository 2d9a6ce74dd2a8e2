"""Models of the user's own: a class or an instance with `ask`, brought into the form in which the engine asks."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from auwgent.errors import PASSING, AuwgentError, ConfigError, Fault, ProviderError
from auwgent.models.base import (
    CallPiece,
    Model,
    ModelRequest,
    ModelSpec,
    Piece,
    RawCall,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from auwgent.models.prices import estimated, known_usd

YIELDS = "it may yield texts, TextPiece, ReasoningPiece and CallPiece, and a Reply at the end"


def opened(use: Any, spec: ModelSpec) -> Any:
    """A class as an instance made for this table; an instance as it is. `ConfigError` where it cannot be a model."""
    name = getattr(use, "__qualname__", type(use).__qualname__)
    if not callable(getattr(use, "ask", None)):
        raise ConfigError(f"{name!r} is not a model: it has no method `ask`")
    if not inspect.isclass(use):
        if spec.params:
            raise ConfigError(f"`params` are what a class is made with, and {name!r} is an instance already")
        return use
    of = getattr(use, "of", None)
    if of is None or getattr(of, "__func__", None) is Model.of.__func__:  # type: ignore[attr-defined]
        _check_params(use, name, spec)
    try:
        return use(**spec.params) if of is None else of(spec)
    except AuwgentError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:
        raise ConfigError(f"{name!r} could not be made: {type(error).__name__}: {error}") from error


def _check_params(cls: type, name: str, spec: ModelSpec) -> None:
    try:
        signature = inspect.signature(cls)
    except ValueError:
        return  # a class written in C may have none to look at
    try:
        signature.bind(**spec.params)
    except TypeError as error:
        known = ", ".join(one for one in signature.parameters if one not in ("args", "kwargs"))
        raise ConfigError(
            f"{name!r} does not take these `params`: {error}; it takes {known or 'none'}"
        ) from error


async def closed(own: Any) -> None:
    """Let a model of the user's free what it holds."""
    done = own.aclose() if callable(getattr(own, "aclose", None)) else None
    if inspect.isawaitable(done):
        await done


class OwnModel:
    """A model of the user's, with the settings of its table: time-out, price, and what it did not say of its answer."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def __repr__(self) -> str:
        return f"<OwnModel {self.spec.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        heard = _Heard()
        failure: ProviderError | None = None
        try:
            async with aclosing(_items(self.spec.own.ask(replace(request, spec=self.spec)))) as items:
                while heard.reply is None:
                    async with asyncio.timeout(self.spec.timeout):
                        item = await anext(items, None)
                    if item is None:
                        break
                    for piece in heard.take(item):
                        yield piece
            reply = self._completed(request, heard)
        except ProviderError:
            raise
        except Exception as error:
            failure = self._failure(error, begun=heard.begun)
            if not isinstance(error, TimeoutError | OSError):
                raise failure from error
        if failure is not None:
            raise failure
        yield reply

    async def aclose(self) -> None:
        """Nothing to do: the catalog closes the user's object, which has other settings elsewhere."""

    def _completed(self, request: ModelRequest, heard: _Heard) -> Reply:
        """Return the reply, with what the model left open filled in from what it streamed."""
        given = heard.reply or Reply()
        text = given.text or "".join(heard.texts)
        calls = tuple(map(_call, given.calls or heard.calls.values()))
        usage = given.usage
        if not usage.input_tokens and not usage.output_tokens:
            sent = request.system + "".join(turn.text for turn in request.turns)
            usage = estimated(sent, text + "".join(call.arguments for call in calls))
        if usage.usd is None:
            usage = usage.model_copy(update={"usd": known_usd(self.spec, usage, None)})
        return replace(given, text=text, calls=calls, usage=usage, model=given.model or self.spec.name)

    def _failure(self, error: Exception, *, begun: bool) -> ProviderError:
        fault: Fault
        if isinstance(error, TimeoutError):
            fault, words = "timeout", f"said nothing for {self.spec.timeout:g} s; its `timeout` may be raised"
        elif isinstance(error, OSError):
            fault, words = "unavailable", f"could not be reached: {type(error).__name__}: {error}"
        else:
            fault, words = "protocol", f"failed in `ask`: {type(error).__name__}: {error}"
        if begun and fault in PASSING:
            fault = "broken_stream"
        return ProviderError(
            f"{self.spec.name} {words}",
            provider=self.spec.provider,
            model=self.spec.name,
            fault=fault,
            retryable=fault in PASSING,
        )


class _Heard:
    """Collects what a model has yielded so far."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: dict[int, RawCall] = {}
        self.reply: Reply | None = None
        self.begun = False

    def take(self, item: Any) -> list[Piece]:
        """Remember an item; what is to be shown of it. `TypeError` for what a model may not yield."""
        if isinstance(item, Reply):
            self.reply = item
            return []
        if isinstance(item, str):
            item = TextPiece(item)
        if not isinstance(item, TextPiece | ReasoningPiece | CallPiece):
            raise TypeError(f"it gave a {type(item).__name__}; {YIELDS}")
        self.begun = True
        if isinstance(item, TextPiece):
            self.texts.append(item.text)
        elif isinstance(item, CallPiece):
            call = self.calls.get(item.index) or RawCall("", "", "")
            self.calls[item.index] = RawCall(
                call.id or item.id or "", call.name or item.name or "", call.arguments + item.arguments
            )
        return [item]


async def _items(answer: Any) -> AsyncGenerator[Any, None]:
    """Yield the items of `ask`, which may be a generator, or a coroutine that returns one text or reply."""
    if inspect.isawaitable(answer):
        answer = await answer
    if not isinstance(answer, AsyncIterator):
        yield answer
        return
    try:
        async for item in answer:
            yield item
    finally:
        if hasattr(answer, "aclose"):
            await answer.aclose()


def _call(call: RawCall) -> RawCall:
    """Arguments may be given as an object, too."""
    arguments: Any = call.arguments
    return (
        call
        if isinstance(arguments, str)
        else replace(call, arguments=json.dumps(arguments, ensure_ascii=False))
    )
