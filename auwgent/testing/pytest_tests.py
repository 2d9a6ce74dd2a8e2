"""The [[test]] tables of a config as tests of pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from auwgent.config import load
from auwgent.loops import finished
from auwgent.runtime import Source
from auwgent.testing.suite import collected
from auwgent.testing.trial import How, run_all


def auwgent_tests(
    config: Source,
    files: Sequence[str | Path] = (),
    *,
    models: Sequence[str] = (),
    live: bool = False,
    profile: str | None = None,
) -> Callable[..., None]:
    """Return a test for each [[test]] table and model: `test_agent = auwgent_tests("auwgent.toml")`.

    `files` are files of tests in place of the config's own; paths are relative to the folder in which pytest was
    started. `pytest --auwgent-record` writes the tapes, `--auwgent-live` runs tests without one, as `live` does.
    Raises `ConfigError` with all that is wrong with the config and the tests.
    """
    import pytest

    loaded = load(config, profile=profile, only="test")  # what is played needs no key
    trials = collected(loaded, [Path(file) for file in files])
    cases = [
        pytest.param(trial, model, id=f"{trial.table.name}-{model}")
        for trial in trials
        for model in models or trial.table.models or (loaded.agent.model,)
    ]

    @pytest.mark.parametrize(("trial", "model"), cases)
    def test(trial: Any, model: str, request: pytest.FixtureRequest) -> None:
        how = How(
            record=bool(request.config.getoption("--auwgent-record", default=False)),
            live=live or bool(request.config.getoption("--auwgent-live", default=False)),
            models=(model,),
            profile=profile,
        )
        results = finished(lambda: run_all(config, loaded, [trial], how, lambda _: None))
        wrong = [f"{trial.table.name} ({model}): {each}" for one in results for each in one.problems]
        if wrong:
            pytest.fail("\n".join([*wrong, f"at {trial.place}"]), pytrace=False)

    made: Callable[..., None] = test
    return made
