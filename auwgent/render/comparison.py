"""Replays beside what was said then: as a table for terminals, and as a page with columns side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auwgent.render.terminal import harmless, paint
from auwgent.session import encodable

if TYPE_CHECKING:
    from jinja2 import Template

Pieces = Sequence[tuple[str, str]]  # words with `=`, `-` or `+`


def rows(takes: Sequence[Any]) -> Iterator[str]:
    """Yield a line for each take: model, status, calls, ends, tokens, USD, seconds."""
    table = [("", "status", "calls", "ends", "tokens", "USD", "seconds")]
    for number, take in enumerate(takes):
        usage = take.usage
        table.append(
            (
                f"stored: {take.model}" if number == 0 else take.model,
                take.status,
                ", ".join(take.calls) or "none",
                ", ".join(take.ends) or "none",
                f"{usage.input_tokens}+{usage.output_tokens}",
                "no price" if usage.usd is None else f"{usage.usd:.6f}",
                f"{take.seconds:.1f}",
            )
        )
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def words(pieces: Pieces, *, colour: bool) -> str:
    """Return a word diff: in colours, or with [-taken out-] and {+put in+}."""
    shown = []
    for kind, text in pieces:
        text = harmless(text)
        if kind == "=":
            shown.append(text)
        elif colour:
            shown.append(paint(text, "green" if kind == "+" else "red", on=True))
        else:
            shown.append(f"{{+{text}+}}" if kind == "+" else f"[-{text}-]")
    return "".join(shown)


def page(replay: Any, diffs: Sequence[Pieces]) -> str:
    """Return the page. All that was said is escaped; it loads and runs nothing."""
    pieces = [[("=", replay.stored.text)], *diffs]
    return _template().render(replay=replay, columns=[replay.stored, *replay.takes], pieces=pieces)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=lambda value: harmless(encodable(str(value)))
    )
    return environment.from_string(Path(__file__).with_name("comparison.html").read_text(encoding="utf-8"))
