"""The OpenAPI document of a server: the paths of its protocols, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import auwgent
from auwgent.serve.protocol import Protocol

ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
                "param": {"type": ["string", "null"]},
            },
        }
    },
}
_STATUS = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}},
}


def refused(*statuses: int) -> dict[str, Any]:
    """Return the answers of a route that refuses with these statuses, and with those that every route may give."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": "An error.", "content": content}
        for status in sorted({400, 401, 403, 413, 415, 421, 429, 500, 503, *statuses})
    }


def json_of(schema: Mapping[str, Any], description: str = "The answer.") -> dict[str, Any]:
    """Return an answer, or a body, of that schema."""
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def document(protocols: Iterable[Protocol], *, with_users: bool) -> dict[str, Any]:
    """Return the document of these protocols."""
    paths: dict[str, Any] = dict(_own(with_users))
    schemas: dict[str, Any] = {"Error": ERROR}
    for protocol in protocols:
        paths |= protocol.paths
        schemas |= protocol.schemas
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Auwgent", "version": auwgent.__version__, "description": "An agent over HTTP."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if with_users:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _own(with_users: bool) -> Iterable[tuple[str, Any]]:
    status = json_of(_STATUS)
    for path, summary, more in (
        ("/health", "Whether the process is alive", {}),
        ("/ready", "Whether it takes requests", {"503": status}),
    ):
        answers = {"200": status, **refused(), **more}
        yield path, {"get": {"summary": summary, "security": [], "responses": answers}}
    text = {
        "description": "OpenMetrics.",
        "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
    }
    yield "/metrics", {"get": {"summary": "Figures of this process", "responses": {"200": text, **refused()}}}
    yield (
        "/openapi.json",
        {"get": {"summary": "This document", "responses": {"200": json_of({"type": "object"}), **refused()}}},
    )
