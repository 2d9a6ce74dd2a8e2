"""What is answered where a request fails: OpenAI's form of an error, with a status and a code for each cause."""

from __future__ import annotations

import logging
import math
from typing import Any

from starlette.responses import JSONResponse

from auwgent.errors import (
    ArgumentError,
    AuwgentError,
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    Overloaded,
    ProviderError,
    RunConflict,
    RunFailed,
    RunPaused,
    SessionConflict,
    SessionNotFound,
    StoreError,
    kind_of,
)
from auwgent.secrecy import scrubbed
from auwgent.words import describe

log = logging.getLogger("auwgent.serve")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_FAULTS = {
    "context": (422, "context_too_long"),
    "timeout": (504, "provider_timeout"),
    "filtered": (400, "content_filter"),
}
_KINDS = {  # of a run that is over: the name of its error
    "LimitExceeded": (422, "limit_exceeded"),
    "StoreError": (503, "store_unavailable"),
    "cancelled": (409, "run_cancelled"),
}


class Refusal(Exception):
    """A request that is not carried out: HTTP status, a code for programs, and a sentence for people.

    `retry_after` are seconds; `retry` says whether the same request may succeed later, where the status alone would
    tell clients otherwise.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        retry: bool | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, scrubbed(message), param
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        if retry is not None:
            self.headers["x-should-retry"] = "true" if retry else "false"

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": self.message, "type": kind, "code": self.code, "param": self.param}
        return {"error": error}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """Return the refusal of a request that is wrong in itself."""
    return Refusal(400, code, message, param=param)


def refusal_of(error: BaseException) -> Refusal:
    """Return what a client is told of an error. What is the server's own fault is logged, and not told in its words."""
    match error:
        case Refusal():
            return error
        case ProviderError():
            return _of_provider(error)
        case RunFailed(kind=kind):
            return _of_kind(kind, str(error))
        case RunConflict():
            return Refusal(410 if error.code == "expired" else 409, error.code, str(error), retry=False)
        case RunPaused():
            return Refusal(409, "run_paused", str(error), retry=False)
        case MiddlewareError(__cause__=ArgumentError() | StoreError() | LimitExceeded() as cause):
            return refusal_of(cause)
        case SessionConflict():
            return Refusal(409, "session_busy", str(error), retry_after=1)
        case SessionNotFound():
            return Refusal(404, "not_found", str(error))
        case LimitExceeded():
            return Refusal(422, "limit_exceeded", str(error), retry=False)
        case Overloaded():
            return Refusal(503, "overloaded", str(error), retry_after=5)
        case StoreError():
            log.error("the store failed: %s", error)
            return Refusal(503, "store_unavailable", "the session store cannot be used now", retry_after=5)
        case ArgumentError():
            return bad_request(str(error))
        case ConfigError():
            log.error("a run could not begin: %s", error)
            return Refusal(
                500, "config_error", "the server's config is wrong; its log says what", retry=False
            )
    if isinstance(error, AuwgentError):
        log.error("a run failed: %s", describe(error))
        return Refusal(500, "run_failed", str(error), retry=False)
    log.error(
        "a request failed: %s", describe(error), exc_info=error if log.isEnabledFor(logging.DEBUG) else None
    )
    return Refusal(500, "internal_error", "the server failed; its log says where", retry=False)


def told(error: BaseException) -> dict[str, str]:
    """Return an error as `error` intents tell it: a message and a kind."""
    return {"message": scrubbed(str(error)), "kind": kind_of(error)}


def _of_provider(error: ProviderError) -> Refusal:
    status, code = _FAULTS.get(error.fault, (502, "provider_error"))
    return Refusal(status, code, str(error), retry=error.retryable, retry_after=error.retry_after)


def _of_kind(kind: str, message: str) -> Refusal:
    if kind in _FAULTS or kind in _KINDS:
        status, code = {**_FAULTS, **_KINDS}[kind]
        return Refusal(status, code, message, retry=False)
    if kind in ("auth", "not_found", "bad_request", "rate_limit", "unavailable", "broken_stream", "protocol"):
        return Refusal(502, "provider_error", message, retry=False)
    return Refusal(500, "run_failed", message, retry=False)
