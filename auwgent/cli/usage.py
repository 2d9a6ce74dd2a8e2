"""`auwgent usage`: tokens and money of the runs that the config's store keeps."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from auwgent.cli import options
from auwgent.cli.stores import SINCE, with_store
from auwgent.render.money import dollars
from auwgent.render.terminal import one_line
from auwgent.session import Usage
from auwgent.store.base import UsageBy, UsageRow

BAR = 24  # cells of the longest bar
CELLS = " ▏▎▍▌▋▊▉█"


@click.command(
    "usage",
    epilog=options.examples(
        "auwgent usage --by day --since 30d", "auwgent usage --by session --user ada --json"
    ),
)
@click.option(
    "--by",
    type=click.Choice(["model", "agent", "day", "session"]),
    default="model",
    show_default=True,
    help="What to group by.",
)
@click.option(
    "--since", type=SINCE, metavar="AGE|DATE", help="Count runs since then, as in 7d or 2026-01-31."
)
@click.option("-u", "--user", type=options.TEXT, metavar="USER", help="Only this user (default: all users).")
@options.config
@options.as_json
def command(by: UsageBy, since: datetime | None, user: str | None, config: Path, as_json: bool) -> None:
    """Show the tokens and cost of stored runs. Deleted sessions and copies are not counted."""
    rows = with_store(config, lambda store: store.usage(by, user_id=user, since=since))
    if as_json:
        click.echo(json.dumps([as_json_row(row) for row in rows], ensure_ascii=False, indent=2))
        return
    for line in table(rows, by, bars=sys.stdout.isatty()):
        click.echo(line)


def as_json_row(row: UsageRow) -> dict[str, Any]:
    """Return a row as JSON data."""
    return {"key": row.key, "calls": row.calls, "unpriced": row.unpriced, **row.usage.model_dump()}


def table(rows: list[UsageRow], by: str, *, bars: bool) -> list[str]:
    """Return the rows as lines, with a sum below, and a bar each on a terminal."""
    if not rows:
        return ["nothing was used yet"]
    body = [_cells(row) for row in rows]
    if len(rows) > 1:
        body.append(_cells(_total(rows)))
    lines = [(by, "calls", "in", "cached", "out", "USD"), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    most = max(_tokens(row) for row in rows) or 1
    drawn = [f"  {_bar(_tokens(row) / most)}" for row in rows] if bars else []
    drawn = ["", *drawn] + [""] * (len(lines) - 1 - len(drawn))
    return [
        (
            f"{line[0]:{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
            + bar
        ).rstrip()
        for line, bar in zip(lines, drawn, strict=True)
    ]


def _total(rows: list[UsageRow]) -> UsageRow:
    used = Usage(usd=0)
    for row in rows:
        used += row.usage.model_copy(update={"usd": row.usage.usd or 0})
    return UsageRow("total", sum(row.calls for row in rows), sum(row.unpriced for row in rows), used)


def _tokens(row: UsageRow) -> int:
    return row.usage.input_tokens + row.usage.output_tokens


def _cells(row: UsageRow) -> tuple[str, ...]:
    usage = row.usage
    about = "~" if usage.estimated else ""
    return (
        one_line(row.key) or "-",
        f"{row.calls:,}",
        f"{about}{usage.input_tokens:,}",
        _rate(usage.cached_tokens, usage.input_tokens),
        f"{about}{usage.output_tokens:,}",
        _usd(usage.usd, unpriced=row.unpriced),
    )


def _rate(cached: int, sent: int) -> str:
    """Return how much of the input came from the provider's cache."""
    return f"{cached / sent:.0%}" if sent and cached else "-"


def _usd(usd: float | None, *, unpriced: int) -> str:
    """Return an amount; with a plus where calls without a known price are not in it."""
    if not usd and unpriced:
        return "?"
    return f"{dollars(usd or 0.0)}{'+' if unpriced else ''}"


def _bar(share: float) -> str:
    whole, rest = divmod(round(share * BAR * 8), 8)
    return "█" * whole + CELLS[rest].strip()
