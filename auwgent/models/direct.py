"""Endpoints that speak OpenAI's chat wire format, asked over an HTTP client of our own: LiteLLM is not loaded."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from auwgent.errors import ConfigError, ProviderError
from auwgent.models import wire
from auwgent.models.answer import answer_to, reported, unfinished
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply
from auwgent.models.events import redirected
from auwgent.models.faults import explained
from auwgent.models.http import HTTPStatusError, head_of, patience, proxy_for, read_to_the_end, session
from auwgent.models.listed import listed
from auwgent.models.prices import estimated, known_usd, listed_usd
from auwgent.models.providers import PROVIDERS, chat_url, family, not_direct, provider
from auwgent.models.received import Json, answered
from auwgent.session import Usage

# Arguments of LiteLLM's own, which a provider would only wonder at.
LITELLMS_ARGUMENTS = frozenset(
    (
        *("drop_params", "additional_drop_params", "allowed_openai_params", "api_version", "extra_query"),
        *("cache_control_injection_points", "input_cost_per_token", "output_cost_per_token"),
    )
)


def is_direct(spec: ModelSpec, environ: Mapping[str, str]) -> bool:
    """Return whether `spec` is asked this way. Raises `ConfigError` where it should be and cannot.

    `auto` is this way where LiteLLM speaks the very same format to the provider, and has nothing to do besides.
    """
    if spec.via == "litellm":
        return False
    foreign = sorted(LITELLMS_ARGUMENTS & spec.params.keys())
    problem = not_direct(spec, environ)
    if foreign and not problem:
        problem = f"its params have {', '.join(map(repr, foreign))}, which LiteLLM alone understands"
    if spec.via == "auto":
        known = PROVIDERS.get(spec.provider)
        return problem is None and known is not None and not known.exact
    if problem:
        raise ConfigError(
            f"{spec.name} cannot be asked via = 'direct': {problem}. Set via to 'litellm' or 'auto'"
        )
    return True


class DirectModel:
    """A model behind OpenAI's chat wire format, whoever serves it."""

    def __init__(self, spec: ModelSpec) -> None:
        wire.check_params(spec)
        self.spec = spec
        self._url = chat_url(spec, os.environ)
        self._proxy = proxy_for(self._url)

    def __repr__(self) -> str:
        return f"<DirectModel {self.spec.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        answer = answer_to(self.spec, request)
        failure: ProviderError | None = None
        try:
            async with aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    answer.ending.hear(chunk)
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
        async with client.post(
            self._url,
            data=json.dumps(self._body(request), ensure_ascii=False).encode(),
            headers=self._headers(),
            timeout=patience(self.spec.timeout, whole=not request.stream),
            proxy=self._proxy,
            allow_redirects=False,  # the key is for this address
        ) as response:
            if response.status >= 400:
                raise HTTPStatusError(response, await head_of(response))
            if response.status >= 300:
                raise redirected(response.headers.get("Location", ""))
            async for chunk in answered(response.content.iter_any()):
                yield chunk
            await read_to_the_end(response)

    def _headers(self) -> Mapping[str, str]:
        from multidict import CIMultiDict

        spec = self.spec
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        if spec.api_key and not urlsplit(self._url).username:
            headers["Authorization"] = f"Bearer {spec.api_key}"
        headers.update(spec.params.get("extra_headers") or {})
        headers.update(spec.headers)
        return headers

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        spec = self.spec
        known = provider(spec)
        body = wire.params(spec, listed(spec) if family(spec).needs_limit else {}, request.most)
        body.pop("extra_headers", None)
        body |= body.pop("extra_body", None) or {}
        if known.chat and self._url.startswith(f"{known.chat}/") and "max_tokens" in body:
            body[known.limit_name] = body.pop("max_tokens")  # OpenAI's newer models refuse the old name
        body |= {"model": spec.model, "messages": wire.messages(spec, request), "stream": request.stream}
        if request.stream and known.stream_options:
            body["stream_options"] = {"include_usage": True}
        body = {**known.body, **body}
        if request.tools:
            body["tools"] = wire.tools(spec, request)
        if request.output:
            body["response_format"] = wire.response_format(self.spec, request)
        return body
