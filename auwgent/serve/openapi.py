"""The OpenAPI document of a server: the paths of its protocols, put together; and what they are written with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import auwgent

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
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_ALWAYS = (400, 401, 403, 413, 415, 421, 429, 500, 503)  # what any route may answer


def refused(*statuses: int) -> dict[str, Any]:
    """Return the answers of a route that refuses with these statuses, and with those that every route may give."""
    return {str(status): {"$ref": "#/components/responses/Error"} for status in sorted({*_ALWAYS, *statuses})}


def answer(schema: Mapping[str, Any] | str, description: str) -> dict[str, Any]:
    """Return an answer in JSON, of a schema or of one of the document's by its name."""
    of = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else dict(schema)
    return {"description": description, "content": {"application/json": {"schema": of}}}


def events(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer that may come as server-sent events, too."""
    content = {**whole["content"], "text/event-stream": {}}
    return {**whole, "content": content}


def path_text(name: str) -> dict[str, Any]:
    """Return a part of a path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def query(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    """Return a parameter of a query."""
    return {"name": name, "in": "query", "schema": dict(schema), "description": description}


def body_of(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """Return the body of a request in the document."""
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def document(
    parts: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], *, with_users: bool
) -> dict[str, Any]:
    """Return the document of these paths and schemas, a pair for each protocol."""
    paths: dict[str, Any] = dict(_own())
    schemas: dict[str, Any] = {"Error": ERROR}
    for more_paths, more_schemas in parts:
        paths |= more_paths
        schemas |= more_schemas
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Auwgent", "version": auwgent.__version__, "description": "An agent over HTTP."},
        "paths": paths,
        "components": {"schemas": schemas, "responses": {"Error": answer("Error", "An error.")}},
    }
    if with_users:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _own() -> Iterable[tuple[str, Any]]:
    status = answer(_STATUS, "How it stands.")
    for path, summary, more in (
        ("/health", "Whether the process is alive", {}),
        ("/ready", "Whether it takes requests", {"503": status}),
    ):
        yield (
            path,
            {"get": {"summary": summary, "security": [], "responses": {"200": status, **refused(), **more}}},
        )
    text = {
        "description": "OpenMetrics.",
        "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
    }
    yield "/metrics", {"get": {"summary": "Figures of this process", "responses": {"200": text, **refused()}}}
    itself = answer({"type": "object"}, "The document.")
    yield "/openapi.json", {"get": {"summary": "This document", "responses": {"200": itself, **refused()}}}
