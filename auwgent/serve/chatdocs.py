"""Chat Completions in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auwgent.serve.openapi import answer, events, path_text, refused

_LIST = {"type": "array", "items": {"type": "object"}}

SCHEMAS: Mapping[str, Any] = {
    "ChatRequest": {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "model": {"type": ["string", "null"], "description": "The name of an agent."},
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {
                        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
                        "content": {"type": ["string", "array", "null"]},
                    },
                },
            },
            "stream": {"type": ["boolean", "null"]},
            "stream_options": {
                "type": ["object", "null"],
                "properties": {"include_usage": {"type": ["boolean", "null"]}},
            },
            "tools": {"type": ["array", "null"], "items": {"type": "object"}},
            "metadata": {"type": ["object", "null"]},
        },
    },
    "ChatCompletion": {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "chat.completion"},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": _LIST,
            "usage": {"type": "object"},
        },
    },
    "Model": {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        },
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}

PATHS: Mapping[str, Any] = {
    "/v1/chat/completions": {
        "post": {
            "summary": "Answer the newest message of a conversation, as OpenAI's Chat Completions do",
            "parameters": [
                {"name": "X-Session-Id", "in": "header", "schema": {"type": "string", "minLength": 1}},
                {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1}},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}},
            },
            "responses": {
                "200": events(answer("ChatCompletion", "The answer, or its chunks where `stream` is set.")),
                **refused(404, 409, 410, 422, 502, 504),
            },
        }
    },
    "/v1/models": {
        "get": {
            "summary": "List the agents as models",
            "responses": {"200": answer(_MODELS, "The agents."), **refused()},
        }
    },
    "/v1/models/{id}": {
        "get": {
            "summary": "Tell of an agent",
            "parameters": [path_text("id")],
            "responses": {"200": answer("Model", "The agent."), **refused(404)},
        }
    },
}
