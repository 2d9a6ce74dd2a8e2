"""`auwgent test`: the [[test]] tables, run with each of their models."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import click

from auwgent.cli import FAILED, options
from auwgent.cli.interrupt import interruptible
from auwgent.config import Config, load
from auwgent.errors import ConfigError
from auwgent.render.money import dollars
from auwgent.render.terminal import harmless, one_line, paint, wants_colour
from auwgent.session import Usage
from auwgent.testing import junit
from auwgent.testing.suite import Trial, chosen, collected
from auwgent.testing.trial import How, Result, run_all

WIDEST = 48  # characters of a test's name


@click.command(
    "test",
    epilog=options.examples(
        "auwgent test",
        "auwgent test -k refund -m openai/gpt-5-mini --live",
        "auwgent test tests/refund.toml --record",
        "auwgent test --junit report.xml",
    ),
)
@click.argument(
    "files", metavar="[FILE]...", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@options.config
@options.profile
@options.overrides
@click.option(
    "-k", "words", type=options.TEXT, metavar="NAME", help="Run the tests whose name has this in it."
)
@click.option(
    "-m",
    "--model",
    "models",
    type=options.MODEL,
    multiple=True,
    metavar="MODEL",
    help="Test this model instead of those that the tests name. May be repeated.",
)
@click.option("--record", is_flag=True, help="Run for real, and write the tapes that the tests name.")
@click.option("--live", is_flag=True, help="Run tests without a tape for real, too.")
@click.option(
    "--junit",
    "report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a JUnit report to this file.",
)
@options.as_json
def command(
    files: tuple[Path, ...],
    config: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    words: str | None,
    models: tuple[str, ...],
    record: bool,
    live: bool,
    report: Path | None,
    as_json: bool,
) -> int:
    """Run the [[test]] tables of FILEs; without any, those of the config and of tests/*.toml beside it.

    A test plays its tape: no key, no network, no tool is run. What is kept goes to a store of its own that is
    thrown away. Exit codes: 0 all passed, 1 one failed, 2 wrong usage or config.
    """
    # What is played needs no key; whose model is really asked finds out when it is made.
    loaded = load(config, profile=profile, overrides=overrides, only="test")
    trials = _chosen(loaded, files, words)
    how = How(record, live, models, profile, overrides)
    results: list[Result] = []

    def done(result: Result) -> None:
        if not as_json:
            click.echo(_line(result), err=True)

    async def work() -> None:
        results.extend(await run_all(config, loaded, trials, how, done))

    with redirect_stdout(sys.stderr):  # what tools print does not belong in the report
        code = asyncio.run(interruptible(work()))
    if report is not None:
        _write(report, junit.report(results))
    if as_json:
        found = [result.plain() for result in results]
        click.echo(
            json.dumps(
                {"ok": all(one.passed for one in results), "results": found}, ensure_ascii=False, indent=2
            )
        )
    else:
        for line in _table(results):
            click.echo(one_line(line))
    return code or (0 if all(result.passed for result in results) else FAILED)


def _chosen(config: Config, files: Sequence[Path], words: str | None) -> list[Trial]:
    trials = collected(config, files)
    if not trials:
        where = ", ".join(map(str, files)) or f"{config.source} and tests/*.toml beside it"
        raise ConfigError(
            f"there are no tests in {where}: a [[test]] table needs `name`, `input` and `expect`"
        )
    if words is not None and not (found := chosen(trials, words)):
        names = ", ".join(repr(trial.table.name) for trial in trials)
        raise ConfigError(f"no test has {words!r} in its name; there are {names}")
    return found if words is not None else trials


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error


def _line(result: Result) -> str:
    """One test that is over: a mark, its name and model, and what does not hold."""
    colour = wants_colour(sys.stderr)
    mark = paint("✓", "green", on=colour) if result.passed else paint("✗", "red", on=colour)
    times = f" [{result.repeat}]" if result.trial.table.repeat > 1 else ""
    lines = [f"{mark} {one_line(f'{result.trial.table.name}{times}  {result.model}')}"]
    lines += [f"    {harmless(problem)}" for problem in result.problems]
    if not result.passed:
        lines.append(f"    at {one_line(result.trial.place)}")
    return "\n".join(lines)


def _table(results: Sequence[Result]) -> Iterator[str]:
    """Yield a row for each test and a column for each model, with what it cost."""
    models = list(dict.fromkeys(result.model for result in results))
    names = list(dict.fromkeys((result.trial.place, result.trial.table.name) for result in results))
    rows = [["", *models]]
    for place, name in names:
        own = [one for one in results if (one.trial.place, one.trial.table.name) == (place, name)]
        rows.append([name[:WIDEST], *(_cell([one for one in own if one.model == model]) for model in models)])
    rows.append(["", *(_cell([one for one in results if one.model == model]) for model in models)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(results: Sequence[Result]) -> str:
    if not results:
        return "-"
    passed = sum(result.passed for result in results)
    mark = "✓" if passed == len(results) else "✗"
    if len(results) > 1:
        mark += f" {passed}/{len(results)}"
    usage = Usage(usd=0.0)
    for result in results:
        usage += result.usage
    cost = "no price" if usage.usd is None else dollars(usage.usd)
    asked = [one.outcome.seconds for one in results if one.outcome is not None and not one.played]
    return f"{mark} {cost} {sum(asked):.1f}s" if asked else f"{mark} {cost}"
