"""Responses in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auwgent.serve.openapi import answer, body_of, events, path_text, query, refused

_NULLABLE = {"type": ["string", "null"]}
SCHEMAS: Mapping[str, Any] = {
    "ResponseRequest": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "model": {**_NULLABLE, "description": "The name of an agent."},
            "input": {"type": ["string", "array"]},
            "instructions": _NULLABLE,
            "previous_response_id": {**_NULLABLE, "minLength": 1},
            "conversation": {"type": ["string", "object", "null"], "minLength": 1},
            "store": {"type": ["boolean", "null"]},
            "background": {"type": ["boolean", "null"]},
            "stream": {"type": ["boolean", "null"]},
            "tools": {"type": ["array", "null"], "items": {"type": "object"}},
            "metadata": {"type": ["object", "null"]},
        },
    },
    "Response": {
        "type": "object",
        "required": ["id", "object", "created_at", "status", "model", "output", "error", "usage"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "response"},
            "created_at": {"type": "integer"},
            "status": {"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
            "model": {"type": "string"},
            "output": {"type": "array", "items": {"type": "object"}},
            "error": {"type": ["object", "null"]},
            "usage": {"type": ["object", "null"]},
        },
    },
}
_ID = path_text("id")
_WHOLE = answer("Response", "The response.")
PATHS: Mapping[str, Any] = {
    "/v1/responses": {
        "post": {
            "summary": "Begin a response, as Open Responses describes it",
            "parameters": [
                {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1}}
            ],
            "requestBody": body_of({"$ref": "#/components/schemas/ResponseRequest"}),
            "responses": {"200": events(_WHOLE), **refused(404, 409, 410, 422, 502, 504)},
        }
    },
    "/v1/responses/{id}": {
        "parameters": [_ID],
        "get": {
            "summary": "Give a response, or its events",
            "parameters": [
                query("stream", {"type": "boolean"}, "Whether its events are sent."),
                query("starting_after", {"type": "integer"}, "The number of the last event that was read."),
            ],
            "responses": {"200": events(_WHOLE), **refused(404)},
        },
        "delete": {
            "summary": "Take a response from these routes",
            "responses": {"200": answer("Named", "It is gone from here."), **refused(404)},
        },
    },
    "/v1/responses/{id}/cancel": {
        "parameters": [_ID],
        "post": {"summary": "End a response", "responses": {"200": _WHOLE, **refused(404, 409)}},
    },
    "/v1/responses/{id}/input_items": {
        "parameters": [_ID],
        "get": {
            "summary": "List what a response was asked",
            "parameters": [query("order", {"enum": ["asc", "desc"]}, "Newest first unless it is asc.")],
            "responses": {"200": answer("List", "The items."), **refused(404)},
        },
    },
}
