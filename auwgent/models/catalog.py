"""The models of an agent: finds the object to ask for a name in the config."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from auwgent.errors import ConfigError, ProviderError
from auwgent.imports import late
from auwgent.models import http, prices, wire
from auwgent.models.base import ModelSpec, Route
from auwgent.models.direct import DirectModel, is_direct, not_direct
from auwgent.models.litellm import LiteLLMModel, preload
from auwgent.models.own import OwnModel, closed
from auwgent.models.providers import (
    IN_PROCESS,
    PROVIDERS,
    is_in_process,
    is_provider,
    key_for,
    keys_of,
    missing_key,
    wrong_address,
)
from auwgent.models.resilience import Cooldowns, ResilientModel
from auwgent.secrecy import KnownSecrets
from auwgent.words import nearest


class Catalog:
    """The models of one agent.

    `named` are the [models.*] tables, `api_keys` the [api_keys] by provider, `environ` the environment.
    Models are shared by all runs, and so is the memory of which of them failed.
    """

    def __init__(
        self, named: Mapping[str, ModelSpec], api_keys: Mapping[str, str], environ: Mapping[str, str]
    ) -> None:
        self._named = dict(named)
        self._api_keys = dict(api_keys)
        self._environ = environ
        self._secrets = KnownSecrets(keys_of(environ))  # no error shows them
        self._made: list[tuple[ModelSpec, Route]] = []
        self._cooldowns = Cooldowns()

    def __repr__(self) -> str:
        return f"<Catalog of {', '.join(self._named) or 'no named models'}>"

    def spec(self, name: str, /, **settings: Any) -> ModelSpec:
        """Return what [models.<name>] says, or the spec of a `provider/model`; with its key where there is one.

        `settings` are as for `get`.
        """
        if name not in self._named:
            self._check_name(name)
        spec = self._with_keys(self._named.get(name) or ModelSpec(name=name))
        return self._changed(spec, settings) if settings else spec

    def window(self, name: str, /, **settings: Any) -> int | None:
        """Return tokens that the model and its fallbacks can read, where that is known; `settings` as for `get`."""
        return prices.window(self._changed(self.spec(name), settings))

    def check_route(self, name: str) -> None:
        """Raise `ConfigError` where the table [models.<name>] asks for a way that its model does not go."""
        spec = self._named[name]
        if is_in_process(spec) and spec.via != "auto":
            raise ConfigError(f"{spec.name} runs in this process: `via` means nothing to it. Leave it out")
        is_direct(spec, self._environ)

    def check_address(self, name: str) -> None:
        """Raise `ConfigError` where the `base_url` of the table [models.<name>] cannot be used."""
        self._check_address(self._named[name])

    def can_reach(self, name: str) -> bool:
        """Whether there is a way to the provider of this model: it is known, or direct to the model's own address."""
        spec = self.spec(name)
        return spec.own is not None or spec.via == "direct" or is_provider(spec.provider)

    def needs_litellm(self, model: str | ModelSpec) -> bool:
        """Return whether LiteLLM will be loaded to ask this model, its fallbacks apart."""
        spec = self.spec(model) if isinstance(model, str) else model
        return not is_in_process(spec) and not is_direct(spec, self._environ)

    def preload(self, name: str) -> None:
        """Begin to load what this model needs, where that takes long; return at once."""
        if self.needs_litellm(name):
            preload()
        elif is_direct(self.spec(name), self._environ):
            http.preload()

    async def warm(self, names: Iterable[str]) -> None:
        """Wait until what these models and their fallbacks need is loaded. A failure is left to whoever asks them."""
        specs = [spec for name in names for spec in (self.spec(name), *self.spec(name).fallbacks)]
        if any(self.needs_litellm(spec) for spec in specs):
            await asyncio.wait([asyncio.wrap_future(preload())])

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        """Return whether the model and its fallbacks make answers fit a schema by themselves, also beside tools."""
        spec = self._changed(self.spec(name), settings)
        return all(wire.native_output(one, has_tools=has_tools) for one in (spec, *spec.fallbacks))

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route:
        """Return the model, its fallbacks behind it. `settings` are what a hook put on ctx for one call.

        A key that is missing is a `ProviderError` here, before anything is sent.
        """
        spec = self.spec(model) if isinstance(model, str) else self._with_keys(model)
        spec = self._changed(spec, settings)
        if "url" in settings:
            self._check_address(spec)
        for one in (spec, *spec.fallbacks):
            if problem := missing_key(one, self._environ):
                raise ProviderError(problem, provider=one.provider, model=one.name, fault="auth")
        chain = [self._made_once(one, keep=not settings) for one in (spec, *spec.fallbacks)]
        return ResilientModel(chain, self._cooldowns)

    async def aclose(self) -> None:
        """Free what the models hold. None of them is asked again."""
        for _, model in self._made:
            await model.aclose()
        self._made.clear()
        for own in {id(spec.own): spec.own for spec in self._named.values() if spec.own is not None}.values():
            await closed(own)

    def _check_address(self, spec: ModelSpec) -> None:
        if spec.base_url is None or is_in_process(spec):
            return
        direct = spec.via == "direct" or is_direct(spec, self._environ)
        if problem := wrong_address(spec.base_url, direct=direct):
            able = wrong_address(spec.base_url, direct=True) is None and not not_direct(spec, self._environ)
            hint = ". With via = 'direct' it may" if able else ""
            raise ConfigError(f"the base_url of {spec.label or spec.name} {problem}{hint}")

    def _check_name(self, name: str) -> None:
        provider, _, model = name.partition("/")
        if provider and model:
            return
        near = nearest(name, self._named)
        hint = f"Did you mean {near!r}?" if near else "Write provider/model, such as openai/gpt-5-mini."
        if name in PROVIDERS or name in IN_PROCESS:
            hint = f"{name!r} is a provider: write {name}/ and the model's name."
        raise ConfigError(f"there is no model {name!r} under [models], nor is it a provider/model. {hint}")

    def _with_keys(self, spec: ModelSpec) -> ModelSpec:
        key = spec.api_key
        if key is None and spec.own is None:  # a class of the user's gets the keys of its own table alone
            key = key_for(spec.provider, self._api_keys, self._environ)
        return spec.changed(api_key=key, fallbacks=tuple(self._with_keys(one) for one in spec.fallbacks))

    def _changed(self, spec: ModelSpec, settings: Mapping[str, Any]) -> ModelSpec:
        """`spec` with a hook's settings. What belongs to a provider stays behind when that changes."""
        before = spec
        if settings.get("model") or settings.get("provider"):
            spec = self._renamed(spec, settings.get("model"), settings.get("provider"))
        if "url" in settings:
            spec = spec.changed(base_url=settings["url"])
        if "config" in settings:
            spec = spec.changed(params=dict(settings["config"] or {}))
        if "headers" in settings:
            headers = (settings["headers"] or {}).items()
            if spec.provider != before.provider:
                headers = headers - before.headers.items()
            spec = spec.changed(headers=dict(headers))
        if settings.get("apiKey"):
            spec = spec.changed(api_key=settings["apiKey"])
        return spec

    def _renamed(self, spec: ModelSpec, model: str | None, provider: str | None) -> ModelSpec:
        if model in self._named and provider is None:
            return self.spec(str(model))
        name = model or spec.model
        if provider is not None and not name.startswith(f"{provider}/"):
            name = f"{provider}/{name}"
        elif "/" not in name:
            name = f"{spec.provider}/{name}"
        if name == spec.name:
            return spec
        if name.partition("/")[0] == spec.provider:
            return spec.changed(name=name, price=None)
        fresh = self.spec(name).changed(timeout=spec.timeout, retries=spec.retries, cooldown=spec.cooldown)
        via = "auto" if spec.via == "direct" else spec.via
        return fresh.changed(cache=spec.cache, via=via, fallbacks=spec.fallbacks)

    def _made_once(self, spec: ModelSpec, *, keep: bool) -> Route:
        """Return the model of this spec. One with settings for a single call is kept only where it holds weights."""
        made = next((model for known, model in self._made if known == spec), None)
        if made is None:
            made = self._new(spec)
            if keep or spec.provider in IN_PROCESS:
                self._made.append((spec, made))
        return made

    def _new(self, spec: ModelSpec) -> Route:
        if spec.own is not None:
            return OwnModel(spec)
        if spec.provider in IN_PROCESS:
            made: Route = late(IN_PROCESS[spec.provider].model).of(spec)
            return made
        return DirectModel(spec) if is_direct(spec, self._environ) else LiteLLMModel(spec)
