"""Asks for runs that other processes have at work, and hands what they tell to those who read here."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from auwgent.relay.form import BEAT, WANTED, Joiner, Key, Message, notes_of
from auwgent.session import new_id
from auwgent.store.notices import Board, Note


@dataclass(eq=False, slots=True)
class Ear:
    """One who follows a run: what comes for it waits here. `process` and `number` are of the last intent it has."""

    key: Key
    loop: asyncio.AbstractEventLoop
    process: str = ""
    number: int = 0
    inbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    async def next(self, seconds: float) -> list[Message]:
        """What has come; after so many seconds, nothing."""
        try:
            async with asyncio.timeout(seconds):
                found = [await self.inbox.get()]
        except TimeoutError:
            return []
        while not self.inbox.empty():
            found.append(self.inbox.get_nowait())
        return found


class Listener:
    """The ears of this process. It asks for their runs as long as they are there, and says when they have left."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._name = new_id()
        self._channel = f"auwgent_{self._name[:24]}"
        self._count = 0
        self._guard = threading.Lock()
        self._ears: dict[Key, list[Ear]] = {}
        self._left: list[Key] = []
        self._missed: list[tuple[Key, str, int]] = []
        self._asked_at = 0.0  # by the monotonic clock
        self._joiner = Joiner()
        board.asks(self._notes, self._ask_now)
        board.listens(self._channel, self._heard)

    def hears(self, user: str, run_id: str) -> Ear:
        """Begin to listen to a run; `leaves` ends it."""
        ear = Ear((user, run_id), asyncio.get_running_loop())
        with self._guard:
            self._ears.setdefault(ear.key, []).append(ear)
            self._missed.append((ear.key, "", 0))
        self._board.wake()
        return ear

    def misses(self, ear: Ear) -> None:
        """Something did not come: it is to be told again from where the ear is."""
        with self._guard:
            self._missed.append((ear.key, ear.process, -ear.number))
        self._board.wake()

    def leaves(self, ear: Ear) -> None:
        """Listen no more."""
        with self._guard:
            others = self._ears.get(ear.key, [])
            if ear in others:
                others.remove(ear)
            if not others:
                self._ears.pop(ear.key, None)
                self._left.append(ear.key)
        self._board.wake()

    def _heard(self, note: str) -> None:
        found = self._joiner.add(note)
        if found is None:
            return
        with self._guard:
            told = [
                (ear, message)
                for message in found["told"]
                for ear in self._ears.get((message["user"], message["run"]), ())
            ]
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ear, Message]]] = {}
        for ear, message in told:
            by_loop.setdefault(ear.loop, []).append((ear, message))
        for loop, news in by_loop.items():
            try:
                loop.call_soon_threadsafe(_give, news)
            except RuntimeError:  # it is closed
                for ear, _ in news:
                    self.leaves(ear)

    def _ask_now(self) -> None:
        self._asked_at = 0.0
        self._board.wake()

    def _notes(self) -> Iterator[Note]:
        now = time.monotonic()
        with self._guard:
            is_due = bool(self._ears) and now - self._asked_at >= BEAT
            wants = [(*key, process, number) for key, process, number in self._missed]
            if is_due:
                self._asked_at = now
                wants += [
                    (*key, ears[0].process, ears[0].number)
                    for key, ears in self._ears.items()
                    if not any((want[0], want[1]) == key for want in wants)
                ]
            leaves = [key for key in self._left if key not in self._ears]
            self._left, self._missed = [], []
        if not (wants or leaves):
            return
        self._count += 1
        message = {"to": self._channel, "wants": wants, "leaves": leaves}
        for note in notes_of(self._name[:12], self._count, message):
            yield WANTED, note


def _give(news: list[tuple[Ear, Message]]) -> None:
    for ear, message in news:
        ear.inbox.put_nowait(message)
