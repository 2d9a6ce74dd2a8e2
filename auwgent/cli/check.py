"""`auwgent check`: everything that could stop a run, found without running it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import click

from auwgent.assembly import build, environ_of, models, unknown_providers, wrong_texts
from auwgent.cli import USAGE, options
from auwgent.cli.interrupt import interruptible
from auwgent.cli.inventory import MARKS, InventoryItem, Report, Status, take
from auwgent.cli.probes import Probes
from auwgent.config import Config, examine, in_file_order
from auwgent.errors import ConfigError
from auwgent.imports import late
from auwgent.render.terminal import Style, one_line, paint, problems_text, wants_colour
from auwgent.testing.suite import collected

WIDEST = 40  # characters of a column
COLOURS: dict[Status, Style] = {"ok": "green", "problem": "red", "unchecked": "dim"}

EXAMPLES = """\b
Examples:
  auwgent check
  auwgent check --online             one tiny request to each model: does its key work, what does it cost?
  auwgent check --static --json      for editors and hooks: nothing is imported, nothing is connected to
  auwgent check --json | jq -r '.findings[] | select(.status == "problem").name'
"""


@click.command("check", epilog=EXAMPLES)
@options.config
@options.profile
@options.overrides
@click.option("--static", is_flag=True, help="Import nothing that the config names, and connect to nothing.")
@click.option("--online", is_flag=True, help="Send each model in use one tiny request, which costs a little.")
@options.as_json
def command(
    config: Path, profile: str | None, overrides: tuple[str, ...], static: bool, online: bool, as_json: bool
) -> int:
    """Find what would stop a run, without running it.

    Imports and builds everything the config names, reads the databases, connects to the MCP servers and lists
    their tools. Creates, migrates and writes nothing. For each key, model, middleware, database, tool and MCP
    server it says where it was set and whether it works: ✓ yes, ✗ no, · not tried.

    The exit code is 2 if anything is wrong.
    """
    if static and online:
        raise click.UsageError("--static connects to nothing and --online does: give one of them")
    report = Report()
    try:
        with redirect_stdout(sys.stderr):  # what the config's modules print does not belong in the report
            code = check(report, config, profile, overrides, static=static, online=online)
    except ConfigError as error:
        report.problems += error.problems
        code = 0
    if code:
        return code
    report.problems = sorted(dict.fromkeys(report.problems), key=in_file_order)
    for line in _json(report, config) if as_json else _lines(report, config):
        click.echo(line)
    return USAGE if report.problems else 0


def check(
    report: Report, path: Path, profile: str | None, overrides: tuple[str, ...], *, static: bool, online: bool
) -> int:
    """Fill the report. Return the exit code of the signal that interrupted it, else 0."""
    config, wrong = examine(path, profile=profile, overrides=overrides)
    if config is None:
        raise ConfigError(wrong)
    if wrong:
        if not static:
            build(config, known=wrong)  # raises, with all that is wrong besides
        report.problems += [*wrong, *unknown_providers(config, models(config, environ_of(config)))]
        report.problems += wrong_texts(config)
        return 0
    _tests(config, report, imports=not static)
    if static:
        take(config, None, report)
        report.problems += wrong_texts(config)
        return 0
    try:
        parts = build(config)
    except ConfigError as error:
        take(config, None, report)
        report.problems += error.problems
        return 0
    take(config, parts, report)
    if config.origin(("serve",)) != "default":
        try:
            late("auwgent.serve.protocol:named")(config)
        except ConfigError as error:
            report.problems += error.problems
    return asyncio.run(interruptible(Probes(config, parts, report).run(online=online)))


def _tests(config: Config, report: Report, *, imports: bool) -> None:
    """Look at the tests of the config and beside it, without running any."""
    try:
        trials = collected(config, imports=imports)
    except ConfigError as error:
        report.problems += error.problems
        return
    for trial in trials:
        tape = trial.tape
        detail = "without a tape" if tape is None else "" if tape.exists() else f"{tape} is not written yet"
        key = ("test", trial.number)
        report.findings.append(InventoryItem("test", trial.table.name, trial.place, key, "ok", detail))


def _json(report: Report, config: Path) -> Iterator[str]:
    found = [asdict(problem) for problem in report.problems]
    findings = [finding.plain() for finding in report.findings]
    data = {"ok": not found, "config": str(config), "problems": found, "warnings": report.warnings}
    data["findings"] = findings
    yield json.dumps(data, ensure_ascii=False, indent=2)


def _lines(report: Report, config: Path) -> Iterator[str]:
    colour = wants_colour(sys.stdout)
    kind, name, origin = (
        max((min(len(str(getattr(each, column))), WIDEST) for each in report.findings), default=0)
        for column in ("kind", "name", "origin")
    )
    for each in report.findings:
        row = one_line(f"{each.kind:<{kind}}  {each.name:<{name}}  {each.origin:<{origin}}  {each.detail}")
        yield f"{paint(MARKS[each.status], COLOURS[each.status], on=colour)} {row}".rstrip()
    if report.findings:
        yield ""
    for warning in report.warnings:
        yield one_line(f"warning: {warning}")
    if report.problems:
        yield problems_text(report.problems, colour=colour)
        yield ""
    count = len(report.problems)
    summary = f"{count or 'no'} problem{'s' * (count != 1)} found"
    needed = [each.name for each in report.findings if each.kind == "context" and each.status == "unchecked"]
    if needed and not report.problems:
        names = ", ".join(f"ctx.{name}" for name in dict.fromkeys(needed))
        summary += f", but prompts need {names}, from --context or a middleware"
    unasked = any(each.status == "unchecked" for each in report.findings if each.kind == "model")
    note = "; no model was asked, --online does" if unasked and not report.problems else ""
    yield one_line(f"{config}: {summary}{note}")
