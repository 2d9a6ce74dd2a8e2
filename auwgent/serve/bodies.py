"""Reads the body of a request: JSON, an object, of the shape that a protocol wants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from auwgent.serve.faults import bad_request
from auwgent.session import encodable
from auwgent.words import misfits, written

Shape = TypeVar("Shape", bound=BaseModel)


async def read(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object; `Refusal` says what else it is."""
    raw = await request.body()
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("the body is not a JSON object", code="invalid_json")
    return body


async def read_as(request: Request, shape: type[Shape]) -> Shape:
    """Return the body in a shape of pydantic's; `Refusal` names what does not fit."""
    return fitted(await read(request), shape)


def fitted(body: dict[str, Any], shape: type[Shape]) -> Shape:
    """Return data in a shape of pydantic's; `Refusal` names what does not fit."""
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise bad_request(misfits(problems, whole="the body"), param=written(problems[0]["loc"])) from None


def header(request: Request, name: str) -> str | None:
    """Return a header as the text it was sent as, or None; an empty one is refused."""
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        text = value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise bad_request(f"{name} is not valid UTF-8", param=name) from None
    if not text.strip():
        raise bad_request(f"{name} is empty", param=name)
    return encodable(text)


def text_of(metadata: Mapping[str, Any], name: str) -> str | None:
    """Return a text of a request's metadata; `Refusal` where it is none."""
    value = metadata.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise bad_request(f"`metadata.{name}` should be a text that is not empty", param=f"metadata.{name}")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
