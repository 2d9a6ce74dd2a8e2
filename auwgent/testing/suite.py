"""The [[test]] tables of a config and of the files beside it: found, chosen by name, and checked before any is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auwgent.assembly import models
from auwgent.config import Config
from auwgent.config.keys import Finding, Key
from auwgent.config.trials import TestTable, read_tests
from auwgent.errors import DICT, ConfigError, Problem
from auwgent.imports import ImportFailure, resolve, search_path
from auwgent.session import Session, misfits

FOLDER = "tests"  # beside the config, where files of tests are looked for


@dataclass(frozen=True, slots=True)
class Trial:
    """A test in its place: `folder` is where its paths begin, `place` is where it stands, `number` the how-manieth."""

    table: TestTable
    folder: Path
    place: str
    number: int
    file: Any  # the config or the document that holds it: who places its problems

    @property
    def tape(self) -> Path | None:
        """Its tape, if it has one."""
        return None if self.table.tape is None else self.folder / Path(self.table.tape).expanduser()

    def problem(self, key: str, message: str, hint: str = "") -> Problem:
        """Return a problem with one of its keys."""
        where: Key = ("test", self.number, *key.split("."))
        if isinstance(self.file, Config):
            return self.file.problem(where, message, hint)
        problem: Problem = self.file.problem(Finding(where, message, hint))
        return problem


def collected(config: Config, files: Sequence[Path] = (), *, imports: bool = True) -> list[Trial]:
    """Return the tests of these files; without any those of the config and of `tests/*.toml` beside it.

    Raises `ConfigError` with everything that is wrong, unknown models and files that are missing included. Without
    `imports` the functions that tests name are not looked for.
    """
    trials: list[Trial] = []
    problems: list[Problem] = []
    for file in files or (Path(config.source), *sorted((config.folder / FOLDER).glob("*.toml"))):
        try:
            trials += _of_config(config) if _is_config(config, file, files) else _of_file(file)
        except ConfigError as error:
            problems += error.problems
    taken: dict[Path, Trial] = {}
    for trial in trials:
        problems += _wrong(trial, config, imports)
        if trial.tape is not None and (other := taken.setdefault(trial.tape.resolve(), trial)) is not trial:
            words = f"the test {other.table.name!r} has this tape, too"
            problems.append(trial.problem("tape", words, "each needs a tape of its own"))
    if problems:
        raise ConfigError(problems)
    return trials


def chosen(trials: Sequence[Trial], words: str) -> list[Trial]:
    """Return the tests whose names have these words in them, in any case."""
    return [trial for trial in trials if words.casefold() in trial.table.name.casefold()]


def session_of(trial: Trial) -> Session | None:
    """Return the session that a test begins with. `ConfigError` where its file holds none."""
    if trial.table.session is None:
        return None
    path = trial.folder / Path(trial.table.session).expanduser()
    try:
        return Session.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(
            [trial.problem("session", f"{path} does not hold a session: {misfits(error)}")]
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        words = getattr(error, "strerror", None) or str(error)
        hint = "`auwgent sessions export ID -o FILE` writes one"
        raise ConfigError([trial.problem("session", f"{path} cannot be read: {words}", hint)]) from None


def check_of(trial: Trial, config: Config) -> Any:
    """Return the function that a test names as its `check`; None where it names none."""
    use = trial.table.expect.check
    if not isinstance(use, str):
        return use
    try:
        with search_path(config.folder, config.imports.path):
            found = resolve(use, allow=config.imports.allow)
    except ImportFailure as error:
        raise ConfigError([trial.problem("expect.check", str(error), error.hint)]) from None
    if not callable(found):
        raise ConfigError([trial.problem("expect.check", f"{use!r} is not a function")])
    return found


def _is_config(config: Config, file: Path, files: Sequence[Path]) -> bool:
    if config.source == DICT:
        return not files and str(file) == config.source
    return file.resolve() == Path(config.source).resolve()


def _of_config(config: Config) -> Iterator[Trial]:
    for number, table in enumerate(config.test):
        yield Trial(table, config.folder, config.origin(("test", number)), number, config)


def _of_file(path: Path) -> Iterator[Trial]:
    document, tables = read_tests(path)
    for number, table in enumerate(tables):
        line = document.line_of(("test", number))
        yield Trial(table, document.folder, f"{document.source}:{line}", number, document)


def _wrong(trial: Trial, config: Config, imports: bool) -> Iterator[Problem]:
    try:
        session_of(trial)
    except ConfigError as error:
        yield from error.problems
    if imports:
        try:
            check_of(trial, config)
        except ConfigError as error:
            yield from error.problems
    if not isinstance(trial.file, Config):  # of the config's own tests that has been looked at
        catalog = models(config, {})
        for name in trial.table.models:
            try:
                catalog.spec(name)
            except ConfigError as error:
                yield from (trial.problem("models", one.message, one.hint) for one in error.problems)
