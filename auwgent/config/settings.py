"""`Config`: the whole of it as one frozen object, put together from its layers by pydantic-settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from auwgent.config.envfile import DEFAULT
from auwgent.config.keys import Aspect, Finding, Key
from auwgent.config.layers import Layers
from auwgent.config.queue import QueueConfig, ScheduleConfig
from auwgent.config.references import plays_tape, used
from auwgent.config.serve import ServeConfig
from auwgent.config.tables import (
    AgentConfig,
    EmbeddingConfig,
    EnvFile,
    HelperConfig,
    Imports,
    IntentConfig,
    Many,
    McpConfig,
    MiddlewareEntry,
    ModelConfig,
    Secret,
)
from auwgent.config.trials import TestTable
from auwgent.errors import Problem
from auwgent.limits import Limits
from auwgent.secrecy import KnownSecrets, secrets_in

DEFAULT_MIDDLEWARE = "auwgent.middleware.SQLModelSessions"

# pydantic-settings asks the class for its sources, so the load under way is passed beside it.
under_way: ContextVar[Layers] = ContextVar("under_way")


class LayerSource(PydanticBaseSettingsSource):
    """One layer, as pydantic-settings wants it."""

    def __init__(self, settings: type[BaseSettings], tree: dict[str, Any]) -> None:
        super().__init__(settings)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tree


class Config(BaseSettings):
    """Everything one config says: the file with its profile, the environment and `--set` laid over it."""

    model_config = SettingsConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    agent: AgentConfig = Field(description="The root agent.")
    middleware: Many[MiddlewareEntry] = Field(
        (MiddlewareEntry.model_construct(use=DEFAULT_MIDDLEWARE),),
        description=f"What hooks into every run, in this order; when absent, `{DEFAULT_MIDDLEWARE}`.",
    )
    api_keys: dict[str, Secret] = Field({}, description="API keys, one per provider.")
    models: dict[str, ModelConfig] = Field({}, description="Named models: endpoint, parameters, resilience.")
    helpers: dict[str, HelperConfig] = Field({}, description="Agents that other agents may call.")
    mcp: dict[str, McpConfig] = Field({}, description="Model Context Protocol servers.")
    intents: dict[str, IntentConfig] = Field({}, description="Events of your own that a model may emit.")
    context: dict[str, Any] = Field(
        {}, description="Values for `{{ ctx.… }}` in prompts; a run may override them."
    )
    embedding: EmbeddingConfig | None = Field(None, description="The model behind `ctx.embed`.")
    limits: Limits = Field(Limits.model_construct(), description="What one run may use.")
    serve: ServeConfig = Field(
        ServeConfig.model_construct(), description="How the agent is served over HTTP."
    )
    queue: QueueConfig | None = Field(
        None,
        description="Where runs are queued for workers; when absent, a run happens where it is asked for.",
    )
    schedules: Many[ScheduleConfig] = Field((), description="Runs that begin at times of their own.")
    imports: Imports = Field(Imports.model_construct(), description="Where dotted paths are looked up.")
    test: Many[TestTable] = Field((), description="Tests of the agent, for `auwgent test`.")
    env_file: EnvFile = Field(
        DEFAULT,
        description="File of variables for `${…}` and of providers' keys, relative to the config file; false: none.",
    )
    profiles: dict[str, dict[str, Any]] = Field(
        {}, description="Parts of this file, laid over it by `--profile NAME`."
    )

    _layers: Layers = PrivateAttr()
    _secrets: KnownSecrets = PrivateAttr()  # lives as long as the config: no error shows them

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`--set`, the environment, the profile, the file; an earlier one wins."""
        return tuple(LayerSource(settings_cls, layer.tree) for layer in under_way.get().all)

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, merged: dict[str, Any]) -> dict[str, Any]:
        return under_way.get().settle(merged)

    def model_post_init(self, context: Any) -> None:
        self._layers = under_way.get()
        self._secrets = KnownSecrets(secrets_in(self._layers.merged))

    @property
    def folder(self) -> Path:
        """The folder of the file, from which relative paths in it start; the working directory for a dict."""
        return self._layers.document.folder

    @property
    def source(self) -> str:
        """The path of the file as it was given, or `dict`."""
        return self._layers.document.source

    @property
    def beside(self) -> Mapping[str, str]:
        """The variables of its `env_file`, which the process's environment does not have."""
        return self._layers.beside

    def problem(self, key: Key, message: str, hint: str = "", about: Aspect = "value") -> Problem:
        """Return a problem with a key, such as `("agent", "tools", 0)`, placed where it was set."""
        return self._layers.problem(Finding(key, message, hint, about))

    def origin(self, key: Key) -> str:
        """Return what set a key: such as `auwgent.toml:12`, a variable's name, `--set limits.seconds`, or `default`."""
        return self._layers.origin(key)

    def is_whole(self, key: Key) -> bool:
        """Whether all that was written at a key, and below it, is here: no variable missing, nothing wrong left out."""
        return self._layers.is_whole(key)

    def models_in_use(self) -> Mapping[str, Key]:
        """Return the models that a run may ask, as the config names them, and the key that names each first."""
        return used(self._layers.merged).models

    @property
    def plays_tape(self) -> bool:
        """Whether the root agent's model is a tape: then nothing but that tape is asked."""
        return plays_tape(self._layers.merged)
