"""An answer as it grows, on a screen that obeys what is written to it."""

import asyncio
import io
import re
import time

import pytest
from rich.console import Console

from auwgent.cli.chat.markdown import REDRAW, GrowingText, rendered, seen

ANSWER = """\
# Cats

Three *names* for a cat:

1. Tom
2. Kit, who is
   patient

```python
for name in names:
    print(name)
```

| name | age |
|---|---|
| Tom | 3 |

Done <b>now</b>, [here](https://example.org).
"""

WRITTEN = re.compile(r"\x1b\[(?P<count>\d*)(?P<action>[A-Za-z])|\x1b\[\?\d+[hl]|(?P<text>[^\x1b])")


def screen(written: str) -> list[str]:
    """The lines that a terminal shows after this was written to it."""
    lines, row, column = [""], 0, 0
    for found in WRITTEN.finditer(written):
        if found["action"] == "A":
            row -= int(found["count"] or 1)
        elif found["action"] == "K":
            lines[row] = ""
        elif found["text"] == "\r":
            column = 0
        elif found["text"] == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif found["text"]:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + found["text"] + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def console(height: int = 40, width: int = 60) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        color_system=None,
        legacy_windows=False,
    )


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


async def told(text: str, on: Console, size: int = 7) -> list[str]:
    """The screen after the text came in pieces of this size, each with time to be drawn."""
    stream = GrowingText(on)
    for start in range(0, len(text), size):
        stream.add(text[start : start + size])
        await asyncio.sleep(REDRAW * 1.2 if start % (4 * size) == 0 else 0)
    stream.end()
    return screen(written(on))


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_what_is_on_the_screen_at_last_is_the_whole_answer_once(size: int) -> None:
    shown = "\n".join(await told(ANSWER, console(), size))
    whole = console()
    for line in rendered(whole, ANSWER):
        whole.print("".join(part.text for part in line), markup=False, highlight=False)
    wanted = "\n".join(screen(written(whole)))
    assert re.sub(r"\n+", "\n", shown).strip() == re.sub(r"\n+", "\n", wanted).strip()


def test_of_a_long_code_block_only_the_end_is_drawn() -> None:
    code = [f"x = {number}" for number in range(500)]
    on, whole = console(), "\n".join(["```python", *code])
    shown = rendered(on, seen(whole, 38))
    assert len(shown) < 45
    assert ["".join(part.text for part in line) for line in shown[-38:]] == [
        "".join(part.text for part in line) for line in rendered(on, whole)[-38:]
    ]
    assert seen("plain\n" * 500, 38) == "plain\n" * 500


async def test_a_long_code_block_does_not_hold_up_its_own_model() -> None:
    code = "```python\n" + 'print("a line of code", 1 + 1)  # as it comes\n' * 450
    stream = GrowingText(console())
    began = time.thread_time()
    for start in range(0, len(code), 40):  # 20,000 characters, as fast as they can be taken
        stream.add(code[start : start + 40])
        await asyncio.sleep(0.002)
    drawing = time.thread_time() - began
    stream.end()
    assert drawing < 1.5, "it was 6 seconds where each drawing renders the whole block"


async def test_html_is_text_and_a_link_shows_where_it_leads() -> None:
    shown = "\n".join(await told(ANSWER, console()))
    assert "Done <b>now</b>, here (https://example.org)." in shown


def test_numbers_of_a_table_are_not_broken() -> None:
    head = "| city | people in all | share of them |\n|---|---|---|\n"
    rows = "| Bad Neuenahr-Ahrweiler | 1,234,567 | 12.5 % |\n| Freudenstadt | -100'000 | $3.20 |\n"
    narrow = Console(file=io.StringIO(), width=34, height=24, force_terminal=True)
    shown = "\n".join("".join(piece.text for piece in line) for line in rendered(narrow, head + rows))
    assert all(number in shown for number in ("1,234,567", "12.5 %", "-100'000", "$3.20"))
    assert all(word in shown for word in ("city", "Bad", "Freuden", "people", "share"))


async def test_lines_stay_lines() -> None:
    assert await told("roses are red\nviolets are blue\n", console()) == [
        "roses are red",
        "violets are blue",
        "",
    ]


async def test_an_answer_longer_than_the_screen_is_whole_at_last() -> None:
    lines = [f"- point {number}" for number in range(50)]
    shown = await told("\n".join(lines), console(height=10), 40)
    assert [line.strip(" •") for line in shown if "point" in line] == [line.strip("- ") for line in lines]


async def test_finished_blocks_are_never_written_again() -> None:
    on = console()
    await told("first block\n\n" + "second block " * 40, on, 13)
    assert written(on).count("first block") <= 3  # once for good, at most twice while it grew


async def test_no_line_reaches_the_margin_where_the_terminal_echoes_ctrl_c() -> None:
    shown = await told("word " * 100, console(width=30))
    assert max(map(len, shown)) <= 28


async def test_a_pause_before_the_end_leaves_nothing_undrawn() -> None:
    on = console()
    stream = GrowingText(on)
    stream.add("so far")
    await asyncio.sleep(REDRAW * 2)
    assert screen(written(on)) == ["so far"]
    stream.end()
    assert screen(written(on))[0] == "so far"
