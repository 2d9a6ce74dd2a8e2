"""Makes a `Config` of a file or a dict: read, parse, merge, expand, validate, check."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from auwgent.config import references
from auwgent.config.document import Document, read
from auwgent.config.envfile import values_beside
from auwgent.config.explain import explain, place_of
from auwgent.config.keys import Finding, Key
from auwgent.config.layers import Layers, Part, part, profile_names
from auwgent.config.overrides import from_environment, from_options
from auwgent.config.settings import Config, under_way
from auwgent.errors import ConfigError, Problem
from auwgent.keystore import Filled, StoredKeys
from auwgent.words import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ROUNDS = 9  # leaving something out may show that what is around it cannot stand either


def load(
    source: Path | str | Mapping[str, Any],
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    only: str | None = None,
) -> Config:
    """Return the config of a file or a dict. `overrides` are texts such as `agent.model=openai/gpt-5-mini`.

    `environ` stands in for the environment, in `${NAME}` and for `AUWGENT_…`. Who looks at one table `only` needs no
    other one's variables. Raises `ConfigError` with everything that is wrong, in the order of the file.
    """
    config, problems = examine(source, profile=profile, overrides=overrides, environ=environ, only=only)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def examine(
    source: Path | str | Mapping[str, Any],
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    only: str | None = None,
) -> tuple[Config | None, list[Problem]]:
    """Return the config as `load` gives it, and what is wrong with it.

    Where something is, the config is what remains without it, so that it can be looked for more; it is not to be
    run. None: nothing remains that makes sense. `ConfigError` where the source cannot be read at all.
    """
    stored: MutableMapping[str, str] = StoredKeys() if environ is None else {}
    environ = os.environ if environ is None else environ
    document = read(source)
    beside = values_beside(document, profile, overrides, environ)
    try:
        config, problems = _load(document, profile, overrides, environ, beside, stored, only)
    except RecursionError:
        raise ConfigError(
            [Problem("lists and tables are nested too deeply", source=document.source)]
        ) from None
    return config, sorted(dict.fromkeys(problems), key=in_file_order)


def _load(
    document: Document,
    profile: str | None,
    overrides: Sequence[str],
    environ: Mapping[str, str],
    beside: Mapping[str, str],
    stored: MutableMapping[str, str],
    only: str | None,
) -> tuple[Config | None, list[Problem]]:
    known = Filled(dict(environ), dict(beside), stored)  # an earlier one comes first
    parts, problems = _parts(document, profile, known)
    trees = [each.tree for each in parts]
    variables = from_environment(environ, Config, trees)
    options = from_options(overrides, Config, [variables.tree, *trees])
    layers = Layers([options, variables, *parts], beside, only=only)
    config, findings = _examine(layers)
    if findings or config is None:
        config = _remaining(layers, findings)
    problems += [*options.problems, *variables.problems, *layers.problems(findings)]
    for name in profile_names(document.tree):
        if name != profile:
            problems += _examine_profile(part(document, known, name), parts[-1], findings)
    return config, problems


def _parts(
    document: Document, profile: str | None, environ: Mapping[str, str]
) -> tuple[list[Part], list[Problem]]:
    file = part(document, environ)
    names = list(profile_names(document.tree))
    if profile is None:
        return [file], []
    if profile in names:
        return [part(document, environ, profile), file], []
    hint = did_you_mean(profile, names) or (f"there are: {', '.join(names)}" if names else "it has none")
    return [file], [Problem(f"there is no profile {profile!r}", source=document.source, hint=hint)]


def _examine(layers: Layers) -> tuple[Config | None, list[Finding]]:
    config, errors = _validated(layers)
    wrong = [
        explain(each, Config) for each in errors if not _follows_from_unset(each["loc"], each["type"], layers)
    ]
    return config, [*layers.unset, *wrong, *references.check(layers.merged)]


def _validated(layers: Layers) -> tuple[Config | None, list[ErrorDetails]]:
    token = under_way.set(layers)
    try:
        return Config(), []
    except ValidationError as error:
        return None, error.errors(include_url=False)
    finally:
        under_way.reset(token)


def _remaining(layers: Layers, findings: Sequence[Finding]) -> Config | None:
    """Return the config without what is wrong in it. Without its imports it would be found wrong where it is not."""
    places = [finding.key for finding in findings]
    if ("imports",) in [place[:1] for place in places]:
        return None
    rest = Layers(layers.all, layers.beside, only=layers.only)
    rest.left_out = {place[:3] for place in places if place[:1] == ("models",) and "fallbacks" in place}
    for _ in range(ROUNDS):
        config, errors = _validated(rest)
        if config is not None:
            return config
        wrong = [(rest.placed(place_of(error)), error["type"] == "missing") for error in errors]
        for place, is_lacking in wrong:
            rest.leave_out(place, is_lacking=is_lacking)
    return None


def _examine_profile(profile: Part, file: Part, known: Sequence[Finding]) -> list[Problem]:
    """Return what is wrong with a profile that is not selected. Its variables need not be set."""
    layers = Layers([profile, file])
    _, findings = _examine(layers)
    own = [finding for finding in findings if finding not in known and finding not in layers.unset]
    return [
        layers.problem(finding) for finding in own if layers.layer_of(finding.key, finding.about) is profile
    ]


def _follows_from_unset(loc: Key, kind: str, layers: Layers) -> bool:
    """Return whether something is lacking only because its variable is, which is told already or does not matter."""
    return (kind == "missing" and loc in layers.dropped) or (
        kind == "refused" and any(key[:-1] == loc for key in layers.dropped)
    )


def in_file_order(problem: Problem) -> tuple[bool, int, int]:
    """Sort key for problems: those in the file first, in the file's order."""
    return problem.line is None, problem.line or 0, problem.column or 0
