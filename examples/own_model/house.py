"""A model of one's own: here a few rules, elsewhere a client for a service that nobody else knows."""

import re
from collections.abc import AsyncIterator

from auwgent import CallPiece, Model, ModelRequest, TextPiece


class HouseModel(Model):
    """Adds up the numbers it is asked about, with the tool `add`."""

    def __init__(self, greeting: str = "Hello") -> None:
        self.greeting = greeting

    async def ask(self, request: ModelRequest) -> AsyncIterator[str | TextPiece | CallPiece]:
        last = request.turns[-1]
        if last.role == "tool":
            yield f"{self.greeting}! "
            yield f"That makes {last.text}."
            return
        numbers = re.findall(r"\d+", last.text)
        yield CallPiece(0, id="call_1", name="add", arguments=f'{{"numbers": [{", ".join(numbers)}]}}')


def add(numbers: list[int]) -> int:
    """Add numbers."""
    return sum(numbers)
