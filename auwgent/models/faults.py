"""Explains LiteLLM's exceptions: one fault, one sentence, no secret.

LiteLLM's status codes cannot be trusted: an overload (529), a refused connection, a missing key and a web page
all may arrive as 500. What really came over HTTP stands at the end of an exception's chain of causes; where
nothing did, its text and class decide. Classes are known by name, since their library is imported late.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from auwgent.errors import PASSING, Fault, ProviderError
from auwgent.models.base import ModelSpec, Reply
from auwgent.models.events import Unusable
from auwgent.models.providers import key_places
from auwgent.models.received import APIError, BrokenOff
from auwgent.secrecy import scrubbed
from auwgent.session import now

WORDS = 300  # characters of the provider's own words

# The first of an exception's classes that is here counts.
BY_CLASS: dict[str, Fault] = {
    "ContextWindowExceededError": "context",
    "ContentPolicyViolationError": "filtered",
    "ContentFilterFinishReasonError": "filtered",
    "GuardrailRaisedException": "filtered",
    "BlockedPiiEntityError": "filtered",
    "RejectedRequestError": "filtered",
    "ModifyResponseException": "filtered",
    "SensitiveDataRouteException": "filtered",
    "BudgetExceededError": "auth",
    "PaymentRequiredError": "auth",
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "SubjectTokenProviderError": "auth",
    "NotFoundError": "not_found",
    "LiteLLMUnknownProvider": "not_found",
    "RateLimitError": "rate_limit",
    "Timeout": "timeout",
    "APITimeoutError": "timeout",
    "TimeoutError": "timeout",
    "MidStreamFallbackError": "broken_stream",
    "LengthFinishReasonError": "broken_stream",
    "WebSocketConnectionClosedError": "broken_stream",
    "WebSocketQueueFullError": "unavailable",
    "APIResponseValidationError": "protocol",
    "InvalidWebhookSignatureError": "protocol",
    "UnprocessableEntityError": "bad_request",
    "BadRequestError": "bad_request",
    "ModelNotMappedError": "bad_request",
    "ConflictError": "unavailable",
    "ServiceUnavailableError": "unavailable",
    "BadGatewayError": "unavailable",
    "InternalServerError": "unavailable",
    "APIConnectionError": "unavailable",
    "APIError": "unavailable",
    # aiohttp's
    "ServerTimeoutError": "timeout",
    "ClientResponseError": "protocol",
    "InvalidURL": "protocol",
    "ClientError": "unavailable",
    "OpenAIError": "protocol",
}
_BY_STATUS: dict[int, Fault] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "unavailable",
    425: "unavailable",
    429: "rate_limit",
    501: "bad_request",  # what was asked for is not there, now or later
    504: "timeout",
}


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_TOO_LONG = _pattern(
    r"context.?(length|window|size)",
    r"maximum context",
    r"(prompt|input) is too long",
    r"too many (input )?tokens",
    r"exceeds? .{0,60}(maximum|limit).{0,60}tokens",
    r"tokens? .{0,60}exceeds?",
)
_FILTERED = _pattern(r"content.?policy", r"content.?(management|filter)", r"responsible ai")
_NO_KEY = _pattern(
    r"api.?key client option must be set",
    r"missing .{0,30}(api.?key|credentials)",
    r"no api.?key",
    r"api.?key (is )?(required|not valid|not found|invalid)",
    r"invalid (x-)?api.?key",
    r"api_key_invalid",
    r"(unable to locate|could not load|default) credentials",
)
_NO_MODEL = _pattern(r"model.{0,60}(not found|does not exist|not exist)", r"llm provider not provided")
_NO_ENDPOINT = _pattern(
    r"empty or invalid response from llm endpoint",
    r"(no|returned) 'choices'",
    r"unexpected response",
    r"ended before a finish_reason",
    r"<html",
    r"<!doctype",
    r"converting to valid response",
    r"expecting (value|property name|',' delimiter|':' delimiter)",
    r"unterminated string",
    r"traceback \(most recent call last\)",  # LiteLLM's own, over an answer it could not make sense of
    r"jsondecodeerror",
    r"unable to (get|parse|decode) json",
    r"(invalid|not valid|error parsing|failed to parse).{0,20}json",
)
_NOT_INSTALLED = _pattern(r"no module named", r"pip install")
_TOO_SLOW = _pattern(r"timed? ?out")
_OUT_OF_MONEY = _pattern(r"insufficient_quota", r"exceeded your current quota", r"billing", r"credit balance")

_THOUGHTS = _pattern(
    r"encrypted.?(content|reasoning)",
    r"invalid.{0,20}signature.{0,40}(thinking|thought)",
    r"(thinking|thought|reasoning).{0,40}(signature|blocks?|items?)\b",
)

_SAYS: dict[Fault, str] = {
    "auth": "{model} refused the API key, or the key may not do this. Check {key}.",
    "not_found": "{model} was not found{at}. Check the model's name and its base_url.",
    "context": "The conversation is too long for {model}. Shorten it, as `auwgent.middleware.Compaction` does, "
    "or use a model that reads more.",
    "bad_request": "{model} refused the request as it is. Check its params, the tools and attachments.",
    "rate_limit": "{model} has had too many requests. Wait, or raise the limit at the provider.",
    "unavailable": "{model} cannot be reached or is down{at}. Try again later, or give it fallbacks.",
    "timeout": "{model} did not answer in time{at}. Try again, or raise its timeout.",
    "broken_stream": "{model} broke off in the middle of its answer. Try again.",
    "protocol": "The server behind {model}{at} is not an LLM endpoint. Check its base_url.",
    "filtered": "{model} refused by its content filter. Say it differently.",
}
_REFUSED = "{model} refused to answer. Say it differently, or ask another model."
_NO_ROOM = (
    "{model} reached the limit of its answer before it said anything: thinking may have taken it all. "
    "Raise max_tokens in its params, or let it think less."
)
_CUT = "{model} was cut off at the limit of its answer. Raise max_tokens in its params, or ask for less."
_NEEDS = "{model} needs a library that is not installed."
_GARBLED = "{model} wrote a tool call that its provider could not read. Try again."
_MONEY = "{model} refused because its quota or credit is used up. Look at the account at the provider."


def refuses_thoughts(error: Exception) -> bool:
    """Return whether a provider does not take back what its model thought: signed by another key, say, or outdated."""
    return (
        isinstance(error, ProviderError)
        and error.fault == "bad_request"
        and bool(_THOUGHTS.search(str(error)))
    )


def explained(error: BaseException, spec: ModelSpec, *, begun: bool = False) -> ProviderError:
    """Return what the user is told of `error`, which a call to `spec` raised; `begun` after a part of the answer."""
    try:
        return _explained(error, spec, begun=begun)
    except Exception:  # that an error cannot be explained must not hide that the call failed
        return broken_off(spec, begun=begun)


def _explained(error: BaseException, spec: ModelSpec, *, begun: bool) -> ProviderError:
    chain = list(_chain(error))  # what was found on the way says more than what LiteLLM made of it
    found = next((one for one in chain if isinstance(one, APIError | Unusable | BrokenOff)), None)
    if isinstance(found, BrokenOff):
        return broken_off(spec, begun=begun or found.begun)
    if isinstance(found, Unusable):
        sentence = f"The server behind {{model}}{{at}} {_literal(found.told)}."
        return _error(spec, found.fault, sentence=sentence, retryable=False)
    if found is not None:
        error, chain, begun = found, [found], begun or found.begun
    said = getattr(error, "original_exception", None) or error
    text = str(getattr(said, "message", None) or said)
    if _http_error(chain) is None and _NOT_INSTALLED.search(text) and not isinstance(error, APIError):
        words = "pip install 'auwgent[vertex]'" if spec.provider == "vertex_ai" else _provider_words(text)
        return _error(spec, "bad_request", words=words, sentence=_NEEDS, retryable=False)
    status = _status(chain)
    fault = _fault(said, text, status, chain)
    if begun and (said is not error or fault not in ("timeout", "filtered")):
        fault = "broken_stream"
    broke = fault == "rate_limit" and bool(_OUT_OF_MONEY.search(text))
    return _error(
        spec,
        fault,
        words=_provider_words(text),
        sentence=_MONEY if broke else None,
        status=None if fault == "protocol" else status,
        retryable=fault in PASSING and not broke,
        retry_after=_retry_after(chain),
    )


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def broken_off(spec: ModelSpec, *, begun: bool, words: str = "") -> ProviderError:
    """Return the error for an answer without an end: it broke off, or it never came from a model."""
    fault: Fault = "broken_stream" if begun else "protocol"
    return _error(spec, fault, words=words, retryable=begun)


def garbled(spec: ModelSpec, words: str) -> ProviderError:
    """Return the error for a call that its provider could not parse; another try may do better."""
    return _error(spec, "broken_stream", words=words, sentence=_GARBLED, retryable=True)


def ended(spec: ModelSpec, reply: Reply) -> ProviderError | None:
    """Return why a reply is not a finished answer; None where its end is in order."""
    match reply.finish_reason:
        case "filtered" | "refused":
            sentence = None if reply.finish_reason == "filtered" else _REFUSED
            return _error(spec, "filtered", words=reply.said, sentence=sentence, retryable=False)
        case "length":
            sentence = _CUT if reply.text or reply.calls else _NO_ROOM
            return _error(spec, "protocol", words=reply.said, sentence=sentence, retryable=False)
        case "malformed":
            return garbled(spec, reply.said)
    return None


def _error(
    spec: ModelSpec,
    fault: Fault,
    *,
    words: str = "",
    sentence: str | None = None,
    status: int | None = None,
    retryable: bool,
    retry_after: float | None = None,
) -> ProviderError:
    address = _address(spec)
    text = (sentence or _SAYS[fault]).format(
        model=spec.name,
        at=f" at {address}" if address else "",
        key=key_places(spec),
    )
    if status is not None:
        text += f" (HTTP {status})"
    if words:
        text += f" {'The provider says' if status else 'Details'}: {scrubbed(words, _secrets(spec))}"
    return ProviderError(
        text,
        provider=spec.provider,
        model=spec.name,
        fault=fault,
        status=status,
        retryable=retryable,
        retry_after=retry_after,
    )


def _fault(error: BaseException, text: str, status: int | None, chain: Sequence[BaseException]) -> Fault:
    by_class = next((BY_CLASS[name] for name in _names(error) if name in BY_CLASS), None)
    if by_class in ("context", "filtered"):
        return by_class
    if status in (None, 400, 413, 422, 500) and _TOO_LONG.search(text):
        return "context"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in (None, 400) and _NO_KEY.search(text):
        return "auth"
    if by_class == "timeout" or (status is None and _TOO_SLOW.search(text)):
        return "timeout"
    if any(isinstance(one, OSError) or "TransportError" in _names(one) for one in chain):
        return "unavailable"
    if _http_error(chain) is None and not isinstance(error, APIError) and _NO_ENDPOINT.search(text):
        return "protocol"
    if status in (400, 422):
        if _FILTERED.search(text):
            return "filtered"
        return "not_found" if _NO_MODEL.search(text) else "bad_request"
    if status is not None:
        return "unavailable" if status >= 500 else "bad_request"
    return by_class or "protocol"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what LiteLLM says it stems from, and what those were raised from or over."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "original_exception", None), one.__cause__, one.__context__]


def _names(error: BaseException) -> list[str]:
    return [cls.__name__ for cls in type(error).__mro__]


def _http_error(chain: Sequence[BaseException]) -> Any:
    """Return the HTTP client's own error, if the provider answered with one."""
    return next((error for error in chain if "HTTPStatusError" in _names(error)), None)


