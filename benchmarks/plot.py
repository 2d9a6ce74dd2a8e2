"""Bars as SVG, by hand: one group for each scenario, one bar for each contestant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LABEL, BAR, GAP = 760, 190, 18, 34
COLOURS = {True: "#2f6fb0", False: "#9aa5b1"}  # ours, others


def bars(axis: str, groups: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """A picture of all groups, each on a scale of its own, the shortest bar on top."""
    y, parts = 10, []
    for title, values in groups:
        y += 24
        parts.append(_text(10, y - 8, f"{title}: {axis}", weight="bold"))
        longest = max(values.values())
        for name, value in sorted(values.items(), key=lambda item: item[1]):
            length = max(1.0, (WIDTH - LABEL - 80) * value / longest)
            colour = COLOURS[name.startswith("auwgent")]
            parts.append(_text(LABEL - 8, y + 13, name, anchor="end"))
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{length:.0f}" height="{BAR - 4}" fill="{colour}"/>'
            )
            parts.append(_text(LABEL + length + 6, y + 13, f"{value:.2f}"))
            y += BAR
        y += GAP - 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">'
    ground = f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    style = f'font-family="sans-serif" font-size="12" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'
