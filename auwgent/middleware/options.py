"""Options of middleware: checked when it is made, so that what is wrong is an error of its config entry."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from auwgent.secrecy import is_secret
from auwgent.words import SHOWN, misfit

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Checked = TypeVar("Checked", bound=BaseModel)


class Options(BaseModel):
    """Base of a middleware's options: nothing else may be given, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def checked(model: type[Checked], /, **options: Any) -> Checked:
    """The options, or a `ValueError` that says for each one what is wrong with it."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        problems = error.errors()
        told = [
            misfit(
                one,
                whole="the options",
                known=lambda _: model.model_fields,
                shown=0 if is_secret(one["loc"]) else SHOWN,
            )
            for one in problems
        ]
        raise ValueError("; ".join(told)) from None


def parse_span(text: Any) -> timedelta:
    """A length of time such as `30s`, `5m`, `1h`, `7d` or `2w`; a number is seconds."""
    if isinstance(text, timedelta):
        return text
    if isinstance(text, int | float) and not isinstance(text, bool) and text >= 0:
        return timedelta(seconds=text)
    match = re.fullmatch(r"(\d+)([smhdw])", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('must be a length of time such as "30s", "5m", "1h" or "7d"')
    return timedelta(**{UNITS[match[2]]: int(match[1])})


Span = Annotated[timedelta, BeforeValidator(parse_span)]
Count = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(gt=0, strict=False)]