def _status(chain: Sequence[BaseException]) -> int | None:
    """Return the status that came over HTTP; None where none did, whatever LiteLLM says."""
    if (error := _http_error(chain)) is not None:
        return int(error.response.status_code)
    claimed = getattr(chain[0], "status_code", None)
    if isinstance(chain[0], APIError):
        return chain[0].status_code
    # LiteLLM's own default is 500; what it was told in the middle of a stream may be another.
    return (
        claimed if isinstance(claimed, int) and 400 <= claimed < 600 and claimed not in (422, 500) else None
    )


def _retry_after(chain: Sequence[BaseException]) -> float | None:
    """Seconds the provider asked to wait."""
    for error in chain:
        for headers in (
            getattr(error, "litellm_response_headers", None),
            getattr(getattr(error, "response", None), "headers", None),
        ):
            value = headers.get("retry-after") if headers else None
            if value is not None:
                return _seconds(value)
    return None


def _seconds(value: str) -> float | None:
    """Return a Retry-After header: seconds, or the date to wait for."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now()).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


_PREFIX = re.compile(r"\s*(litellm\.)?(\w*(Error|Exception)|Timeout(?=:))\b[\s:-]*")
_NOISE = re.compile(
    r"\s*(Original exception:|LiteLLM Retried|Received Model Group|Check the reverse proxy|Handle with `"
    r"|File an issue|Traceback \().*|\bssl:<[^>]*> ?",
    re.DOTALL,
)
_BYTES = re.compile(r"b'.*'|b\".*\"", re.DOTALL)


def _provider_words(text: str) -> str:
    """Return what the provider itself wrote, on one line, without LiteLLM's class names around it."""
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    text = _message_in(_NOISE.sub("", text))
    text = " ".join(text.split())
    return text if len(text) <= WORDS else text[: WORDS - 1] + "…"


def _message_in(text: str) -> str:
    """Return the message within a JSON body, as Anthropic's and Gemini's errors are; LiteLLM may write it as bytes."""
    if _BYTES.fullmatch(text):
        with suppress(ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
            text = ast.literal_eval(text).decode(errors="replace")
    start = text.find("{")
    try:
        body, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, IndexError, RecursionError):
        return text
    inner = body.get("error", body)
    message = inner.get("message") if isinstance(inner, dict) else inner
    return message if isinstance(message, str) and message else text


def _secrets(spec: ModelSpec) -> set[str]:
    parts = urlsplit(spec.base_url or "")
    extra = spec.params.get("extra_headers") or {}
    found = {spec.api_key, parts.password, parts.username, *spec.headers.values(), *extra.values()}
    found |= {value for _, value in parse_qsl(parts.query)}
    return {value for value in found if isinstance(value, str)}


def _address(spec: ModelSpec) -> str:
    """Return the base URL without what may be secret in it."""
    if not spec.base_url:
        return ""
    parts = urlsplit(spec.base_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
