"""Models asked over an HTTP client of our own, in the wire formats it speaks: LiteLLM is not loaded."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from auwgent.errors import ConfigError, ProviderError
from auwgent.models import wire
from auwgent.models.answer import answer_to, reported, unfinished
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply
from auwgent.models.events import redirected
from auwgent.models.faults import explained
from auwgent.models.formats import format_of
from auwgent.models.http import HTTPStatusError, head_of, patience, proxy_for, read_to_the_end, session
from auwgent.models.listed import listed
from auwgent.models.pauses import until_done
from auwgent.models.prices import estimated, known_usd, listed_usd
from auwgent.models.providers import PROVIDERS, family
from auwgent.models.received import Json, answered
from auwgent.session import Usage


def not_direct(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    """Return why `spec` cannot be asked this way; None where it can."""
    spoken = format_of(spec)
    foreign = sorted(spoken.litellms(spec) & spec.params.keys())
    if problem := spoken.cannot(spec, environ):
        return problem
    return (
        f"its params have {', '.join(map(repr, foreign))}, which LiteLLM alone understands"
        if foreign
        else None
    )


def is_direct(spec: ModelSpec, environ: Mapping[str, str]) -> bool:
    """Return whether `spec` is asked this way. Raises `ConfigError` where it should be and cannot.

    `auto` is this way where LiteLLM speaks the very same format to the provider, and has nothing to do besides.
    """
    if spec.via == "litellm":
        return False
    problem = not_direct(spec, environ)
    if spec.via == "auto":
        known = PROVIDERS.get(spec.provider)
        return problem is None and known is not None and (known.speaks != "chat" or not known.exact)
    if problem:
        raise ConfigError(
            f"{spec.name} cannot be asked via = 'direct': {problem}. Set via to 'litellm' or 'auto'"
        )
    return True


class DirectModel:
    """A model behind one of the wire formats spoken here, whoever serves it."""

    def __init__(self, spec: ModelSpec) -> None:
        wire.check_params(spec)
        self.spec = spec
        self._format = format_of(spec)
        self._proxy = proxy_for(self._format.url(spec, os.environ, streams=True))

    def __repr__(self) -> str:
        return f"<DirectModel {self.spec.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        async with aclosing(until_done(self._ask_once, request)) as pieces:
            async for piece in pieces:
                yield piece

    async def _ask_once(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        answer = answer_to(self.spec, request)
        failure: ProviderError | None = None
        try:
            async with aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    answer.hear(chunk.sent or chunk)
                    for piece in answer.take(chunk):
                        yield piece
            failure = unfinished(self.spec, answer)
        except Exception as error:
            failure = explained(error, self.spec, begun=answer.begun)
        if failure is not None:
            raise failure  # not from its cause: that may hold the request's address, and secrets in it
        usage = reported(answer.usage) if answer.usage else Usage()
        if not usage.input_tokens and not usage.output_tokens:
            sent = json.dumps([wire.messages(self.spec, request), wire.tools(self.spec, request)])
            usage = estimated(sent, answer.written)
        usd = known_usd(self.spec, usage, getattr(answer.usage, "cost", None))
        yield answer.reply(
            self.spec.name,
            usage.model_copy(update={"usd": listed_usd(self.spec, usage) if usd is None else usd}),
        )

    async def aclose(self) -> None:
        """Do nothing: connections are shared by all models of a loop and closed at its end."""

    async def _chunks(self, request: ModelRequest) -> AsyncGenerator[Json, None]:
        """Yield what the provider sends: the pieces of an answer, or the whole of it."""
        client = await session()
        url = self._format.url(self.spec, os.environ, streams=request.stream)
        async with client.post(
            url,
            data=json.dumps(self._body(request, url), ensure_ascii=False).encode(),
            headers=self._headers(url),
            timeout=patience(self.spec.timeout, whole=not request.stream),
            proxy=self._proxy,
            allow_redirects=False,  # the key is for this address
        ) as response:
            if response.status >= 400:
                raise HTTPStatusError(response, await head_of(response))
            if response.status >= 300:
                raise redirected(response.headers.get("Location", ""))
            async for chunk in answered(response.content.iter_any(), self._format.reader()):
                yield chunk
            await read_to_the_end(response)

    def _headers(self, url: str) -> Mapping[str, str]:
        from multidict import CIMultiDict

        spec = self.spec
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        headers.update(self._format.headers(spec, url, os.environ))
        headers.update(spec.params.get("extra_headers") or {})
        headers.update(spec.headers)
        return headers

    def _body(self, request: ModelRequest, url: str) -> dict[str, Any]:
        spec = self.spec
        params = wire.params(spec, listed(spec) if family(spec).needs_limit else {}, request.most)
        params.pop("extra_headers", None)
        params |= params.pop("extra_body", None) or {}
        return self._format.body(spec, request, params, url)
