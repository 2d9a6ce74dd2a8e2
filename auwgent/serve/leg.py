"""A leg of a run: its intents are held, and any number of readers follow them, each at his own pace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

from auwgent.intents import Intent
from auwgent.relay.form import process_name
from auwgent.session import now

log = logging.getLogger("auwgent.serve")

AHEAD = 1_000  # pieces that a run may be ahead of a reader
PATIENCE = 5.0  # seconds that one reader may hold up its run in all

JOINED: Intent = Intent(
    "", {}, "", "", 0, now()
)  # in place of a piece that the next one of its segment holds, too


class CutOff(Exception):
    """The reader fell too far behind. It may come back and read on."""


class Reader:
    """One who reads. `cut` is called where it holds up the run for too long."""

    def __init__(self, at: int, cut: Callable[[], None] | None) -> None:
        self.at, self.cut = at, cut
        self.patience = PATIENCE
        self.is_cut = False
        self.news, self.moved = asyncio.Event(), asyncio.Event()


class Leg:
    """A leg of a run. Intents are numbered from 1; pieces are held for a while, whole intents as long as it is here.

    `agent` is who was asked, `process` that which counts them.
    """

    def __init__(self, run_id: str, agent: str, leg: int = 1, process: str = "") -> None:
        self.run_id, self.agent, self.leg, self.process = run_id, agent, leg, process or process_name()
        self.begun = asyncio.Event()  # something came, or it is over
        self._held: list[Intent | None] = []
        self._kept_from = 0  # pieces before it are gone
        self.gaps: set[int] = set()  # numbers of what pieces before are missing that never came
        self._readers: set[Reader] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many intents have come."""
        return len(self._held)

    def holds(self, after: int) -> bool:
        """Return whether nothing that came behind that number is gone."""
        if any(after < number for number in self.gaps):
            return False
        if self._held[after : after + 1] == [JOINED]:  # some of what the next piece holds
            return False
        return None not in self._held[after:]

    def held(self) -> list[Intent]:
        """Return what is held: all whole intents, and pieces."""
        return [intent for intent in self._held if intent is not None and intent is not JOINED]

    def numbered(self, after: int, upto: int) -> list[tuple[int, Intent]]:
        """Return what is held behind a number, up to another one."""
        some = enumerate(self._held[after:upto], after + 1)
        return [(number, one) for number, one in some if one is not None and one is not JOINED]

    def so_far(self, upto: int | None = None) -> list[Intent]:
        """Return the whole intents, up to a number, and the last piece of each answer that is not whole there."""
        found: list[Intent] = []
        for _, intent in self.numbered(0, self.count if upto is None else upto):
            if found and found[-1].partial and _continues(found[-1], intent):
                found.pop()
            found.append(intent)
        return [one for number, one in enumerate(found) if not one.partial or number == len(found) - 1]

    async def read(
        self, after: int = 0, cut: Callable[[], None] | None = None
    ) -> AsyncGenerator[list[tuple[int, Intent]], None]:
        """Yield what came behind that number, then what comes, several at once where the reader is behind.

        Pieces that are gone are left out. Ends with the leg; raises `CutOff` where the reader is too slow: its
        `cut` is called then, as it may be waiting elsewhere.
        """
        reader = Reader(max(0, after), cut)
        self._readers.add(reader)
        try:
            while True:
                reader.news.clear()
                if reader.at < self.count:
                    begin, reader.at = reader.at, min(self.count, reader.at + AHEAD // 4)
                    if batch := self.numbered(begin, reader.at):
                        yield batch
                    reader.moved.set()
                elif self.is_over:
                    return
                else:
                    await reader.news.wait()
                if reader.is_cut:
                    raise CutOff
        finally:
            self._readers.discard(reader)
            reader.moved.set()

    def forget_pieces(self, keep: int = 0) -> None:
        """Let go of pieces, but for the newest `keep` intents; whole intents stay."""
        upto = max(self._kept_from, self.count - keep)
        for place in range(self._kept_from, upto):
            intent = self._held[place]
            if intent is not None and intent.partial and intent.name != "reasoning":  # no whole one follows
                self._held[place] = None
        self._kept_from = upto

    def put(self, intent: Intent) -> None:
        """Take the next intent."""
        self._held.append(intent)
        self.begun.set()
        if self.count - self._kept_from >= 2 * AHEAD:
            self.forget_pieces(keep=AHEAD)

    def skip(self, upto: int, *, are_joined: bool) -> None:
        """Take note that the numbers up to this one do not come: the next piece holds them, too, or they are gone."""
        self._held += [JOINED if are_joined else None] * (upto - self.count)
        if not are_joined:
            self.gaps.add(upto + 1)

    def wake(self) -> None:
        """Tell the readers that there is something new, or that it is over."""
        if self.is_over:
            self.begun.set()
        for reader in self._readers:
            reader.news.set()

    async def show(self) -> None:
        """Wake the readers; wait for one that is far behind, until it has used up its patience."""
        self.wake()
        for reader in [one for one in self._readers if self.count - one.at > AHEAD]:
            while reader in self._readers and self.count - reader.at > AHEAD and not reader.is_cut:
                reader.moved.clear()
                since = self._loop.time()
                try:
                    async with asyncio.timeout(reader.patience):
                        await reader.moved.wait()
                except TimeoutError:
                    self._cut(reader)
                reader.patience -= self._loop.time() - since

    def _cut(self, reader: Reader) -> None:
        log.warning(
            "a reader of run %s is %d pieces behind, and is cut off", self.run_id, self.count - reader.at
        )
        reader.is_cut = True
        self._readers.discard(reader)
        reader.news.set()
        if reader.cut is not None:
            reader.cut()


def _continues(piece: Intent, intent: Intent) -> bool:
    """Whether an intent says again what the piece said: a later piece of the same answer, or the whole."""
    if intent.partial:
        same: bool = intent.value["segment"] == piece.value["segment"]
        return same
    return intent.name == piece.name or intent.name == "model_call"
