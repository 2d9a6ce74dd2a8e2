"""Builds the models of a config, with their keys, fallbacks and prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from auwgent.assembly.workbench import Key, Workbench
from auwgent.config import Config
from auwgent.config.references import names_provider
from auwgent.errors import Problem
from auwgent.hooks.context import Embed
from auwgent.model_settings import ModelSettings
from auwgent.models.base import ModelSpec
from auwgent.models.catalog import Catalog
from auwgent.models.embedding import Embedder
from auwgent.models.own import opened
from auwgent.models.prices import is_priced
from auwgent.models.providers import is_provider, near_provider


def catalog(bench: Workbench, environ: Mapping[str, str]) -> Catalog:
    """Return the models of the config; their ways and addresses are checked where nothing is missing of them."""
    config = bench.config
    found = models(config, environ, own={name: _own(bench, name) for name in config.models})
    for name in filter(lambda one: config.is_whole(("models", one)), config.models):
        bench.attempt(("models", name, "via"), partial(found.check_route, name))
        bench.attempt(("models", name, "base_url"), partial(found.check_address, name))
    if config.limits.usd is not None and not bench.known:
        _all_priced(bench, found)
    return found


def _own(bench: Workbench, label: str) -> Any:
    """Return the live object behind a table that names a class of the user's own; None for a provider's model."""
    key, table = ("models", label), bench.config.models[label]
    if names_provider(table.use):
        return None
    found = bench.resolve((*key, "use"), table.use)
    if found is None or not bench.config.is_whole(key):
        return found
    spec = _table(bench.config, label, found, ())
    return bench.attempt((*key, "use"), partial(opened, found, spec))


def unknown_providers(config: Config, catalog: Catalog) -> Iterator[Problem]:
    """Yield problems for providers that do not exist. Import the config's code first: it may add some to LiteLLM."""
    for key, name in _named(config):
        if not catalog.can_reach(name):
            spec = catalog.spec(name)
            own = f"a server that speaks OpenAI's wire format is openai/{spec.model} with a base_url"
            near = near_provider(spec.provider) or own
            hint = f"{near} Or {own}" if spec.base_url and near != own else near
            yield config.problem(key, f"there is no provider {spec.provider!r}", hint)
    served = {catalog.spec(name).provider for name in config.models if catalog.can_reach(name)}
    for provider in config.api_keys:
        if not is_provider(provider) and provider not in served:
            hint = near_provider(provider) or "`auwgent providers` lists them"
            yield config.problem(("api_keys", provider), f"there is no provider {provider!r}", hint, "key")


def _named(config: Config) -> Iterator[tuple[Key, str]]:
    """Yield every model of the config that names a provider, and the key that says which."""
    tables = {("agent",): config.agent} | {("helpers", name): one for name, one in config.helpers.items()}
    named: list[tuple[Key, str]] = [((*key, "model"), table.model) for key, table in tables.items()]
    if config.embedding is not None:
        named.append((("embedding", "model"), config.embedding.model))
    for label, table in config.models.items():
        if names_provider(table.use) and _is_whole(table.use):
            yield ("models", label, "use"), label
        named += [(("models", label, "fallbacks", n), name) for n, name in enumerate(table.fallbacks)]
    yield from ((key, name) for key, name in named if name not in config.models and _is_whole(name))


def _is_whole(name: str) -> bool:
    """Return whether it is `provider/model`; what is not has been told when the config was read."""
    return all(name.partition("/"))


def _all_priced(bench: Workbench, catalog: Catalog) -> None:
    """Refuse a limit in USD where the cost of a model's calls is not known."""
    for name, key in bench.config.models_in_use().items():
        spec: ModelSpec | None = bench.attempt(key, partial(catalog.spec, name))
        if spec is None or key[0] == "embedding" or not catalog.can_reach(name):
            continue
        if not is_priced(spec):
            bench.problem(
                key,
                f"`limits.usd` cannot be kept: no price is known for {spec.name}",
                "give a [models.*] table of it `price = { input = …, output = … }`, USD per million tokens",
            )


def embedder(config: Config, catalog: Catalog) -> Embed | None:
    """Return what `ctx.embed` does; None where the config names no model for it."""
    table = config.embedding
    return None if table is None else Embedder(partial(catalog.spec, table.model))


def models(config: Config, environ: Mapping[str, str], own: Mapping[str, Any] | None = None) -> Catalog:
    """The models of a config. Nothing that it names is imported: `own` are the live objects, where there are any."""
    named: dict[str, ModelSpec] = {}
    for name in config.models:
        _model_spec(config, name, own or {}, named)
    keys = {name: key.get_secret_value() for name, key in config.api_keys.items()}
    return Catalog(named, keys, environ)


def _model_spec(config: Config, label: str, own: Mapping[str, Any], made: dict[str, ModelSpec]) -> ModelSpec:
    """Return the spec of [models.<label>], after those of its fallbacks; the config has none in a circle."""
    if label not in made:
        fallbacks = [
            _model_spec(config, name, own, made) if name in config.models else ModelSpec(name)
            for name in config.models[label].fallbacks
        ]
        use = config.models[label].use
        live = None if names_provider(use) else own.get(label) or use
        made[label] = _table(config, label, live, tuple(fallbacks))
    return made[label]


def _table(config: Config, label: str, own: Any, fallbacks: tuple[ModelSpec, ...]) -> ModelSpec:
    """Return what [models.<label>] says. A model of the user's own is called after its class and the table."""
    table = config.models[label]
    return ModelSpec(
        table.use if own is None else f"{_class_name(table.use)}/{label}",
        **{name: getattr(table, name) for name in ModelSettings.model_fields},
        api_key=table.api_key.get_secret_value() if table.api_key else None,
        base_url=table.base_url,
        headers={name: value.get_secret_value() for name, value in table.headers.items()},
        fallbacks=fallbacks,
        label=label,
        own=own,
    )


def _class_name(use: Any) -> str:
    if isinstance(use, str):
        return use.replace(":", ".").rpartition(".")[2]
    return str(getattr(use, "__name__", type(use).__name__))
