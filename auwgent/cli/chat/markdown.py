"""An answer as Markdown while it comes: what is finished is printed for good, only the last block is redrawn."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown, TableElement
from rich.segment import Segment
from rich.table import Column, Table

REDRAW = 0.06  # seconds at least between two drawings
SHARE = 4  # times what the last drawing took, at least: the model's words are read in the same loop
MARGIN = (
    2  # columns on the right, for the ^C that a terminal echoes: a line it made longer could not be redrawn
)


NUMBER = re.compile(r"[^\w\s]*\d[\d.,'’]*\s?[^\w\s]*")  # with a sign or a currency on either side


WIDE = 10_000  # columns that any table has room in


class AnswerTable(TableElement):
    """A table whose numbers are not broken, as far as there is room for its words, too."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for item in super().__rich_console__(console, options):
            if isinstance(item, Table) and not _fits(item, console, options):
                widths = [(column, _width(column)) for column in item.columns if _has_numbers(column)]
                if sum(width for _, width in widths) <= options.max_width / 2:
                    for column, width in widths:
                        column.width = width
            yield item


def _fits(table: Table, console: Console, options: ConsoleOptions) -> bool:
    return table.__rich_measure__(console, options.update(max_width=WIDE)).maximum <= options.max_width


def _width(column: Column) -> int:
    """Return the room that its numbers need, and each word of its head."""
    return max(map(len, [*map(str, column.cells), *str(column.header).split()]))


def _has_numbers(column: Column) -> bool:
    cells = [str(cell).strip() for cell in column.cells]
    return any(cells) and all(NUMBER.fullmatch(cell) for cell in cells if cell)


class AnswerMarkdown(Markdown):
    """Markdown as models write it: HTML is text like any other, and a line break is meant."""

    elements: ClassVar = {**Markdown.elements, "table_open": AnswerTable}
    parser: ClassVar = MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough")

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)  # a link shows where it leads
        self.markup = text
        self.parsed = self.parser.parse(text)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"


class GrowingText:
    """Shows one text as it grows. `add` pieces, then `end`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tail = ""  # from the beginning of the last block
        self._printed = False
        self._live: Live | None = None
        self._due: asyncio.TimerHandle | None = None
        self._took = 0.0  # seconds, the last drawing

    def add(self, piece: str) -> None:
        self._tail += piece
        if self._due is None:
            wait = max(REDRAW, SHARE * self._took)
            self._due = asyncio.get_running_loop().call_later(wait, self._draw)

    def end(self) -> None:
        """Print what is left for good. More may be added, as a text of its own."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._print(self._tail)
        self._tail, self._printed = "", False

    def _settle(self) -> None:
        """Print the blocks that nothing can change any more: all but the last."""
        start = last_block(AnswerMarkdown.parser.parse(self._tail))
        if start:
            lines = self._tail.split("\n")
            self._print("\n".join(lines[:start]))
            self._tail = "\n".join(lines[start:])

    def _print(self, text: str) -> None:
        if not text.strip():
            return
        if self._live is not None:
            self._live.update("", refresh=True)
        lines = rendered(self._console, text)
        self._console.print(_Rendered([[], *lines] if self._printed else lines))
        self._printed = True

    def _draw(self) -> None:
        self._due = None
        began = time.thread_time()
        self._settle()
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        room = max(1, self._console.height - 2)
        lines = rendered(self._console, seen(self._tail, room))
        if self._printed:
            lines.insert(0, [])
        self._live.update(_Rendered(lines[-room:]), refresh=True)
        self._took = time.thread_time() - began


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def seen(block: str, lines: int) -> str:
    """Return what of a block can be seen at the end of a screen of so many lines: of a code block, its end."""
    first, *rest = block.lstrip("\n").split("\n")
    if not _FENCE.match(first) or len(rest) <= lines + 1:
        return block
    return "\n".join((first, *rest[-lines - 1 :]))


def last_block(tokens: Iterable[Token]) -> int:
    """Return the line on which the last block begins; 0 where there is but one."""
    return max((token.map[0] for token in tokens if token.level == 0 and token.map), default=0)


Line = list[Segment]


def rendered(console: Console, text: str) -> list[Line]:
    """Return the lines of a Markdown text, without empty ones around it and spaces behind them."""
    options = console.options.update_width(max(10, console.width - MARGIN))
    lines = [_stripped(line) for line in console.render_lines(AnswerMarkdown(text), options, pad=False)]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def _stripped(line: Line) -> Line:
    while line and not (line[-1].style and line[-1].style.bgcolor):
        text, style, _ = line.pop()
        if text := text.rstrip():
            return [*line, Segment(text, style)]
    return line


class _Rendered:
    """Lines as a renderable."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()
