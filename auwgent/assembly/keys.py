"""Finds API keys that a run would need and that are missing, before it begins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from auwgent.config import Config
from auwgent.errors import ConfigError
from auwgent.hooks.pipeline import Installed
from auwgent.keystore import Filled, StoredKeys
from auwgent.models.catalog import Catalog
from auwgent.models.providers import is_key_variable, missing_key


def environ_of(config: Config) -> Mapping[str, str]:
    """Return the environment for what asks providers: the process's, below it the keys of `env_file`, then the kept."""
    beside = {name: value for name, value in config.beside.items() if is_key_variable(name)}
    return Filled(os.environ, beside, StoredKeys())


def check_keys(config: Config, catalog: Catalog, installed: Iterable[Installed]) -> None:
    """Raise `ConfigError` where a model in use has no key and no middleware could give it one."""
    if may_give_keys(installed):
        return
    problems = [
        config.problem(key, problem)
        for name, key in config.models_in_use().items()
        if (problem := missing_key(catalog.spec(name)))
    ]
    if problems:
        raise ConfigError(problems)


def may_give_keys(installed: Iterable[Installed]) -> bool:
    """Whether a middleware might put a key on ctx, another model, or the answer itself. Only the run can tell."""
    return any(
        (one.hook("onLLMStart") or one.hook("onError")) and vars(type(one.instance)).get("gives_key", True)
        for one in installed
    )
