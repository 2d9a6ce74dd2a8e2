"""The gate before all routes: host, origin, user, rate, content type and size of every request."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import Message, Receive, Scope, Send

from auwgent.config import ServeConfig
from auwgent.config.serve import is_loopback
from auwgent.serve.faults import Refusal, refusal_of
from auwgent.serve.users import Users
from auwgent.session import new_id

log = logging.getLogger("auwgent.serve.access")

_SHOWN = (
    "X-Request-Id, X-Session-Id, X-Run-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Gate:
    """Lets a request in, with `scope["state"]["who"]`, or answers why not. `public` paths need no token."""

    def __init__(self, app: Router, config: ServeConfig, users: Users, public: Collection[str]) -> None:
        self._app, self._config, self._users = app, config, users
        self._public = frozenset(public)
        self._hosts = {name.lower().strip("[]") for name in (*config.hosts, config.host)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            await self._let_in(scope, receive, answer)
        except Exception as error:
            refusal = refusal_of(self._of_route(error, scope) if isinstance(error, HTTPException) else error)
            if answer.begun:  # all that is left is to break it off
                answer.cut()
                return
            if refusal.status == 413:
                answer.headers["Connection"] = "close"
            await refusal.response()(scope, receive, answer)
        finally:
            answer.log()

    async def _let_in(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        is_page = self._check_origin(headers, answer)
        if is_page and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, answer)
            return
        if scope["path"] not in self._public:
            who, window = await self._users.of(headers)
            scope.setdefault("state", {})["who"] = who
            if window is not None:
                answer.headers.update(window.take())
        receive = self._limited(headers, receive, answer)
        _check_type(scope, headers)
        # Paths stay as they were sent, so that a slash in an id ends no part; routes decode their parts.
        scope = {**scope, "app": self._app, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, answer)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        name = _host_of(given[0]) if len(given) == 1 else ""
        if not name or not (is_loopback(name) or name in self._hosts):
            words = "this server does not answer to that Host; `hosts` in its [serve] names those it does"
            raise Refusal(421, "unknown_host", words)

    def _check_origin(self, headers: Headers, answer: _Answer) -> bool:
        """Return whether the request comes from a page elsewhere that may call."""
        origin = headers.get("origin")
        if origin is None:
            return False
        if _same_place(origin, headers.get("host", "")):
            return False
        if origin not in self._config.origins and "*" not in self._config.origins:
            words = "pages of that origin may not call; `origins` in [serve] names those that may"
            raise Refusal(403, "foreign_origin", words)
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = _SHOWN
        answer.headers["Vary"] = "Origin"
        return True

    def _limited(self, headers: Headers, receive: Receive, answer: _Answer) -> Receive:
        most = self._config.max_body
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise _too_large(most)
        come = 0

        async def counted() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most:
                raise _too_large(most)
            return message

        return counted

    def _of_route(self, error: HTTPException, scope: Scope) -> Refusal:
        """Return the refusal of what no route takes."""
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        words = {
            404: f"there is no route {scope['path']!r} here",
            405: f"{scope['method']} is not for this route",
        }
        message = words.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        if "Allow" in headers:  # of one route of the path, where there may be several
            headers["Allow"] = ", ".join(sorted(self._methods(scope)))
        return Refusal(error.status_code, code, message, headers=headers)

    def _methods(self, scope: Scope) -> set[str]:
        """Return the methods of all routes that have the path of a request."""
        found: set[str] = set()
        asked = {**scope, "path": scope["raw_path"].decode("latin-1")}
        for route in self._app.routes:
            if isinstance(route, Route) and route.matches(asked)[0] is not Match.NONE:
                found |= route.methods or set()
        return found


class _Answer:
    """Sends the answer, with headers that all answers have, and tells the log how it ended."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._since = time.monotonic()
        self.headers = {"X-Request-Id": f"req_{new_id()}", "X-Content-Type-Options": "nosniff"}
        self.status = 0

    @property
    def begun(self) -> bool:
        """Whether something of it has left already."""
        return self.status > 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers[name] = value
        await self._send(message)

    def cut(self) -> None:
        """Break the connection off, as the answer cannot be completed."""
        transport = self._scope.get("state", {}).get("transport")
        if transport is not None:
            transport.abort()

    def log(self) -> None:
        """Say what was asked, without its query: that may hold what nobody else is to read."""
        seconds = time.monotonic() - self._since
        path = self._scope["path"].encode("unicode_escape").decode()
        log.info("%s %s %d %.3f s", self._scope["method"], path, self.status, seconds)


def _host_of(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _same_place(origin: str, host: str) -> bool:
    try:
        of, to = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
        default = _DEFAULT_PORTS.get(of.scheme, 0)
        return bool(of.hostname) and (of.hostname, of.port or default) == (to.hostname, to.port or default)
    except ValueError:
        return False


def _check_type(scope: Scope, headers: Headers) -> None:
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind != "application/json":
        raise Refusal(
            415, "unsupported_media_type", "a body must be JSON, with Content-Type: application/json"
        )


def _preflight(headers: Headers) -> Response:
    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)


def _too_large(most: int) -> Refusal:
    return Refusal(413, "body_too_large", f"the body is larger than {most} bytes, which `max_body` allows")
