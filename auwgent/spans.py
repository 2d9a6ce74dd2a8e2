"""Lengths of time and sizes in words, as options and limits have them: `30s`, `5m`, `1h`, `7d`; `500KB`, `10MB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Self

from pydantic_core import CoreSchema, core_schema

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOST_SECONDS = 1e10  # Python's own lengths of time end somewhere behind
LONGEST = timedelta(days=36525)  # what can be taken from any date of ours


class Span(timedelta):
    """A length of time that keeps the words it was given in."""

    words: str

    @classmethod
    def parse(cls, given: Any) -> Self:
        """Return what is meant; a number is seconds. `ValueError` says what would be right."""
        if isinstance(given, cls):
            return given
        words = str(given)
        if isinstance(given, timedelta):
            length = given
        elif isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < MOST_SECONDS:
            length, words = timedelta(seconds=given), f"{given:g}s"
        else:
            match = re.fullmatch(r"(\d{1,8})([smhdw])", given, re.ASCII) if isinstance(given, str) else None
            if match is None:
                raise ValueError('must be a length of time such as "30s", "5m", "1h" or "7d"')
            length = timedelta(**{UNITS[match[2]]: int(match[1])})
        if length > LONGEST:
            raise ValueError("must be a length of time of at most 100 years")
        span = cls(days=length.days, seconds=length.seconds, microseconds=length.microseconds)
        span.words = words
        return span

    def __str__(self) -> str:
        return self.words

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a copy that timedelta makes has no words

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string"}


SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def parse_bytes(given: Any) -> int:
    """Return how many bytes are meant; `ValueError` says what would be right."""
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = re.fullmatch(r"(\d{1,9}) ?(B|KB|MB|GB)", given, re.ASCII) if isinstance(given, str) else None
    if match is None or not int(match[1]):
        raise ValueError('must be a number of bytes, or a size such as "500KB" or "10MB"')
    return int(match[1]) * SIZES[match[2]]
