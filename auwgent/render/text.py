"""A run for people: the answer on standard output as it comes, everything else on standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from auwgent.render.base import Outcome
from auwgent.render.teller import Teller
from auwgent.render.terminal import harmless, one_line, paint, wants_colour


class Text(Teller):
    """Writes the answer to `out` and notes to `err`, or no notes if `quiet`.

    Nothing that a terminal would obey gets through, also into a pipe: it may well end in a terminal. Programs
    that want every character take `JsonLines`.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        speaks: Callable[[str], bool] = bool,
        root: str | None = None,
        quiet: bool = False,
        names_session: bool = False,
    ) -> None:
        super().__init__(speaks, root)
        self._out = out
        self._err = err
        self._quiet = quiet
        self._names_session = names_session
        self._colour = wants_colour(err)
        self._line_open = False

    def say(self, text: str) -> None:
        text = harmless(text)
        if text:
            self._out.write(text)
            self._out.flush()
            self._line_open = not text.endswith("\n")

    def pause(self) -> None:
        if self._line_open:
            self._line_open = False
            self._out.write("\n")
            self._out.flush()

    def write(self, line: str) -> None:
        if not self._quiet:
            self._err.write(paint(harmless(line), "dim", on=self._colour) + "\n")
            self._err.flush()

    def over(self, outcome: Outcome) -> None:
        """How the run ended; an error is left to whoever catches it."""
        self.settle()
        if outcome.status == "cancelled":
            self.note("interrupted")
        if self._names_session and outcome.session:
            self.note(one_line(f"session: {outcome.session.id}"))
