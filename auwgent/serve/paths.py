"""Parts of paths and queries: ids may hold any character, slashes too, and are percent-encoded then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote, unquote

from starlette.convertors import Convertor
from starlette.requests import Request

from auwgent.serve.faults import bad_request
from auwgent.session import encodable

MOST = 1_000  # of a list
Choice = TypeVar("Choice", bound=str)


class PathPart(Convertor[str]):
    """One part of a path, decoded. The gate leaves paths as they were sent."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return what was meant."""
        return encodable(unquote(value, errors="replace")).replace("\x00", "�")  # which no database takes

    def to_string(self, value: str) -> str:
        """Return it as it is sent."""
        return quote(value, safe="")


def number_of(request: Request, name: str, default: int) -> int:
    """Return a number of the query, from 1 to 1,000; `Refusal` where it is none."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= MOST:
        raise bad_request(f"`{name}` should be a number from 1 to {MOST}, not {given[:20]!r}", name)
    return int(given)


def one_of(request: Request, name: str, choices: Sequence[Choice], default: Choice) -> Choice:
    """Return what the query says of a few words; `Refusal` where it says another one."""
    given = request.query_params.get(name, default)
    for choice in choices:
        if given == choice:
            return choice
    raise bad_request(f"`{name}` should be one of {', '.join(choices)}, not {given[:20]!r}", name)
