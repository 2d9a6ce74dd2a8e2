"""Repairs what MCP servers send before the SDK reads it, so that one odd tool or block breaks no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from auwgent.tools.mcp.bounds import TOO_LONG, TooLong

MANY = 1_000  # tools of one server
_NEEDED = {"name", "inputSchema"}


class Repaired:
    """The two streams of a connection: what is sent is remembered, what comes is repaired.

    `odd` is told of what had to be left out, `note` of what ends the connection, which the SDK keeps to itself.
    """

    def __init__(
        self, reading: Any, writing: Any, odd: Callable[[str], None], note: Callable[[Exception], None]
    ) -> None:
        self.reading = _Repairs(reading, self)
        self.writing = _Writing(writing, self)
        self._odd, self._note = odd, note
        self._methods: dict[Any, str] = {}

    def sent(self, item: Any) -> None:
        """Remember what was asked for."""
        message = item.message
        if getattr(message, "id", None) is not None and getattr(message, "method", None):
            self._methods[message.id] = message.method

    def repaired(self, item: Any) -> Any:
        """Return the answer as the protocol wants it. Raises `TooLong` where one had no end."""
        message: Any = getattr(item, "message", None)
        if getattr(message, "method", None) == TOO_LONG:
            error = TooLong()
            self._note(error)
            raise error
        method = self._methods.pop(getattr(message, "id", None), "")
        result = getattr(message, "result", None)
        if not isinstance(result, Mapping):
            return item
        if method == "tools/list":
            result = {**result, "tools": list(self._tools(result.get("tools")))}
            if not isinstance(result.get("nextCursor"), str):
                result.pop("nextCursor", None)
        elif method == "tools/call":
            result = _content(result)
        else:
            return item
        return replace(item, message=message.model_copy(update={"result": result}))

    def _tools(self, listed: Any) -> Iterator[dict[str, Any]]:
        from mcp.types import Tool

        for tool in listed if isinstance(listed, list) else ():
            name = tool.get("name") if isinstance(tool, Mapping) else None
            if not isinstance(name, str) or not name:
                self._odd(f"it lists a tool without a name: {_shown(tool)}")
                continue
            schema = tool.get("inputSchema")
            if schema is None or schema == {} or schema is True:
                schema = {"type": "object"}
            elif isinstance(schema, Mapping) and (
                "type" not in schema or (isinstance(schema["type"], list) and "object" in schema["type"])
            ):
                schema = {**schema, "type": "object"}
            if isinstance(schema, Mapping):
                schema = _with_properties(schema)
            if not isinstance(schema, Mapping) or schema["type"] != "object":
                self._odd(
                    f"tool {name!r} is left out: its inputSchema is not a schema of an object: {_shown(schema)}"
                )
                continue
            # An outputSchema would be checked by the SDK, with an engine for patterns that can hang.
            known = {**tool, "inputSchema": dict(schema), "outputSchema": None}
            known = {key: value for key, value in known.items() if value is not None}
            while wrong := _wrong_keys(Tool, known):
                if wrong <= _NEEDED:
                    self._odd(f"tool {name!r} is left out: its inputSchema is not one: {_shown(schema)}")
                    break
                known = {key: value for key, value in known.items() if key not in wrong - _NEEDED}
            else:
                yield known


class _Repairs:
    def __init__(self, inner: Any, repaired: Repaired) -> None:
        self._inner = inner
        self._repaired = repaired

    async def receive(self) -> Any:
        return self._repaired.repaired(await self._inner.receive())

    def __aiter__(self) -> _Repairs:
        return self

    async def __anext__(self) -> Any:
        return self._repaired.repaired(await self._inner.__anext__())

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        return await self._inner.__aexit__(*exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Writing:
    def __init__(self, inner: Any, repaired: Repaired) -> None:
        self._inner = inner
        self._repaired = repaired

    async def send(self, item: Any) -> None:
        self._repaired.sent(item)
        await self._inner.send(item)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        return await self._inner.__aexit__(*exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _with_properties(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema with tables for properties and names for what is required, as the SDK wants them."""
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return None
    tables: dict[bool, dict[str, Any]] = {True: {}, False: {"not": {}}}
    repaired = {
        name: tables[one] if isinstance(one, bool) else one
        for name, one in properties.items()
        if isinstance(one, (bool, Mapping))
    }
    if len(repaired) < len(properties):
        return None
    required = schema.get("required", [])
    names = [one for one in required if isinstance(one, str)] if isinstance(required, list) else []
    return {**schema, "properties": repaired, "required": names}


def _wrong_keys(model: Any, value: Mapping[str, Any]) -> set[str]:
    """Return the keys of a tool that the SDK would refuse."""
    from pydantic import ValidationError

    try:
        model.model_validate(value, by_name=False)
    except ValidationError as error:
        return {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}
    return set()


def _content(result: Mapping[str, Any]) -> dict[str, Any]:
    from mcp.types import CallToolResult
    from pydantic import ValidationError

    content = result.get("content")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    repaired = {**result, "content": [_block(one) for one in blocks], "isError": bool(result.get("isError"))}
    if "structuredContent" in repaired and not isinstance(repaired["structuredContent"], Mapping):
        repaired["content"] = repaired["content"] or [_words(repaired["structuredContent"])]
        del repaired["structuredContent"]
    if not repaired["content"] and "toolResult" in repaired:  # of the first edition of the protocol
        repaired["content"] = [_words(repaired["toolResult"])]
    try:
        CallToolResult.model_validate(repaired, by_name=False)
    except ValidationError:
        repaired = {
            key: repaired[key] for key in ("content", "isError", "structuredContent") if key in repaired
        }
    return repaired


def _block(block: Any) -> dict[str, Any]:
    from mcp.types import ContentBlock
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(ContentBlock).validate_python(block, by_name=False)
    except ValidationError:
        return _words(block.get("text", block) if isinstance(block, Mapping) else block)
    return dict(block)


def _words(value: Any) -> dict[str, Any]:
    return {
        "type": "text",
        "text": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
    }


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"
