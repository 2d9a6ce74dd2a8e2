"""The page of `auwgent serve`: files that a browser is given, and nothing else. It speaks the public routes."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auwgent.serve.desk import Desk
from auwgent.serve.protocol import Protocol

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "markdown.js": "text/javascript; charset=utf-8",
    "turns.js": "text/javascript; charset=utf-8",
    "usage.js": "text/javascript; charset=utf-8",
}
# Nothing from elsewhere, nothing inline: not even what a model wrote, had it become more than text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}


def web(desk: Desk) -> Protocol:
    """The page. Who may talk to the agent is asked by the routes it calls; the page itself holds nothing."""
    paths = {"/" if name == "index.html" else f"/{name}": name for name in _TYPES}
    routes = [Route(path, _file, name=name) for path, name in paths.items()]
    return Protocol(routes, public=tuple(paths))


async def _file(request: Request) -> Response:
    name = request.url.path.strip("/") or "index.html"
    content, tag = _read(name)
    headers = {**_HEADERS, "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "content-type": _TYPES[name]})


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = (files("auwgent.serve") / "page" / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'
