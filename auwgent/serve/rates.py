"""How many requests a token may send in a time, counted in this process."""

from __future__ import annotations

import math
import time

from auwgent.serve.faults import Refusal


class Window:
    """Lets `count` requests through in each length of time, which begins with the first of them."""

    def __init__(self, count: int, seconds: int) -> None:
        self.count, self.seconds = count, seconds
        self._ends, self._left = 0.0, count

    def take(self) -> dict[str, str]:
        """Count one request and return the headers that tell how many are left; `Refusal` where none is."""
        now = time.monotonic()
        if now >= self._ends:
            self._ends, self._left = now + self.seconds, self.count
        wait = self._ends - now
        headers = {
            "RateLimit-Limit": str(self.count),
            "RateLimit-Remaining": str(max(0, self._left - 1)),
            "RateLimit-Reset": str(math.ceil(wait)),
        }
        if self._left <= 0:
            words = f"more than {self.count} requests in {self.seconds} s; try again in {math.ceil(wait)} s"
            raise Refusal(429, "rate_limit_exceeded", words, retry_after=wait, headers=headers)
        self._left -= 1
        return headers
