"""Reserves the most a request may use before it is sent, and settles it when its usage is known."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from auwgent.errors import ProviderError
from auwgent.models import sent, wire
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply, Route
from auwgent.models.listed import listed
from auwgent.models.prices import highest_rates
from auwgent.models.providers import IN_PROCESS
from auwgent.models.quotes import Quote
from auwgent.session import Media, Usage

LEAST = 256  # tokens of output: with fewer a request is not worth its price
MOST = 16_384  # tokens of output that are asked for where nobody says how many a model may write
AROUND_A_TURN, AROUND_A_REQUEST, AROUND_TOOLS = 40, 256, 512  # tokens that a provider may add
AN_IMAGE, AN_ADDRESS = 10_000, 50_000  # tokens, at most, of a small image, and of what is behind a URL


async def asked(route: Route, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
    """Ask a model, once the most that this may use is set aside."""
    if request.purse is None:
        sent.tell(route.spec, request)
        async with aclosing(route.ask(request)) as pieces:
            async for piece in pieces:
                yield piece
        return
    quote = quoted(route.spec, request)
    reserved = await request.purse.reserve(quote)
    most = reserved.output_tokens
    is_lowered = most is not None and not (quote.is_limited and most == quote.output_tokens)
    limit = most // _answers(route.spec) if most is not None and is_lowered else None
    begun, request = False, replace(request, most=limit)
    sent.tell(route.spec, request)
    try:
        async with aclosing(route.ask(request)) as pieces:
            async for piece in pieces:
                begun = True
                if isinstance(piece, Reply) and _is_told(route.spec, piece.usage):
                    await reserved.settle(piece.usage)
                yield piece
    except ProviderError as error:
        if not begun and error.status is not None and error.status >= 400:
            await reserved.release()  # refused: nothing was made of it
        raise
    finally:
        reserved.keep()  # what was neither settled nor released


def quoted(spec: ModelSpec, request: ModelRequest) -> Quote:
    """Return what a model may use at most for a request."""
    if spec.provider in IN_PROCESS and spec.own is None:
        return Quote(spec.name, 0, 0, is_limited=True, rates=(0.0, 0.0))
    own = {} if spec.own is not None else listed(spec)
    params = wire.params(spec, own)
    given = next((params[name] for name in wire.OUTPUT_LIMITS if type(params.get(name)) is int), None)
    known = given or own.get("max_output_tokens")
    thinking = spec.params.get("thinking")
    budget = thinking.get("budget_tokens", 0) if isinstance(thinking, Mapping) else 0
    return Quote(
        spec.name,
        input_bound(request),
        int(known or MOST) * _answers(spec),
        is_limited=known is not None,
        least=LEAST + budget,
        rates=highest_rates(spec),
    )


def embedding(spec: ModelSpec, texts: Sequence[str]) -> Quote:
    """Return what a model may use at most to make vectors of texts."""
    free = spec.provider in IN_PROCESS
    tokens = 0 if free else sum(len(text.encode("utf-8", "replace")) + AROUND_A_TURN for text in texts)
    return Quote(spec.name, tokens, 0, is_limited=True, rates=(0.0, 0.0) if free else highest_rates(spec))


def input_bound(request: ModelRequest) -> int:
    """No tokenizer makes more tokens than there are bytes."""
    told: list[Any] = [request.system]
    tokens = AROUND_A_REQUEST + AROUND_A_TURN * (len(request.turns) + len(request.tools))
    tokens += AROUND_TOOLS if request.tools else 0
    for turn in request.turns:
        calls = [(call.name, call.args, call.raw_args) for call in turn.tool_calls or ()]
        told += [turn.text, calls, turn.provider_data]
        for part in turn.content if isinstance(turn.content, list) else ():
            if isinstance(part, Media):
                tokens += AN_ADDRESS if part.data is None else max(AN_IMAGE, len(part.data))
    told += [(tool.name, tool.description, dict(tool.parameters)) for tool in request.tools]
    if request.output is not None:
        told.append(dict(request.output.schema))
    return tokens + len(json.dumps(told, ensure_ascii=False, default=str).encode("utf-8", "replace"))


def _answers(spec: ModelSpec) -> int:
    """Return how many answers the params ask for."""
    number = spec.params.get("n")
    return number if isinstance(number, int) and number > 1 else 1


def _is_told(spec: ModelSpec, usage: Usage) -> bool:
    """Return whether this is what the request has used. What we have guessed of a provider's is not."""
    return not usage.estimated or spec.own is not None or spec.provider in IN_PROCESS
