"""`auwgent(…)`: an agent from a file, from a dict, or from keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, TypedDict, TypeVar, Unpack, overload

from auwgent.config import AgentConfig
from auwgent.engine.agent import Approver
from auwgent.errors import ConfigError
from auwgent.runtime import Runtime, Source
from auwgent.words import did_you_mean

if TYPE_CHECKING:
    from auwgent.typed import AgentKeys, ConfigDict

Answer = TypeVar("Answer")


class AgentOptions(TypedDict, total=False):
    """What an agent may be given beside its config."""

    profile: str | None
    overrides: Sequence[str]  # `key=value` texts as `--set` takes them
    middleware: Sequence[Any]  # live objects, or their classes, that come behind those of the config
    on_approval: Approver | None  # asked before a tool with `approve = "ask"` runs


if TYPE_CHECKING:

    class Described(AgentKeys, AgentOptions, total=False):
        """An agent in keyword arguments: the keys of [agent] but `output`, and what it may be given beside them."""

        name: str

    # A literal that is no ConfigDict is no such mapping either; a `dict[str, Any]`, read from somewhere, is one.
    AnyDict = Mapping[str, Never]


@overload
def auwgent(config: str | Path | ConfigDict | AnyDict, **options: Unpack[AgentOptions]) -> Runtime: ...


@overload
def auwgent(*, output: type[Answer], **described: Unpack[Described]) -> Runtime[Answer]: ...


@overload
def auwgent(*, output: Any = None, **described: Unpack[Described]) -> Runtime: ...


def auwgent(config: Source | None = None, **given: Any) -> Runtime:
    """Return an agent: from a config file, from a dict of the same shape, or from the keys of [agent] alone.

    `auwgent("auwgent.toml", profile="strict")` and `auwgent(model="openai/gpt-5-mini", tools=[get_weather])` are the
    two ways to call it; the keyword arguments are those of `AgentOptions`, in the second one those of [agent],
    too. Raises `ConfigError` with everything that is wrong; nothing is opened or sent yet.
    """
    options: Any = {name: given.pop(name) for name in AgentOptions.__annotations__ if name in given}
    for name in given:
        if name in AgentConfig.model_fields and config is not None:
            raise ConfigError(f"auwgent() has a config, so `{name}` belongs into its [agent]")
        guess = did_you_mean(
            name, [*AgentOptions.__annotations__, *(() if config else AgentConfig.model_fields)]
        )
        if name not in AgentConfig.model_fields and (guess or config is not None):
            raise ConfigError(f"auwgent() has no option {name!r}{'; ' * bool(guess)}{guess}")
    return Runtime({"agent": given} if config is None else config, **options)
