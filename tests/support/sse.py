"""Reads server-sent events as a browser does, from bytes that may end anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `data` is parsed where it is JSON."""

    name: str
    data: Any
    id: str


def events(raw: bytes) -> list[Event]:
    """The whole events in it; one that was cut is not there yet."""
    found = []
    for block in raw.decode("utf-8", "ignore").split("\n\n")[:-1]:
        name, data, number = "message", [], ""
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                number = value
        if data:
            text = "\n".join(data)
            found.append(
                Event(name, json.loads(text) if text[:1] in "{[" and text != "[DONE]" else text, number)
            )
    return found
