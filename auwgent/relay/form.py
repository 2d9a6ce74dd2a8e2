"""What processes tell one another of runs: messages as JSON, cut into notes that PostgreSQL takes, and put together.

Who reads asks on `WANTED`: `{to, wants: [[user, run, process, number]], leaves: [[user, run]]}`, again and again, where
the number is that of the last intent it has of that process. Who has runs answers on the channel `to`: `{told: […]}`,
of each run `{user, run, process, leg, attempt, behind, steps, over}`. Steps are what came behind the number `behind`;
where that is null, it is all there is behind the number that was asked for, pieces may be gone, and `earlier` holds
the ids of the turns that the run had when this process took it up.

A step is `[number, name, agent, time, value]`, or of a piece `[number, name, agent, time, delta, at, segment, mode,
kind, id]`: `at` is how much of the segment came before, so that nothing is missing and nothing twice. One piece stands
for all that came since the last step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from auwgent.session import new_id

Message = dict[str, Any]
Key = tuple[str, str]  # of a run: its user and its id

WANTED = "auwgent_wanted"
BEAT = 2.0  # seconds between two times that a reader asks
LEASE = 7.0  # seconds after which one who did not ask again has left
ROOM = 7_900  # bytes of a note; the server takes less than 8,000

_names: dict[int, str] = {}  # by process, as one that was forked is another


def process_name() -> str:
    """Return the name of this process in the ids of events: eight hexadecimal digits."""
    return _names.setdefault(os.getpid(), new_id()[:8])


def notes_of(sender: str, number: int, message: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message as notes, to be posted in this order."""
    raw = json.dumps(message, ensure_ascii=False, separators=(",", ":"), default=str)
    try:
        data = raw.encode()
    except UnicodeEncodeError:  # half a character
        data = json.dumps(message, separators=(",", ":"), default=str).encode()
    room = ROOM - len(sender) - 40
    begin = 0
    for place in count():  # without it equal parts would be one: the server drops a note that it has already
        end = min(begin + room, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        is_last = end == len(data)
        yield f"{sender} {number} {place}{'.' if is_last else '+'} {data[begin:end].decode()}"
        begin = end
        if is_last:
            return


class Joiner:
    """Puts notes together. Those of one sender come in their order; where one is lost, its message is left out."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[str, list[str]]] = {}  # by sender: the message under way, and its parts

    def add(self, note: str) -> Message | None:
        """Return the message that is whole with this note, if there is one."""
        sender, number, place, text = note.split(" ", 3)
        began, parts = self._begun.pop(sender, (number, []))
        if place[:-1] == "0":
            parts = []
        elif began != number or int(place[:-1]) != len(parts):
            return None
        parts.append(text)
        if place.endswith("+"):
            self._begun[sender] = number, parts
            return None
        message: Message = json.loads("".join(parts))
        return message
